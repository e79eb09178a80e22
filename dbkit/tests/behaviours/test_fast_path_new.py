"""A new object that was saved past the unit of work is what a flush would have made of it, to the last attribute."""

from __future__ import annotations

import decimal
from functools import cache, partial

import testtools
from sqlalchemy import event, func, select
from sqlalchemy import inspect as look_at
from sqlalchemy.orm import Mapper, Session

import dbkit
from dbkit import filters, queries
from dbkit.exceptions import DBDuplicateEntry, DBReadOnly, ForeignScope
from dbkit.queries.fast.adding import adder_of
from dbkit.queries.where import transaction_of
from dbkit.tests.behaviours import shelves
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import EVERY_DRIVER, ONE_PER_PRODUCT, Product
from dbkit.tests.behaviours.shelves import (
    Animal,
    Cat,
    Colour,
    Counted,
    Eager,
    Lazy,
    Numbered,
    Paired,
    Partial,
    Placed,
    Point,
    Sequenced,
    Shelf,
    Silent,
    Thing,
    Told,
    Typed,
)
from dbkit.transaction.greenlets import in_task

_SQLITE = {Product.SQLITE_FILE, Product.SQLITE_MEMORY}
_EVERYWHERE = set(Product)

_STRAIGHT = (
    ("nothing but defaults", Thing, {}, _EVERYWHERE),
    ("everything", Thing, {"name": "n", "scalar": 1, "by_sql": "q", "by_server": "s", "seldom": "d"}, _EVERYWHERE),
    ("NULL where there are defaults", Thing, {"name": None, "scalar": None, "by_server": None}, _EVERYWHERE),
    ("a key of one's own", Thing, {"id": 4711, "name": "n"}, _EVERYWHERE),
    ("an empty collection", Shelf, {"name": "n"}, _EVERYWHERE),
    (
        "types",
        Typed,
        {"price": decimal.Decimal("1.50"), "colour": Colour.RED, "document": {"a": [1]}, "bare": None},
        _EVERYWHERE,
    ),
    ("bytes", Typed, {"data": b"\0\1"}, _EVERYWHERE),
    ("JSON's null", Typed, {"document": None, "bare": None}, _EVERYWHERE),
    ("mixins", Counted, {"name": "n"}, _EVERYWHERE),
    ("a version of one's own", Counted, {"name": "n", "version": 9, "project_id": "red"}, _EVERYWHERE),
    ("identity", Numbered, {"name": "n"}, _EVERYWHERE),
    ("a sequence", Sequenced, {"name": "n"}, {*_SQLITE, Product.POSTGRESQL}),
    ("a key of two columns", Paired, {"left": 1, "right": "r"}, _EVERYWHERE),
    ("without RETURNING", Silent, {}, _EVERYWHERE - {Product.POSTGRESQL}),
    ("lazy defaults", Lazy, {}, _EVERYWHERE),
    ("a column that is not mapped", Partial, {"name": "n"}, _EVERYWHERE),
)
_ORDINARY = (
    ("eager defaults", Eager, {}),
    ("a default that looks at the others", Told, {"name": "n"}),
    ("a composite", Placed, {"point": Point(1, 2)}),
    ("a class with kinds", Animal, {}),
    ("a kind", Cat, {}),
    ("a relation to nothing", Thing, {"shelf": None}),
    ("an SQL expression", Thing, {"name": func.lower("N")}),
    ("children", Shelf, {"things": ["one"]}),
)


@cache
def _prepare(place):
    shelves.Base.metadata.drop_all(place.observer)
    shelves.Base.metadata.create_all(place.observer)


class _Forms(Behaviour):
    def setUp(self):
        super().setUp()
        _prepare(self.place)
        self.place.delete_from(*(model.__tablename__ for model in (Thing, Paired, Counted)))
        self.enterContext(filters.scope(project="red"))

    async def call(self, function, *args, **values):
        return await in_task(partial(function, *args, **values)) if self.is_asyncio else function(*args, **values)


def _made(model, values):
    values = {
        name: [Thing(name=each) for each in value] if name == "things" else value for name, value in values.items()
    }
    made = model(**values)
    if model is Shelf and "things" not in values:
        assert made.things == []  # looked at, as a constructor or a template does
    return made


def _add(where, instance):
    return adder_of(look_at(instance)).add(transaction_of(where), look_at(instance), instance.__dict__)


