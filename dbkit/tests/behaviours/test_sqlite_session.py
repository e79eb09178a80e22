"""What a connection to an SQLite file is given, and the BEGIN of its blocks."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

import testtools
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, event, select, text, type_coerce

import dbkit
from dbkit.exceptions import DBError, DBReadOnly, DBReferenceError
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import SQLITE, SQLITE_FILE, SQLITE_MEMORY

_NAMES = Table("names", MetaData(), Column("name", String), Column("number", Integer))


class SqliteBehaviour(Behaviour):
    """A behaviour on an SQLite database of its own."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="dbkit-sqlite-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.path = self.folder / "own.db"

    def open(self, **settings):
        memory = self.combination in SQLITE_MEMORY
        url = "sqlite://" if memory else f"sqlite:///{self.path}"
        self.made = made = dbkit.Database(url, **{"pool_timeout": 10, **settings})
        self.addCleanup(self.run_plain, lambda: self.dispose(made))
        return self.face_of(made)

    async def pragma(self, opener, name):
        async with opener() as session:
            return await session.scalar(text(f"PRAGMA {name}"))

    async def script(self, face, *statements):
        async with face.writer() as session:
            for statement in statements:
                await session.execute(text(statement))


@behaviours(SQLITE_FILE)
class TestPragmas(SqliteBehaviour):
    async def test_a_file_uses_the_write_ahead_log(self):
        face = self.open()
        for opener in (face.writer, face.reader):
            self.assertEqual("wal", await self.pragma(opener, "journal_mode"))

    async def test_without_it_the_file_keeps_its_journal(self):
        face = self.open(sqlite_wal=False)
        self.assertEqual("delete", await self.pragma(face.writer, "journal_mode"))

    async def test_it_waits_for_other_processes(self):
        for seconds, milliseconds in ((None, 5000), (0.25, 250), (0, 0)):
            face = self.open(**({} if seconds is None else {"sqlite_busy_timeout": seconds}))
            for opener in (face.writer, face.reader):
                self.assertEqual(milliseconds, await self.pragma(opener, "busy_timeout"))

    async def test_it_waits_for_the_disk_unless_told_not_to(self):
        self.assertEqual(2, await self.pragma(self.open().writer, "synchronous"))
        for opener in ("writer", "reader"):
            face = self.open(sqlite_synchronous=False)
            self.assertEqual(0, await self.pragma(getattr(face, opener), "synchronous"))

    async def test_only_a_readers_connections_are_read_only(self):
        face = self.open()
        self.assertEqual(
            (0, 1), (await self.pragma(face.writer, "query_only"), await self.pragma(face.reader, "query_only"))
        )

    async def test_a_file_of_another_program_is_taken_over_while_a_reader_reads_it(self):
        with sqlite3.connect(self.path) as other:
            other.execute("CREATE TABLE t (a INTEGER)")
        other.close()
        face = self.open(sqlite_busy_timeout=0.2)
        async with face.reader() as session:
            self.assertEqual(0, await session.scalar(text("SELECT count(*) FROM t")))
            async with face.writer.independent() as writer:
                await writer.execute(text("SELECT count(*) FROM t"))
        await self.script(face, "INSERT INTO t VALUES (1)")
        async with face.reader() as session:
            self.assertEqual(1, await session.scalar(text("SELECT count(*) FROM t")))

    async def test_a_file_that_may_only_be_read_can_be_read(self):
        with sqlite3.connect(self.path) as other:
            other.execute("CREATE TABLE t (a INTEGER)")
        other.close()
        made = dbkit.Database(f"sqlite:///file:{self.path}?mode=ro&uri=true")
        self.addCleanup(self.run_plain, lambda: self.dispose(made))
        face = self.face_of(made)
        async with face.reader() as session:
            self.assertEqual(0, await session.scalar(text("SELECT count(*) FROM t")))
        with self.raising(DBReadOnly):
            await self.script(face, "INSERT INTO t VALUES (1)")


@behaviours(SQLITE)
class TestForeignKeys(SqliteBehaviour):
    async def break_a_key(self, face):
        await self.script(
            face,
            "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
            "CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent (id))",
        )
        await self.script(face, "INSERT INTO child VALUES (1, 99)")

    async def test_they_are_enforced(self):
        with self.raising(DBReferenceError):
            await self.break_a_key(self.open())

    async def test_they_are_not_when_that_is_asked_for(self):
        await self.break_a_key(self.open(sqlite_fk=False))


