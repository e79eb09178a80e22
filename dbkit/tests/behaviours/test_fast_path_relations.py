"""Objects that lookups have made load their relationships when they are asked for, through the open block."""

from __future__ import annotations

import copy
import pickle
from functools import cache, partial

import testtools
from sqlalchemy import Column, ForeignKey, Integer, String, Table, select
from sqlalchemy import inspect as look_at
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, Mapped, joinedload, mapped_column, raiseload, relationship

import dbkit
from dbkit import models, queries
from dbkit.exceptions import HandleNotRequested, NoTransaction, StaleRow, UsageError
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import ONE_PER_PRODUCT
from dbkit.transaction.greenlets import in_task


class Base(AsyncAttrs, DeclarativeBase):
    """Of these tests alone."""


LINKS = Table(
    "related_links",
    Base.metadata,
    Column("desk", ForeignKey("related_desks.id"), primary_key=True),
    Column("tag", ForeignKey("related_tags.id"), primary_key=True),
)


class Room(Base):
    __tablename__ = "related_rooms"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    desks: Mapped[list[Desk]] = relationship(back_populates="room", order_by="Desk.id")


class Tag(Base):
    __tablename__ = "related_tags"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class Desk(models.SoftDeleteMixin, models.VersionMixin, Base):
    __tablename__ = "related_desks"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str | None] = mapped_column(String(20))
    size: Mapped[int] = mapped_column(Integer, default=0)
    room_id: Mapped[int | None] = mapped_column(ForeignKey(Room.id))
    room: Mapped[Room | None] = relationship(back_populates="desks")
    tags: Mapped[list[Tag]] = relationship(secondary=LINKS)
    never: Mapped[Room | None] = relationship(viewonly=True, lazy="raise")


DESK = queries.find(Desk)
ROOM = queries.find(Room)


@cache
def _prepare(place):
    Base.metadata.drop_all(place.observer)
    Base.metadata.create_all(place.observer)


@behaviours(ONE_PER_PRODUCT)
class TestRelationships(Behaviour):
    def setUp(self):
        super().setUp()
        _prepare(self.place)
        self.place.delete_from(*(table.name for table in reversed(Base.metadata.sorted_tables)))
        self.run_plain(self.fill)

    async def fill(self):
        async with self.writer() as session:
            room, tag = Room(id=1), Tag(id=1)
            session.add_all([room, *(Desk(id=n, name=f"d{n}", room=room, tags=[tag]) for n in (1, 2)), Desk(id=3)])
            session.add(Desk(id=4, name="gone", room=room, deleted=4))

    async def call(self, function, *args, **values):
        return await in_task(partial(function, *args, **values)) if self.is_asyncio else function(*args, **values)

    async def load(self, instance, name):
        """Ask for a relationship as one does in each colour."""
        return await queries.arelated(instance, name) if self.is_asyncio else getattr(instance, name)

    async def found(self, lookup, number):
        async with self.reader.connection():
            return await self.call(lookup.one, self.db, id=number)

    async def test_they_are_loaded_when_they_are_asked_for(self):
        async with self.reader.connection():
            desk = await self.call(DESK.one, self.db, id=1)
            room = await self.load(desk, "room")
            self.assertEqual((1, [1]), (room.id, [each.id for each in await self.load(desk, "tags")]))
            self.assertEqual([1, 2], [each.id for each in await self.load(room, "desks")])
            self.assertIs(room, desk.room)
            self.assertTrue(look_at(desk).detached and not look_at(desk).modified)
            single = await self.call(DESK.one, self.db, id=3)
            self.assertIsNone(await self.load(single, "room"))
            self.assertEqual([], await self.load(single, "tags"))

    async def test_another_block_may_load_them_and_outside_none_does(self):
        for lookup, name in ((DESK, "room"), (ROOM, "desks")):
            instance = await self.found(lookup, 1)
            error = await self.raises(NoTransaction, self.load, instance, name)
            self.assertIn(f"{type(instance).__name__}.{name}", str(error))
            async with self.reader():
                self.assertTrue(await self.load(instance, name))

    async def test_in_asyncio_one_waits_for_them(self):
        if not self.is_asyncio:
            return
        row = queries.rows(select(Desk).where(Desk.id == 1))
        async with self.reader.connection():
            for each in (await DESK.aone(self.db, id=1), await row.aone(self.db)):
                error = self.assertRaises(HandleNotRequested, getattr, each, "room")
                self.assertIn("await queries.arelated(..., 'room')", str(error))
                self.assertEqual(1, (await queries.arelated(each, "room")).id)
            desk = await DESK.aone(self.db, id=2)
            self.assertEqual(1, (await desk.awaitable_attrs.room).id)

    async def test_rules_count_as_the_block_that_loads_says(self):
        room = await self.found(ROOM, 1)
        async with self.reader.without("soft_delete")():
            self.assertEqual([1, 2, 4], [each.id for each in await self.load(room, "desks")])
        room = await self.found(ROOM, 1)
        async with self.reader():
            self.assertEqual([1, 2], [each.id for each in await self.load(room, "desks")])

    async def test_what_was_not_saved_is_not_stored_by_it(self):
        async with self.writer():
            desk = await self.call(DESK.one, self.db, id=1)
            desk.name = "unsaved"
            await self.load(desk, "room")
        self.assertEqual("d1", self.place.ask("SELECT name FROM related_desks WHERE id = 1")[0])

    async def test_an_object_is_saved_though_the_session_has_another_of_its_row(self):
        async with self.writer():
            desk = await self.call(DESK.one, self.db, id=1)
            room = await self.load(desk, "room")
            (twin, *_) = await self.load(room, "desks")
            self.assertIsNot(desk, twin)
            desk.name = "saved"
            await self.call(queries.save, self.db, desk)
            desk.size = 7
            await self.call(queries.save, self.db, desk)
            self.assertEqual(("saved", 7, 3, False), (twin.name, twin.size, desk.version, look_at(desk).modified))
        with self.place.observer.connect() as connection:
            stored = connection.execute(select(Desk.name, Desk.size, Desk.version).where(Desk.id == 1)).one()
        self.assertEqual(("saved", 7, 3), tuple(stored))

    async def test_a_stale_object_is_refused_though_the_session_has_a_fresh_one(self):
        desk = await self.found(DESK, 1)
        self.place.do("UPDATE related_desks SET name = 'theirs', version = 2 WHERE id = 1")
        desk.name = "mine"
        with self.raising(StaleRow) as caught:
            async with self.writer() as session:
                fresh = await session.get(Desk, 1)
                await self.call(queries.save, self.db, desk)
        self.assertIsNot(fresh, desk)
        self.assertEqual(2, caught.error.current)
        self.assertEqual("theirs", self.place.ask("SELECT name FROM related_desks WHERE id = 1")[0])

    async def test_objects_that_took_the_ordinary_way_are_the_same(self):
        async with self.reader() as session:
            tag = await session.get(Tag, 1)
            desk = await self.call(DESK.one, self.db, id=1)
            self.assertTrue(look_at(desk).persistent and look_at(tag).persistent)
        await self.raises(NoTransaction, self.load, desk, "room")
        async with self.reader():
            self.assertEqual(1, (await self.load(desk, "room")).id)

    async def test_any_detached_object_may_be_asked(self):
        async with self.reader() as session:
            desk = await session.get(Desk, 1)
        async with self.reader():
            self.assertEqual(1, (await self.call(queries.related, desk, "room")).id)


