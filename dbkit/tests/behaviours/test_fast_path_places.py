"""The fast path sends what a session would send, wherever it would send it; what it keeps vanishes with its engine."""

from __future__ import annotations

import contextvars
import gc
import weakref

import testtools
from sqlalchemy import ForeignKey, String, TypeDecorator, bindparam, func, literal, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import dbkit
from dbkit import models, queries
from dbkit.exceptions import ForeignScope
from dbkit.filters import scope
from dbkit.spec import Colour
from dbkit.testing import assertions
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import EVERY_DRIVER, POSTGRESQL, SQLITE_FILE
from dbkit.tests.behaviours.tables import Item

SUFFIX = contextvars.ContextVar("SUFFIX", default="")


class Suffixed(TypeDecorator):
    """Text that is stored with what the moment adds to it."""

    impl = String(50)
    cache_ok = True

    def process_bind_param(self, value, dialect):
        return f"{value}{SUFFIX.get()}"


class Base(DeclarativeBase):
    """Of these tests alone."""


class Person(Base):
    __tablename__ = "places_people"

    id: Mapped[int] = mapped_column(primary_key=True)
    age: Mapped[int] = mapped_column(default=0)
    name: Mapped[str | None] = mapped_column(Suffixed)
    kind_id: Mapped[int | None] = mapped_column(ForeignKey("places_people.id"))


class Own(models.ProjectMixin, Base):
    __tablename__ = "places_own"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(String(20), default="other")


class Dead(models.SoftDeleteMixin, Base):
    __tablename__ = "places_dead"

    id: Mapped[int] = mapped_column(primary_key=True)


FIND = queries.find(Person)


class TestWithoutServers(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.db = dbkit.Database("sqlite://")
        self.addCleanup(self.db.dispose)
        with self.db.writer() as session:
            Base.metadata.create_all(session.connection())
            session.add_all([Person(id=1, age=19, name="a"), Person(id=2, age=30, name="b"), Dead(id=1)])

    def test_a_value_that_is_given_counts_more_than_the_parameters_own(self):
        for parameter in (bindparam("least", 18), bindparam("least", required=False, value=18),
                          bindparam("least", callable_=lambda: 18)):  # fmt: skip
            lookup = queries.Lookup(select(Person.id).where(Person.age >= parameter).order_by(Person.id))
            with self.db.reader():
                self.assertEqual([(1,), (2,)], lookup.all(self.db))
                self.assertEqual([(2,)], lookup.all(self.db, least=21))

    def test_a_type_of_ones_own_is_asked_at_each_execution(self):
        lookup = queries.Lookup(select(Person.id).where(Person.name == "a"))
        for suffix in ("", "!", ""):
            token = SUFFIX.set(suffix)
            with self.db.reader() as session:
                self.assertEqual(session.execute(lookup.statement).all(), lookup.all(self.db))
            SUFFIX.reset(token)

    def test_what_a_connection_is_told_in_the_block_counts_for_a_save(self):
        with self.db.writer.connection() as connection:
            connection.exec_driver_sql("ATTACH ':memory:' AS other")
            connection.exec_driver_sql("CREATE TABLE other.places_people AS SELECT * FROM main.places_people")
        with self.db.writer.connection() as connection:
            person = FIND.one(self.db, id=1)
            connection.execution_options(schema_translate_map={None: "other"})
            person.age = 99
            queries.save(self.db, person)
            names = [connection.exec_driver_sql(f"SELECT age FROM {each}.places_people WHERE id = 1").scalar()
                     for each in ("main", "other")]  # fmt: skip
        self.assertEqual([19, 99], names)

    def test_a_test_sees_what_is_sent_where_a_rule_is_off(self):
        lookup = queries.find(Dead)
        for opener in (self.db.reader, self.db.reader.without("soft_delete")):
            with opener() as session:
                session.execute(select(literal(1)))
                with assertions.count_statements(self.db) as counted:
                    lookup.one(self.db, id=1)
                    lookup.one(self.db, id=1)
            self.assertEqual(2, counted.count)

    def test_what_is_kept_for_an_engine_vanishes_with_it(self):
        lookup = queries.Lookup(select(Person).where(Person.name == bindparam("name")))
        seen = []
        for _ in range(5):
            db = dbkit.Database("sqlite://")
            with db.writer.connection() as connection:
                connection.exec_driver_sql("CREATE TABLE places_people (id INT, age INT, name TEXT, kind_id INT)")
                connection.exec_driver_sql("INSERT INTO places_people VALUES (1, 2, 'a', NULL)")
            with db.writer():
                person = lookup.one(db, name="a")
                person.age = 7
                queries.save(db, person)
            seen.append(weakref.ref(db.engine.dialect))
            db.dispose()
            del db, connection
        gc.collect()
        self.assertLessEqual(sum(each() is not None for each in seen), 1)

    def test_what_is_done_with_the_drivers_connection_is_the_blocks(self):
        def insert(connection, number):
            cursor = connection.connection.cursor()
            cursor.execute(f"INSERT INTO places_people (id, age) VALUES ({number}, 1)")
            cursor.close()

        with self.db.writer.connection() as connection:
            insert(connection, 8)
        self.assertRaises(ZeroDivisionError, self.broken, insert)
        with self.db.reader() as session:
            self.assertEqual([8], session.scalars(select(Person.id).where(Person.id > 2)).all())

    def broken(self, insert):
        with self.db.writer.connection() as connection:
            insert(connection, 9)
            raise ZeroDivisionError


@behaviours(each for each in EVERY_DRIVER if each.colour is Colour.BLOCKING)
class TestOnServers(Behaviour):
    def setUp(self):
        super().setUp()
        Base.metadata.drop_all(self.place.observer)
        Base.metadata.create_all(self.place.observer)
        self.addCleanup(Base.metadata.drop_all, self.place.observer)

    def test_what_is_done_with_the_drivers_connection_is_the_blocks(self):
        def work(number, fails):
            with self.db.writer.connection() as connection:
                cursor = connection.connection.cursor()
                cursor.execute(f"INSERT INTO items (id, amount) VALUES ({number}, 0)")
                cursor.close()
                if fails:
                    raise ZeroDivisionError

        work(1, False)
        self.assertRaises(ZeroDivisionError, work, 2, True)
        with self.db.writer() as session:
            session.add(Item(id=3))
        self.assertEqual([1, 3], self.stored())

    @on(POSTGRESQL | SQLITE_FILE)
    def test_a_default_that_is_another_tenants_is_refused_also_by_copy(self):
        with scope(project="mine"):
            with self.db.writer():
                queries.insert_many(self.db, Own, [{"id": 1, "project_id": "mine"}])
            with self.raising(ForeignScope), self.db.writer():
                queries.insert_many(self.db, Own, [{"id": 2}])
        self.assertEqual([1], self.stored(Own))

    @on(POSTGRESQL)
    def test_times_are_told_in_the_zone_of_the_moment(self):
        lookup = queries.Lookup(select(func.to_timestamp(bindparam("second"))))
        for zone, hour in (("Asia/Tokyo", 9), ("UTC", 0), ("Asia/Tokyo", 9)):
            with self.db.writer.connection() as connection:
                connection.execute(text(f"SET LOCAL TIME ZONE '{zone}'"))
                ((told,),) = lookup.all(self.db, second=0)
            self.assertEqual(hour, told.hour, zone)
