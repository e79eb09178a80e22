"""Lookups and saves that go straight to the driver do what sessions do; what they can't do, sessions do for them."""

from __future__ import annotations

import datetime
import pickle
from functools import partial

import testtools
from sqlalchemy import DateTime, ForeignKey, String, bindparam, event, func, select
from sqlalchemy import inspect as look_at
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    deferred,
    mapped_column,
    relationship,
    validates,
)

import dbkit
from dbkit import models, queries
from dbkit.exceptions import DBDuplicateEntry, DBError, DBReadOnly, NoTransaction, StaleRow, UsageError
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import EVERY_DRIVER, SQLITE_FILE, Product
from dbkit.transaction.greenlets import in_task

EARLY = datetime.datetime(2020, 1, 1)
LATE = datetime.datetime(2021, 1, 1)


class Base(DeclarativeBase):
    """Of these tests alone."""


class Shelf(Base):
    __tablename__ = "fast_shelves"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str | None] = mapped_column(String(50))


class Book(models.SoftDeleteMixin, Base):
    __tablename__ = "fast_books"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    title: Mapped[str | None] = mapped_column(String(50), unique=True)
    pages: Mapped[int] = mapped_column(default=0)
    bought_at: Mapped[datetime.datetime | None] = mapped_column(DateTime, default=EARLY, onupdate=lambda: LATE)
    shelf_id: Mapped[int | None] = mapped_column(ForeignKey(Shelf.id))
    shelf: Mapped[Shelf | None] = relationship()
    version: Mapped[int] = mapped_column(default=1)
    __mapper_args__ = {"version_id_col": version}

    @property
    def label(self) -> str:
        return f"{self.id}: {self.title}"

    @validates("pages")
    def _check_pages(self, key, value):
        if isinstance(value, int) and value < 0:
            raise ValueError("a book has no negative pages")
        return value


class Stored(Base):
    """What the database or others have a say in."""

    __tablename__ = "fast_stored"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    note: Mapped[str | None] = mapped_column(String(50))
    changed: Mapped[str | None] = mapped_column(String(50), onupdate=func.lower("CHANGED"))
    text: Mapped[str | None] = deferred(mapped_column(String(50)))


BOOKS = Book.__table__
BY_TITLE = queries.Lookup(select(Book).where(Book.title == bindparam("title")))
BY_ID = queries.find(Book)
ALL = queries.rows(select(Book).order_by(Book.id))
TITLES = queries.Lookup(select(Book.title, Book.pages).where(Book.pages > bindparam("least")).order_by(Book.id))

ONE_EACH = frozenset(
    each
    for each in EVERY_DRIVER
    if each.scheme != "mariadb" and each.product is not Product.SQLITE_MEMORY and each.driver not in ("aiomysql",)
)


