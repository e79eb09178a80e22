"""Rows that only are read, as a stream of which no more is held than a batch."""

from __future__ import annotations

from functools import cache

import testtools
from sqlalchemy import ForeignKey, Integer, String, TypeDecorator, bindparam, func, select, text
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    deferred,
    joinedload,
    mapped_column,
    relationship,
    selectinload,
)

import dbkit
from dbkit import models, queries
from dbkit.exceptions import DBError, NoTransaction, UsageError
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import EVERY_DRIVER, POSTGRESQL

ROWS = 25
READ: list[int] = []
"""What has come out of the column ``number``."""


class Counted(TypeDecorator):
    """Tells which values were read."""

    impl = Integer
    cache_ok = True

    def process_result_value(self, value, dialect):
        READ.append(value)
        return value


class Base(DeclarativeBase):
    """Of these tests alone."""


class Heap(Base):
    __tablename__ = "stream_heaps"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    grains: Mapped[list[Grain]] = relationship(lazy="joined", back_populates="heap")


class Grain(models.SoftDeleteMixin, Base):
    __tablename__ = "stream_grains"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(Counted)
    name: Mapped[str | None] = mapped_column(String(20))
    heap_id: Mapped[int | None] = mapped_column(ForeignKey(Heap.id))
    heap: Mapped[Heap | None] = relationship(lazy="selectin", back_populates="grains")

    @property
    def label(self) -> str:
        return f"{self.number}: {self.name}"


class Animal(Base):
    __tablename__ = "stream_animals"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(20))
    notes: Mapped[str | None] = deferred(mapped_column(String(20)))
    __mapper_args__ = {"polymorphic_on": kind, "polymorphic_identity": "animal"}


class Cat(Animal):
    __mapper_args__ = {"polymorphic_identity": "cat"}


GRAINS = queries.rows(select(Grain).where(Grain.number >= bindparam("least")).order_by(Grain.id))
ANIMALS = queries.rows(select(Animal).order_by(Animal.id))


@cache
def _prepare(place):
    Base.metadata.drop_all(place.observer)
    Base.metadata.create_all(place.observer)
    with place.observer.begin() as connection:
        connection.execute(Heap.__table__.insert(), [{"id": 1}])
        rows = [{"id": n, "number": n, "name": f"g{n}", "heap_id": 1, "deleted": 0} for n in range(ROWS)]
        connection.execute(Grain.__table__.insert(), [*rows, {**rows[0], "id": 99, "number": 99, "deleted": 99}])
        kinds = [{"id": n, "kind": kind, "notes": f"n{n}"} for n, kind in enumerate(("animal", "cat", "cat"))]
        connection.execute(Animal.__table__.insert(), kinds)