def _facts(session, instance):
    """Return all that can be told of an object and its session, without what differs from row to row."""
    state = look_at(instance)
    keys = [look_at(type(instance)).get_property_by_column(each).key for each in look_at(type(instance)).primary_key]
    loaded = {name: value for name, value in instance.__dict__.items() if name not in ("_sa_instance_state", *keys)}
    for name in ("created_at",):
        if name in loaded:
            loaded[name] = type(loaded[name])
    facts = {
        "loaded": {
            name: [each.name for each in value] if name == "things" else value for name, value in loaded.items()
        },
        "keys": {name: type(instance.__dict__.get(name)) for name in keys},
        "expired": set(state.expired_attributes),
        "changed": (state.modified, dict(state.committed_state), state.expired, state._strong_obj),
        "identity": state.key is not None and state.key == look_at(type(instance)).identity_key_from_instance(instance),
        "life": (state.persistent, state.session is session, state.key in session.identity_map),
        "pending": (list(session.new), list(session.dirty), session.is_modified(instance)),
        "of the transaction": state in session._transaction._new,
    }
    attributes = [each.key for each in look_at(type(instance)).column_attrs if each.key not in (*keys, "created_at")]
    facts["read"] = {name: getattr(instance, name) for name in attributes}
    return facts


@behaviours(EVERY_DRIVER)
class TestEachAttribute(_Forms):
    async def test_it_is_as_after_a_flush(self):
        wrong = []
        forms = [(*each, True) for each in _STRAIGHT] + [(*each, _EVERYWHERE, False) for each in _ORDINARY]
        for label, model, values, products, is_straight in forms:
            if model is Sequenced and self.is_on(Product.MARIADB):
                continue  # its column has no default there, and its INSERTs no number
            if label == "bytes" and self.combination.driver == "aiomysql":
                continue  # it can't send any
            is_straight = is_straight and self.combination.product in products
            ways = {}
            rows = {}
            for way in ("flushed", "saved"):
                async with self.writer() as session:
                    instance = _made(model, values)
                    if way == "flushed":
                        session.add(instance)
                        await session.flush()
                    else:
                        took = await self.call(_add, self.db, instance)
                        if took is not is_straight:
                            wrong.append(f"{label}: went straight: {took}")
                        if not took:
                            await self.call(queries.save, self.db, instance)
                    ways[way] = await self.call(_facts, self.db.current.physical().session, instance)
                    await session.flush()
                rows[way] = self._row(model)
            if ways["saved"] != ways["flushed"]:
                wrong.append(f"{label}: {ways['saved']}\n    not {ways['flushed']}")
            if rows["saved"] != rows["flushed"]:
                wrong.append(f"{label}: the row is {rows['saved']}, not {rows['flushed']}")
        self.assertEqual([], wrong)

    def _row(self, model):
        """Return the only row of a table without its key, and remove it."""
        table = look_at(model).local_table
        columns = [
            each for each in table.columns if not each.primary_key and each.name not in ("created_at", "shelf_id")
        ]
        with self.place.observer.begin() as connection:
            found = [tuple(each) for each in connection.execute(select(*columns))]
            if model is Shelf:
                connection.execute(Thing.__table__.delete())
            connection.execute(table.delete())
        return found