@behaviours(ONE_EACH)
class TestFastPath(Behaviour):
    def setUp(self):
        super().setUp()
        observer = self.place.observer
        Base.metadata.drop_all(observer)
        Base.metadata.create_all(observer)
        self.addCleanup(Base.metadata.drop_all, observer)
        self.run_plain(self.fill)

    def rows(self, sql):
        """Return what another client reads."""
        with self.place.observer.connect() as connection:
            return [tuple(each) for each in connection.execute(sql)]

    async def fill(self):
        async with self.writer() as session:
            session.add(Shelf(id=1, name="one"))
            session.add_all([Book(id=n, title=f"book {n}", pages=n, shelf_id=1) for n in (1, 2, 3)])
            session.add(Stored(id=1, note="a", text="long"))

    async def call(self, function, *args, **values):
        """Call a function of queries in the colour of the test."""
        return await in_task(partial(function, *args, **values)) if self.is_asyncio else function(*args, **values)

    def titles(self):
        return [title for (title,) in self.rows(select(BOOKS.c.title).order_by(BOOKS.c.id))]

    def book(self, number=1):
        columns = BOOKS.c
        return self.rows(
            select(columns.title, columns.pages, columns.bought_at, columns.version).where(columns.id == number)
        )[0]

    # -- reading ------------------------------------------------------------------------------------------------------

    async def test_objects_are_as_a_session_loads_them(self):
        async with self.reader.connection():
            book = await self.call(BY_TITLE.one, self.db, title="book 2")
        self.assertEqual((2, "book 2", 2, EARLY, 1), (book.id, book.title, book.pages, book.bought_at, book.version))
        state = look_at(book)
        self.assertTrue(state.detached and not state.modified)
        async with self.reader() as session:
            self.assertEqual(look_at(await session.get(Book, 2)).identity_key, state.identity_key)

    async def test_none_one_and_several(self):
        async with self.reader.connection():
            self.assertIsNone(await self.call(BY_TITLE.one_or_none, self.db, title="none"))
            self.assertIsNone(await self.call(BY_TITLE.first, self.db, title="none"))
            found = await self.call(TITLES.all, self.db, least=1)
            self.assertEqual([("book 2", 2), ("book 3", 3)], found)
            self.assertEqual("book 2", found[0].title)
            self.assertEqual([], await self.call(TITLES.all, self.db, least=9))
            for value, expected in ((9, "found no row"), (0, "more than one")):
                error = await self.raises(Exception, partial(self.call, TITLES.one, self.db, least=value))
                self.assertIn(expected, str(error))

    async def test_a_missing_value_is_named(self):
        async with self.reader.connection():
            error = await self.raises(UsageError, self.call, BY_TITLE.one, self.db)
        self.assertIn("'title'", str(error))

    async def test_deleted_rows_are_not_found_unless_asked_for(self):
        async with self.writer() as session:
            await session.delete(await session.get(Book, 2))
        async with self.reader.connection():
            self.assertIsNone(await self.call(BY_ID.one_or_none, self.db, id=2))
            self.assertEqual([1, 3], [each.id for each in await self.call(ALL.all, self.db)])
        hidden = queries.Lookup(select(Book).where(Book.id == bindparam("id")).options(dbkit.without("soft_delete")))
        async with self.reader.connection():
            self.assertEqual(2, (await self.call(hidden.one, self.db, id=2)).deleted)

    async def test_a_sessions_objects_are_agreed_with(self):
        async with self.writer() as session:
            book = await session.get(Book, 1)
            book.title = "renamed"
            found = await self.call(BY_TITLE.one, self.db, title="renamed")
            self.assertIs(book, found)

    async def test_rows_look_like_the_model(self):
        async with self.reader.connection():
            first, *others = await self.call(ALL.all, self.db)
        self.assertEqual((1, "book 1", EARLY, "1: book 1"), (first.id, first.title, first.bought_at, first.label))
        self.assertIn("title='book 1'", repr(first))
        self.assertEqual(first, pickle.loads(pickle.dumps(first)))
        self.assertNotEqual(first, others[0])
        self.assertIn("queries.save()", str(self.assertRaises(UsageError, setattr, first, "title", "x")))
        self.assertRaises(AttributeError, getattr, first, "nothing")
        self.assertRaises(NoTransaction, getattr, first, "shelf")
        async with self.reader():
            shelf = await self.call(queries.related, first, "shelf")
            self.assertEqual("one", shelf.name)

    async def test_rows_of_a_block_with_objects_are_the_same(self):
        async with self.reader.connection():
            straight_ones = await self.call(ALL.all, self.db)
        async with self.reader() as session:
            await session.get(Shelf, 1)
            self.assertEqual(straight_ones, await self.call(ALL.all, self.db))

    async def test_errors_are_those_of_a_session(self):
        broken = queries.Lookup(select(Book.id).where(func.nosuchfunction(Book.id) == bindparam("x")))
        with self.raising(DBError):
            async with self.writer.connection():
                await self.call(broken.all, self.db, x=1)

    # -- writing ------------------------------------------------------------------------------------------------------

    async def test_what_was_changed_is_stored_with_defaults_and_version(self):
        async with self.writer.connection():
            book = await self.call(BY_ID.one, self.db, id=1)
            book.title = "changed"
            await self.call(queries.save, self.db, book)
            self.assertEqual((LATE, 2), (book.bought_at, book.version))
            self.assertFalse(look_at(book).modified)
            book.pages = 7
            await self.call(queries.save, self.db, book)
        self.assertEqual(("changed", 7, 3), (self.book()[0], self.book()[1], self.book()[3]))

    async def test_nothing_changed_is_nothing_sent(self):
        async with self.writer.connection():
            book = await self.call(BY_ID.one, self.db, id=1)
            await self.call(queries.save, self.db, book)
        self.assertEqual(1, self.book()[3])

    async def test_a_row_that_somebody_else_has_changed_is_not_overwritten(self):
        async with self.reader.connection():
            book = await self.call(BY_ID.one, self.db, id=1)
        self.place.do("UPDATE fast_books SET version = 9 WHERE id = 1")
        book.title = "late"
        with self.raising(StaleRow) as caught:
            async with self.writer.connection():
                await self.call(queries.save, self.db, book)
        self.assertEqual(9, caught.error.current)
        self.assertEqual("book 1", self.book()[0])

    async def test_an_error_is_typed_and_loses_the_block_as_ever(self):
        with self.raising(DBDuplicateEntry):
            async with self.writer.connection():
                book = await self.call(BY_ID.one, self.db, id=1)
                book.title = "book 2"
                await self.call(queries.save, self.db, book)
        self.assertEqual(["book 1", "book 2", "book 3"], self.titles())

    async def test_a_rollback_takes_it_back(self):
        with self.raising(ZeroDivisionError):
            async with self.writer.connection():
                book = await self.call(BY_ID.one, self.db, id=1)
                book.title = "changed"
                await self.call(queries.save, self.db, book)
                raise ZeroDivisionError
        self.assertEqual("book 1", self.book()[0])

    async def test_a_reader_does_not_save(self):
        with self.raising(DBReadOnly):
            async with self.reader.connection():
                book = await self.call(BY_ID.one, self.db, id=1)
                book.title = "changed"
                await self.call(queries.save, self.db, book)
        self.assertEqual("book 1", self.book()[0])

    async def test_nor_does_one_inside_a_writer(self):
        with self.raising(DBError):
            async with self.writer.connection():
                book = await self.call(BY_ID.one, self.db, id=1)
                book.title = "changed"
                async with self.reader.connection():
                    await self.call(queries.save, self.db, book)
        self.assertEqual("book 1", self.book()[0])

    async def test_sessions_and_savepoints_join_what_was_begun_without_them(self):
        async with self.writer() as session:
            book = await self.call(BY_ID.one, self.db, id=1)
            book.title = "kept"
            await self.call(queries.save, self.db, book)
            with self.raising(ZeroDivisionError):
                async with session.begin_nested():
                    book.title = "lost"
                    await self.call(queries.save, self.db, book)
                    raise ZeroDivisionError
            session.add(Shelf(id=2))
        self.assertEqual("kept", self.book()[0])
        self.assertEqual([(2,)], self.rows(select(func.count()).select_from(Shelf)))

    # -- what takes the ordinary way ----------------------------------------------------------------------------------

    async def test_protections_see_each_statement(self):
        for protected in (self.writer.connection.deadline(20), self.writer.connection.replaying):
            async with protected():
                book = await self.call(BY_ID.one, self.db, id=1)
                book.pages += 1
                await self.call(queries.save, self.db, book)
        self.assertEqual((3, 3), (self.book()[1], self.book()[3]))

    async def test_new_objects_are_flushed(self):
        async with self.writer.connection():
            await self.call(queries.save, self.db, Book(id=9, title="new"))
        self.assertEqual(("new", 0, EARLY, 1), self.book(9))

    async def test_a_changed_relationship_is_flushed(self):
        async with self.writer() as session:
            shelf = Shelf(id=5, name="five")
            session.add(shelf)
            book = await session.get(Book, 1)
            book.shelf = shelf
            await self.call(queries.save, self.db, book)
            self.assertEqual(5, book.shelf_id)

    async def test_sql_expressions_are_flushed(self):
        async with self.writer.connection():
            book = await self.call(BY_ID.one, self.db, id=1)
            book.pages = Book.pages + 10
            await self.call(queries.save, self.db, book)
        self.assertEqual(11, self.book()[1])

    async def test_defaults_of_the_database_and_deferred_columns_are_flushed(self):
        find = queries.find(Stored)
        async with self.writer.connection():
            stored = await self.call(find.one, self.db, id=1)
            self.assertTrue(look_at(stored).persistent)
            stored.note = "b"
            await self.call(queries.save, self.db, stored)
        self.assertEqual([("b", "changed")], self.rows(select(Stored.note, Stored.changed)))

    async def test_who_listens_is_told(self):
        told = []
        listeners = (
            (Book, "before_update", lambda mapper, connection, target: told.append("mapper")),
            (Session, "after_flush", lambda session, context: told.append("session")),
        )
        for target, name, listener in listeners:
            event.listen(target, name, listener)
            try:
                async with self.writer.connection():
                    book = await self.call(BY_ID.one, self.db, id=1)
                    book.pages += 1
                    await self.call(queries.save, self.db, book)
            finally:
                event.remove(target, name, listener)
        self.assertEqual(["mapper", "session"], told)
        self.assertEqual(3, self.book()[1])

    async def test_who_looks_at_statements_sees_them(self):
        seen = []

        def look(connection, cursor, statement, parameters, context, executemany):
            seen.append(statement)

        database = self.database(on_engine_create=[lambda engine: event.listen(engine, "before_cursor_execute", look)])
        async with self.face_of(database).writer.connection():
            book = await self.call(BY_ID.one, database, id=1)
            book.pages = 5
            await self.call(queries.save, database, book)
        self.assertEqual(["SELECT", "UPDATE"], [each.split()[0] for each in seen if "fast_books" in each])

    async def test_schemas_are_translated(self):
        other = self.database(schema_translate_map={None: "nowhere"})
        with self.raising(DBError):
            async with self.face_of(other).reader.connection():
                await self.call(BY_ID.one, other, id=1)

    @on(SQLITE_FILE)
    async def test_a_wrong_value_is_refused_as_a_session_refuses_it(self):
        late = queries.Lookup(select(Book.id).where(Book.bought_at > bindparam("moment")))
        with self.raising(Exception) as straight:
            async with self.writer.connection():
                await self.call(late.all, self.db, moment=object())
        with self.raising(Exception) as ordinary:
            async with self.writer() as session:
                await session.execute(late.statement, {"moment": object()})
        self.assertIs(type(ordinary.error), type(straight.error))

    async def test_objects_of_a_session_that_has_ended_are_saved(self):
        async with self.reader() as session:
            book = await session.get(Book, 1)
        book.title = "changed"
        async with self.writer.connection():
            await self.call(queries.save, self.db, book)
        self.assertEqual(("changed", 2), (self.book()[0], self.book()[3]))

    async def test_a_value_that_is_not_loaded_is_left_to_the_flush(self):
        async with self.reader() as session:
            book = await session.get(Book, 1)
            session.expire(book)
        book.title = "changed"
        async with self.writer.connection():
            await self.call(queries.save, self.db, book)
        self.assertEqual(("changed", 2), (self.book()[0], self.book()[3]))

    async def test_lists_for_in_are_bound_by_sqlalchemy(self):
        some = queries.Lookup(select(Book.id).where(Book.id.in_(bindparam("ids", expanding=True))).order_by(Book.id))
        async with self.reader.connection():
            self.assertEqual([(1,), (3,)], await self.call(some.all, self.db, ids=[1, 3]))