@behaviours(SQLITE)
class TestTransactions(SqliteBehaviour):
    async def begins(self, mode):
        """Return what the driver was sent at the beginning of a block."""
        sent = []

        def listen(engine):
            def opened(connection, record):
                native = getattr(connection, "driver_connection", connection)
                getattr(native, "_conn", native).set_trace_callback(sent.append)

            event.listen(engine, "connect", opened)

        face = self.open(on_engine_create=[listen])
        async with getattr(face, mode)() as session:
            await session.execute(text("SELECT 1"))
        return [each for each in sent if each.startswith("BEGIN")]

    async def test_a_writer_takes_the_lock_when_it_begins(self):
        self.assertEqual(["BEGIN IMMEDIATE"], await self.begins("writer"))

    async def test_a_reader_takes_none(self):
        self.assertEqual(["BEGIN"], await self.begins("reader"))

    async def test_a_table_made_in_a_block_that_fails_is_gone(self):
        face = self.open()
        with self.raising(KeyError):
            async with face.writer() as session:
                await session.execute(text("CREATE TABLE t (a INTEGER)"))
                await session.execute(text("INSERT INTO t VALUES (1)"))
                raise KeyError
        async with face.reader() as session:
            self.assertEqual(0, await session.scalar(text("SELECT count(*) FROM sqlite_master")))

    async def test_a_savepoint_undoes_its_part_and_its_tables(self):
        face = self.open()
        async with face.writer() as session:
            await session.execute(text("CREATE TABLE kept (a INTEGER)"))
            await session.execute(text("INSERT INTO kept VALUES (1)"))
            with self.raising(KeyError):
                async with face.writer.savepoint() as inner:
                    await inner.execute(text("INSERT INTO kept VALUES (2)"))
                    await inner.execute(text("CREATE TABLE gone (a INTEGER)"))
                    raise KeyError
            async with face.writer.savepoint() as inner:
                await inner.execute(text("INSERT INTO kept VALUES (3)"))
        async with face.reader() as session:
            self.assertEqual([1, 3], list((await session.scalars(text("SELECT a FROM kept ORDER BY a"))).all()))
            self.assertEqual(["kept"], list((await session.scalars(text("SELECT name FROM sqlite_master"))).all()))

    async def test_a_reader_cannot_write(self):
        face = self.open()
        await self.script(face, "CREATE TABLE t (a INTEGER)")
        for statement in ("INSERT INTO t VALUES (1)", "DROP TABLE t", "CREATE TABLE u (a INTEGER)", "DELETE FROM t"):
            with self.raising(DBReadOnly):
                async with face.reader() as session:
                    await session.execute(text(statement))
        await self.script(face, "INSERT INTO t VALUES (1)")


@behaviours(SQLITE)
class TestRegexp(SqliteBehaviour):
    async def test_it_serves_regexp_match(self):
        face = self.open()
        await self.script(
            face,
            "CREATE TABLE names (name, number)",
            "INSERT INTO names VALUES ('anna', 12), ('bob', 345), (NULL, NULL), (x'616e', 2.5), (7, 'x')",
        )
        async with face.reader() as session:

            async def found(column, pattern):
                return len((await session.execute(select(_NAMES).where(column.regexp_match(pattern)))).all())

            self.assertEqual(1, await found(_NAMES.c.name, "^an+a$"))
            self.assertEqual(3, await found(type_coerce(_NAMES.c.number, String), "[25]$"))
            self.assertEqual(0, await found(_NAMES.c.name, "zzz"))

    async def test_null_and_numbers_are_no_errors(self):
        face = self.open()
        async with face.reader() as session:
            for expression, expected in (
                ("'abc' REGEXP 'b'", 1),
                ("'abc' REGEXP '^b'", 0),
                ("NULL REGEXP 'a'", None),
                ("'abc' REGEXP NULL", None),
                ("12 REGEXP '^1'", 1),
                ("1.5 REGEXP '[.]'", 1),
                ("'ünïcode' REGEXP 'ï'", 1),
            ):
                self.assertEqual(expected, await session.scalar(text(f"SELECT {expression}")), expression)

    async def test_a_pattern_that_is_none_is_a_typed_error(self):
        with self.raising(DBError):
            async with self.open().reader() as session:
                await session.execute(text("SELECT 'a' REGEXP '('"))


@behaviours(SQLITE)
class TestPooled(SqliteBehaviour):
    async def test_blocks_open_no_connection_of_their_own(self):
        opened = []
        face = self.open(
            on_engine_create=[lambda engine: event.listen(engine, "connect", lambda *of: opened.append(1))]
        )
        for _ in range(50):
            for opener in (face.writer, face.reader):
                async with opener() as session:
                    await session.execute(text("SELECT 1"))
        self.assertLessEqual(len(opened), 2)


@behaviours(SQLITE_FILE)
class TestSnapshots(SqliteBehaviour):
    async def test_a_reader_runs_beside_a_writer_and_sees_one_state(self):
        face = self.open()
        await self.script(face, "CREATE TABLE t (a INTEGER)", "INSERT INTO t VALUES (1)")
        async with face.reader() as reader:
            count = text("SELECT count(*) FROM t")
            self.assertEqual(1, await reader.scalar(count))
            async with face.writer.independent() as writer:
                await writer.execute(text("INSERT INTO t VALUES (2)"))
                self.assertEqual(1, await reader.scalar(count))
            self.assertEqual(1, await reader.scalar(count))
            async with face.reader.independent() as later:
                self.assertEqual(2, await later.scalar(count))
        async with face.reader() as reader:
            self.assertEqual(2, await reader.scalar(count))


class TestBareSqlite(testtools.TestCase):
    """Negative controls: what plain SQLAlchemy does with the same file."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.engine = create_engine(f"sqlite:///{folder.name}/bare.db", connect_args={"timeout": 0})
        self.addCleanup(self.engine.dispose)

    def test_a_table_made_in_a_transaction_that_fails_stays(self):
        try:
            with self.engine.begin() as connection:
                connection.execute(text("CREATE TABLE t (a INTEGER)"))
                raise KeyError
        except KeyError:
            pass
        with self.engine.connect() as connection:
            self.assertEqual(1, connection.scalar(text("SELECT count(*) FROM sqlite_master")))

    def test_a_broken_foreign_key_is_stored(self):
        with self.engine.begin() as connection:
            connection.execute(text("CREATE TABLE p (id INTEGER PRIMARY KEY)"))
            connection.execute(text("CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id))"))
            connection.execute(text("INSERT INTO c VALUES (1, 99)"))