@behaviours(ONE_PER_PRODUCT)
class TestNewObjects(_Forms):
    def names(self):
        with self.place.observer.connect() as connection:
            return list(connection.scalars(select(Thing.__table__.c.called).order_by(Thing.__table__.c.id)))

    async def test_they_are_the_sessions_from_then_on(self):
        async with self.writer() as session:
            thing = Thing(name="new")
            await self.call(queries.save, self.db, thing)
            self.assertIs(thing, await session.get(Thing, thing.id))
            thing.name = "changed"
        self.assertEqual(["changed"], self.names())
        self.assertTrue(look_at(thing).detached)

    async def test_a_rollback_makes_them_new_again(self):
        things = [Thing(name="one"), Thing(name="two")]

        async def fail(opener, thing):
            async with opener():
                await self.call(queries.save, self.db, thing)
                raise ZeroDivisionError

        await self.raises(ZeroDivisionError, fail, self.writer, things[0])
        async with self.writer():
            await self.raises(ZeroDivisionError, fail, self.writer.savepoint, things[1])
            await self.call(queries.save, self.db, Thing(name="kept"))
        self.assertEqual([True, True], [look_at(each).transient for each in things])
        self.assertEqual(["kept"], self.names())

    async def test_what_the_database_refuses_is_typed_and_leaves_the_object_new(self):
        async with self.writer.connection():
            await self.call(queries.save, self.db, Paired(left=1, right="a"))
        pair = Paired(left=1, right="a")
        with self.raising(DBDuplicateEntry):
            async with self.writer.connection():
                await self.call(queries.save, self.db, pair)
        self.assertTrue(look_at(pair).transient)
        self.assertNotIn("name", pair.__dict__)

    async def test_a_reader_stores_nothing(self):
        with self.raising(DBReadOnly):
            async with self.reader.connection():
                await self.call(queries.save, self.db, Thing(name="no"))
        self.assertEqual([], self.names())

    async def test_no_tenant_stores_for_another(self):
        error = await self.raises(ForeignScope, self.save_in_block, Counted(project_id="blue"))
        self.assertIn("'project_id'", str(error))
        await self.save_in_block(Counted(name="mine"))
        self.assertEqual(["red"], self.place.ask("SELECT project_id FROM new_counted"))

    async def save_in_block(self, instance):
        async with self.writer.connection():
            await self.call(queries.save, self.db, instance)

    async def test_protections_see_the_insert(self):
        for protected in (self.writer.connection.deadline(20), self.writer.connection.replaying):
            async with protected():
                await self.call(queries.save, self.db, Thing(name="guarded"))
        self.assertEqual(["guarded", "guarded"], self.names())


class TestOrdinaryWay(testtools.TestCase):
    """What a flush must do is left to it."""

    def setUp(self):
        super().setUp()
        self.db = dbkit.Database("sqlite://")
        self.addCleanup(self.db.dispose)
        shelves.Base.metadata.create_all(self.db.engine)

    def went(self, instance=None):
        """Save an object and return whether it went straight."""
        instance = Thing(name="new") if instance is None else instance
        straight = _add(self.db, instance)
        if not straight:
            queries.save(self.db, instance)
        return straight

    def test_who_listens_is_told(self):
        wrong = []
        for target, names in (
            (Thing, ("before_insert", "after_insert", "refresh_flush")),
            (Mapper, ("before_insert", "after_insert")),
            (
                Session,
                (
                    "before_flush",
                    "after_flush",
                    "after_flush_postexec",
                    "before_attach",
                    "after_attach",
                    "transient_to_pending",
                    "pending_to_persistent",
                ),
            ),
        ):
            for name in names:
                told = []

                def listener(*args, told=told):
                    told.append(args)

                with self.db.writer() as session:
                    event.listen(target, name, listener)
                    try:
                        straight = self.went()
                    finally:
                        event.remove(target, name, listener)
                    if straight or not told:
                        wrong.append(f"{target.__name__}.{name}: straight {straight}, told {len(told)} times")
                    if target is Session:
                        told.clear()
                        session.expunge_all()
                        event.listen(session, name, listener)
                        if self.went() or not told:
                            wrong.append(f"this session's {name}: told {len(told)} times")
        self.assertEqual([], wrong)
        with self.db.writer():
            self.assertTrue(self.went())

    def test_a_session_with_work_of_its_own_is_flushed(self):
        with self.db.writer() as session:
            thing = Thing(id=1)
            session.add(thing)
            self.assertFalse(self.went())
            self.assertTrue(self.went())
            thing.name = "changed"
            self.assertFalse(self.went())
            session.delete(thing)
            self.assertFalse(self.went())
            self.assertEqual(4, session.scalar(select(func.count()).select_from(Thing)))

    def test_one_of_the_same_key_is_spoken_of_by_the_flush(self):
        def store_again():
            with self.db.writer() as session:
                kept = Paired(left=1, right="a")
                session.add(kept)
                session.flush()
                self.went(Paired(left=1, right="a"))

        with self.assertWarnsRegex(Warning, "conflicts with persistent instance"):
            self.assertRaises(DBDuplicateEntry, store_again)

    def test_a_parent_takes_its_children_along(self):
        with self.db.writer() as session:
            self.assertFalse(self.went(Shelf(things=[Thing(name="child")])))
            self.assertFalse(self.went(Thing(shelf=Shelf(name="parent"))))
            self.assertEqual(
                (2, 2), tuple(session.scalar(select(func.count()).select_from(each)) for each in (Shelf, Thing))
            )