@behaviours(EVERY_DRIVER)
class TestStreams(Behaviour):
    def setUp(self):
        super().setUp()
        _prepare(self.place)
        READ.clear()

    async def streamed(self, rows, stop=None, **values):
        """Return the rows of a stream, as far as they are wanted."""
        found = []
        if self.is_asyncio:
            source = rows.astream(self.db, **values)
            async for each in source:
                found.append(each)
                if len(found) == stop:
                    break
            await source.aclose()
        else:
            source = rows.stream(self.db, **values)
            for each in source:
                found.append(each)
                if len(found) == stop:
                    break
            source.close()
        return found

    async def all(self, rows, **values):
        return await rows.aall(self.db, **values) if self.is_asyncio else rows.all(self.db, **values)

    async def test_a_stream_has_the_same_rows_and_no_more_of_them_than_a_batch(self):
        async with self.reader.connection():
            whole = await self.all(GRAINS, least=3)
            self.assertEqual(ROWS - 3, len(whole))
            self.assertEqual(whole, await self.streamed(GRAINS, batch=10, least=3))
            READ.clear()
            first = await self.streamed(GRAINS, batch=10, stop=1, least=3)
            self.assertLessEqual(len(READ), 10)
            self.assertEqual("3: g3", first[0].label)
            self.assertRaises(UsageError, setattr, first[0], "name", "x")
            self.assertEqual([], await self.streamed(GRAINS, least=1000))
        async with self.reader.without("soft_delete").connection():
            self.assertEqual(99, (await self.streamed(GRAINS, batch=10, least=3))[-1].number)

    async def test_rows_of_a_stream_load_their_relationships(self):
        async with self.reader():
            (row,) = await self.streamed(GRAINS, least=ROWS - 1)
            heap = await queries.arelated(row, "heap") if self.is_asyncio else row.heap
            self.assertEqual(1, heap.id)

    async def test_classes_of_other_kinds_come_through_a_session(self):
        async with self.reader():
            found = await self.streamed(ANIMALS, batch=2)
            self.assertEqual(
                [("animal", "n0"), ("cat", "n1"), ("cat", "n2")], [(each.kind, each.notes) for each in found]
            )

    async def test_what_the_session_has_pending_is_seen(self):
        with self.raising(ZeroDivisionError):
            async with self.writer() as session:
                grain = await session.get(Grain, 1)
                grain.name = "changed"
                self.assertEqual("changed", (await self.streamed(GRAINS, least=1))[0].name)
                raise ZeroDivisionError

    async def test_protected_blocks_stream_too(self):
        for protected in (self.reader.connection.deadline(20), self.writer.connection.replaying):
            async with protected():
                self.assertEqual(ROWS, len(await self.streamed(GRAINS, batch=10, least=0)))

    async def test_what_is_wrong_is_said_as_ever(self):
        broken = queries.rows(select(Grain).where(func.nosuchfunction(Grain.id) == bindparam("x")))
        await self.raises(NoTransaction, self.streamed, GRAINS)
        for error, rows, values in (
            (UsageError, GRAINS, {}),
            (UsageError, GRAINS, {"least": 1, "batch": 0}),
            (DBError, broken, {"x": 1}),
        ):
            with self.raising(error):
                async with self.reader.connection():
                    await self.streamed(rows, **values)


@behaviours(POSTGRESQL)
class TestServersCursor(Behaviour):
    async def test_the_rows_wait_at_the_server(self):
        _prepare(self.place)
        async with self.reader.connection() as connection:
            if self.is_asyncio:
                source = GRAINS.astream(self.db, batch=5, least=0)
                await anext(source)
            else:
                source = GRAINS.stream(self.db, batch=5, least=0)
                next(source)
            if self.combination.driver != "asyncpg":  # whose cursors are portals without a name
                count = await connection.execute(
                    text("SELECT count(*) FROM pg_cursors WHERE statement LIKE '%grains%'")
                )
                self.assertEqual(1, count.scalar())
            await source.aclose() if self.is_asyncio else source.close()


class TestEagerClasses(testtools.TestCase):
    """A class whose relationships are loaded with it is found as a session finds it."""

    def setUp(self):
        super().setUp()
        self.db = dbkit.Database("sqlite://")
        self.addCleanup(self.db.dispose)
        Base.metadata.create_all(self.db.engine)
        with self.db.writer() as session:
            session.add(Heap(id=1, grains=[Grain(id=n, number=n) for n in (1, 2)]))

    def test_an_object_is_found_once_and_with_what_belongs_to_it(self):
        with self.db.reader.connection():
            heap = queries.find(Heap).one(self.db, id=1)
            grain = queries.find(Grain).one(self.db, id=1)
        self.assertEqual([1, 2], [each.id for each in heap.grains])
        self.assertEqual(1, grain.heap.id)

    def test_a_row_is_found_once(self):
        heaps = queries.rows(select(Heap))
        for where in (self.db.reader.connection(), self.db.reader.connection.deadline(20)()):
            with where:
                self.assertEqual(1, len(heaps.all(self.db)))
                self.assertEqual(1, len(list(heaps.stream(self.db))))

    def test_options_that_load_more_are_a_sessions_business(self):
        with self.db.reader():
            for option in (selectinload(Heap.grains), joinedload(Heap.grains)):
                found = queries.Lookup(select(Heap).options(option)).all(self.db)
                self.assertEqual([2], [len(each.grains) for each in found])

    def test_rows_that_a_join_repeats_are_repeated_whichever_way_is_taken(self):
        joined = queries.Lookup(select(Animal.id).join(Grain, Grain.number >= 0).where(Animal.id == 1))
        objects = queries.rows(select(Animal).join(Grain, Grain.number >= 0))
        with self.db.writer() as session:
            session.add(Cat(id=1))
            session.flush()
            self.assertEqual(
                (2, 2, 2), (len(joined.all(self.db)), len(objects.all(self.db)), len(list(objects.stream(self.db))))
            )
