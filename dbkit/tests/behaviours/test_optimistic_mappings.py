"""Compare-and-swap over mappings of other shapes than one class with one table of the same names."""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from sqlalchemy import Column, ForeignKey, Integer, String, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, registry

from dbkit import queries
from dbkit.exceptions import Staleness, StaleRow, UsageError
from dbkit.models import versioned
from dbkit.queries import ANY_VERSION, Swap
from dbkit.tests.behaviours.base import behaviours
from dbkit.tests.behaviours.combinations import BOTH_FACES, ONE
from dbkit.tests.behaviours.versions import Locking, Page


class Base(DeclarativeBase):
    """The tables of this file."""


class Renamed(Base):
    """Its attributes, its columns' keys and its columns' names differ."""

    __tablename__ = "shapes_renamed"

    one: Mapped[int] = mapped_column("first", primary_key=True)
    two: Mapped[str] = mapped_column("second", String(20), primary_key=True)
    body: Mapped[str] = mapped_column("text", String(20))
    count: Mapped[int] = mapped_column("changes", default=1)
    stamp: Mapped[str] = mapped_column("touched_by", String(20), default="nobody", onupdate=lambda: "python")
    __mapper_args__ = {"version_id_col": count}


class Token(Base):
    """Its version is made by a function."""

    __tablename__ = "shapes_tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    mark: Mapped[str] = mapped_column(String(32))
    text: Mapped[str] = mapped_column(String(20))
    __mapper_args__ = {
        "version_id_col": mark,
        "version_id_generator": lambda version: uuid.uuid4().hex,
    }


class Animal(Base):
    """The version of those who inherit from it stands here."""

    __tablename__ = "shapes_animals"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(20))
    version: Mapped[int] = mapped_column(default=1)
    __mapper_args__ = {"version_id_col": version, "polymorphic_on": kind, "polymorphic_identity": "animal"}


class Dog(Animal):
    """Has a table of its own beside it."""

    __tablename__ = "shapes_dogs"

    id: Mapped[int] = mapped_column(ForeignKey("shapes_animals.id"), primary_key=True)
    tricks: Mapped[int]
    __mapper_args__ = {"polymorphic_identity": "dog"}


class Moment(Base):
    """Its version is a time."""

    __tablename__ = "shapes_moments"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(20))
    at: Mapped[sa.DateTime] = mapped_column(sa.DateTime)
    __mapper_args__ = {"version_id_col": at, "version_id_generator": lambda version: version}


PLAIN = versioned(
    Table(
        "shapes_plain",
        Base.metadata,
        Column("id", Integer, key="number", primary_key=True),
        Column("text", String(20), key="body"),
        Column("changed_at", sa.DateTime, key="moment", onupdate=sa.func.now()),
    )
)


class Imperative:
    """Mapped by hand."""


registry(metadata=Base.metadata).map_imperatively(Imperative, PLAIN)


@behaviours(ONE)
class TestMappings(Locking):
    def setUp(self):
        super().setUp()
        with self.place.observer.connect() as connection:
            Base.metadata.drop_all(connection)
            Base.metadata.create_all(connection)

    async def stored_now(self, *objects):
        async with self.writer() as session:
            session.add_all(objects)

    async def loaded(self, model, key):
        async with self.reader() as session:
            return await session.get(model, key)

    async def test_names_are_those_of_the_attributes(self):
        await self.stored_now(Renamed(one=1, two="a", body="x"))
        row = await self.loaded(Renamed, (1, "a"))
        async with self.writer():
            self.assertEqual(2, await self.swap(Renamed, {"two": "a", "one": 1}, 1, {"body": "y"}))
        row.body = "z"
        async with self.writer() as session:
            error = await self.raises(StaleRow, self.swap, row)
            self.assertEqual(
                ((1, "a"), 1, 2, {"text", "touched_by"}),
                (error.key, error.expected, error.current, set(error.changed)),
            )
            held = await session.get(Renamed, (1, "a"))
            self.assertEqual(3, await self.swap(held, values={"body": "w"}))
            self.assertEqual(("w", 3, "python"), (held.body, held.count, held.stamp))
            done = await self.call("compare_and_swap_all", Renamed, [Swap((1, "a"), 3, {"body": "v"})])
            self.assertEqual({(1, "a"): 4}, dict(done.versions))

    async def test_a_version_that_a_function_makes_is_made_by_it(self):
        await self.stored_now(Token(id=1, text="x"))
        token = await self.loaded(Token, 1)
        before, token.text = token.mark, "y"
        async with self.writer():
            after = await self.swap(token)
            self.assertEqual((32, after), (len(after), token.mark))
            error = await self.raises(StaleRow, self.swap, Token, 1, before, {"text": "z"})
        self.assertEqual(after, error.current)

    async def test_one_statement_changes_one_table_of_those_that_are_joined(self):
        await self.stored_now(Dog(id=1, name="rex", tricks=1))
        dog = await self.loaded(Dog, 1)
        dog.name = "max"
        async with self.writer() as session:
            self.assertEqual(2, await self.swap(dog))
            error = await self.raises(UsageError, self.swap, Dog, 1, 2, {"tricks": 2})
            self.assertIn("through the session", str(error))
            again = await session.get(Dog, 1)
            again.tricks = 2
        self.assertEqual([3], self.place.ask("SELECT version FROM shapes_animals WHERE name = 'max'"))

    async def test_tables_and_classes_mapped_by_hand_do_as_well(self):
        with self.place.observer.connect() as connection:
            connection.execute(sa.insert(PLAIN).values(number=1, body="x"))
        async with self.writer() as session:
            self.assertEqual(2, await self.swap(PLAIN, 1, 1, {"body": "y"}))
            held = await session.get(Imperative, 1)
            held.body = "z"
            self.assertEqual(3, await self.swap(held))
            self.assertEqual(("z", 3, True), (held.body, held.version, held.moment is not None))

    async def test_a_time_is_no_version(self):
        async with self.writer():
            error = await self.raises(UsageError, self.swap, Moment, 1, ANY_VERSION, {"text": "x"})
        self.assertIn("is a time", str(error))

    async def test_a_flush_under_protection_tells_the_version_too(self):
        page = await self.loaded(Page, 1)
        self.meanwhile("UPDATE locking_pages SET version = 5 WHERE id = 1")

        async def work():
            async with self.writer.deadline(30)() as session:
                session.add(page)
                page.text = "lost?"

        error = await self.raises(StaleRow, work)
        self.assertEqual((Staleness.STALE, 1, 1, 5), (error.reason, error.key, error.expected, error.current))


@behaviours(BOTH_FACES)
class TestWhereverItIs(Locking):
    async def test_each_name_of_the_open_block_does(self):
        async with self.writer() as session:
            self.assertEqual(2, await self.swap(Page, 1, 1, {"text": "b"}))
            self.assertEqual(3, await self.swap(Page, 1, 2, {"text": "c"}, where=session))
            self.assertEqual(1, await self.call("increment", Page.hits, 1, where=session))
        async with self.writer.connection() as connection:
            if not self.is_asyncio:
                connection = connection.target
            self.assertEqual(2, await self.call("increment", Page.hits, 1, where=connection))
        self.assertEqual(("c", "t", 2, 5), self.page())
        self.assertTrue(queries.etag_of(Page, 1, 5))