class TestWithoutSessions(testtools.TestCase):
    """The straight way is taken where it can be, and not where it can't."""

    def setUp(self):
        super().setUp()
        self.db = dbkit.Database("sqlite://")
        self.addCleanup(self.db.dispose)
        Base.metadata.create_all(self.db.engine)
        with self.db.writer() as session:
            session.add(Book(id=1, title="one"))
            session.add(Stored(id=1))

    def test_no_session_is_made(self):
        @self.db.writer
        def change():
            book = BY_ID.one(self.db, id=1)
            book.title = "two"
            queries.save(self.db, book)
            return self.db.current.physical().session

        self.assertIsNone(change())

    def test_what_takes_the_ordinary_way_makes_one(self):
        @self.db.writer
        def read():
            queries.find(Stored).one(self.db, id=1)
            return self.db.current.physical().session

        self.assertIsNotNone(read())

    def test_no_lookup_is_made_of_anything_else(self):
        for wrong in ("SELECT 1", Book, None):
            self.assertRaises(UsageError, queries.Lookup, wrong)
        self.assertRaises(UsageError, queries.rows, select(Book.id))
        self.assertRaises(UsageError, queries.find, int)

    def test_only_mapped_objects_are_saved(self):
        with self.db.writer():
            self.assertRaises(UsageError, queries.save, self.db, object())

    def test_validators_are_asked(self):
        with self.db.writer.connection():
            book = BY_ID.one(self.db, id=1)
            self.assertRaises(ValueError, setattr, book, "pages", -1)