class TestStates(testtools.TestCase):
    """What SQLAlchemy does with an object is not disturbed by what loads its relationships."""

    def setUp(self):
        super().setUp()
        self.db = dbkit.Database("sqlite://")
        self.addCleanup(self.db.dispose)
        Base.metadata.create_all(self.db.engine)
        with self.db.writer() as session:
            session.add(Desk(id=1, room=Room(id=1)))

    def desk(self):
        with self.db.reader.connection():
            return DESK.one(self.db, id=1)

    def test_a_strategy_that_refuses_refuses(self):
        desk = self.desk()
        with self.db.reader():
            self.assertRaises(InvalidRequestError, getattr, desk, "never")

    def test_another_database_does_not_load_them(self):
        desk = self.desk()
        other = dbkit.Database("sqlite://")
        self.addCleanup(other.dispose)
        with other.reader():
            self.assertRaises(NoTransaction, getattr, desk, "room")
            with self.db.reader.independent():
                self.assertEqual(1, desk.room.id)

    def test_to_set_or_to_delete_one_asks_nobody(self):
        desk = self.desk()
        desk.room = None
        self.assertTrue(look_at(desk).modified)
        desk = self.desk()
        self.assertFalse(look_at(desk).attrs.room.history.has_changes())
        self.assertNotIn("room", desk.__dict__)

    def test_added_merged_refreshed_and_expired_it_is_an_object_like_any_other(self):
        with self.db.writer() as session:
            desk = self.desk()
            session.add(desk)
            self.assertEqual(1, desk.room.id)
            session.expire(desk)
            self.assertEqual(1, desk.room.id)
            session.expire(desk, ["room"])
            session.refresh(desk)
            self.assertEqual(1, desk.room.id)
        with self.db.writer() as session:
            merged = session.merge(self.desk())
            self.assertEqual(1, merged.room.id)
        with self.db.reader() as session:
            desk, other = self.desk(), self.desk()
            session.add(desk)
            session.scalars(
                select(Desk).options(raiseload(Desk.room)).execution_options(populate_existing=True)
            ).unique().all()
            self.assertRaises(InvalidRequestError, getattr, desk, "room")
        with self.db.reader():
            self.assertEqual(1, other.room.id)

    def test_one_that_was_loaded_with_it_is_not_loaded_again(self):
        eager = queries.Lookup(select(Desk).options(joinedload(Desk.room)))
        with self.db.reader():
            (desk,) = eager.all(self.db)
        self.assertEqual(1, desk.room.id)

    def test_copies_and_pickles_load_them_too(self):
        for desk in (pickle.loads(pickle.dumps(self.desk())), copy.deepcopy(self.desk())):
            self.assertRaises(NoTransaction, getattr, desk, "room")
            with self.db.reader():
                self.assertEqual(1, desk.room.id)

    def test_only_relationships_are_loaded_so(self):
        with self.db.reader():
            for wrong, name in ((self.desk(), "name"), (self.desk(), "nothing"), (object(), "room")):
                self.assertRaises(UsageError, queries.related, wrong, name)
