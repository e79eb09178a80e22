"""What a session on MySQL and MariaDB is given, under either name of the product and with each driver."""

from __future__ import annotations

import logging

import fixtures
from sqlalchemy import text

import dbkit
from dbkit.exceptions import DBDataError, DBError, DBReadOnly
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import MARIADB, SPELLINGS
from dbkit.tests.behaviours.estates import Estate

_FACE = "Grinning 😀, 𝄞, ü"


class MariadbBehaviour(Behaviour):
    def setUp(self):
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger("dbkit", level=logging.DEBUG))
        self.estate = Estate("mysql")

    def open(self, url=None, **settings):
        url = url or self.estate.url(self.combination.driver, self.combination.scheme)
        self.made = made = dbkit.Database(url, **{"max_retries": 0, **settings})
        self.addCleanup(self.run_plain, lambda: self.dispose(made))
        return self.face_of(made)

    async def variable(self, opener, name):
        async with opener() as session:
            return await session.scalar(text(f"SELECT @@SESSION.{name}"))


@behaviours(MARIADB | SPELLINGS)
class TestSqlMode(MariadbBehaviour):
    async def test_it_is_strict_by_default_in_both_roles(self):
        face = self.open()
        for opener in (face.writer, face.reader):
            modes = (await self.variable(opener, "sql_mode")).split(",")
            self.assertIn("TRADITIONAL", modes)
            self.assertIn("STRICT_ALL_TABLES", modes)
        self.assertNotIn("sql_mode", self.log.output)

    async def test_data_that_does_not_fit_is_refused(self):
        face = self.open()
        async with face.writer() as session:
            await session.execute(text("CREATE TABLE t (a VARCHAR(3))"))
        with self.raising(DBDataError):
            async with face.writer() as session:
                await session.execute(text("INSERT INTO t VALUES ('toolong')"))

    async def test_without_the_mode_it_is_cut_off(self):
        """The negative control."""
        face = self.open(mysql_sql_mode="ANSI")
        async with face.writer() as session:
            await session.execute(text("CREATE TABLE t (a VARCHAR(3))"))
            await session.execute(text("INSERT INTO t VALUES ('toolong')"))
            self.assertEqual("too", await session.scalar(text("SELECT a FROM t")))

    async def test_another_mode_can_be_asked_for_and_one_that_is_not_strict_is_warned_of_once(self):
        face = self.open(mysql_sql_mode="ANSI_QUOTES", max_pool_size=3)
        self.assertEqual("ANSI_QUOTES", await self.variable(face.writer, "sql_mode"))
        for opener in (face.reader, face.writer.independent):
            async with face.writer() as held:
                await held.execute(text("SELECT 1"))
                await self.variable(opener, "sql_mode")
        warnings = [line for line in self.log.output.splitlines() if "sql_mode" in line]
        self.assertEqual(1, len(warnings), warnings)
        for part in ("'ANSI_QUOTES'", "TRADITIONAL or STRICT_ALL_TABLES", "mysql_sql_mode"):
            self.assertIn(part, warnings[0])

    async def test_without_a_setting_the_servers_own_mode_stays(self):
        own = self.estate.do("SELECT @@GLOBAL.sql_mode")[0]
        for nothing in (None, ""):
            self.assertEqual(own, await self.variable(self.open(mysql_sql_mode=nothing).writer, "sql_mode"))

    async def test_a_mode_that_does_not_exist_is_a_typed_error(self):
        face = self.open(mysql_sql_mode="TRADITIONALLY", max_pool_size=1, max_overflow=0, pool_timeout=0)
        for _ in range(3):
            with self.raising(DBError):
                await self.variable(face.writer, "sql_mode")
        self.estate.sessions_become(0)


@behaviours(MARIADB | SPELLINGS)
class TestCharacters(MariadbBehaviour):
    async def test_every_character_can_be_stored_and_read(self):
        face = self.open()
        async with face.writer() as session:
            await session.execute(text("CREATE TABLE t (a VARCHAR(40) CHARACTER SET utf8mb4)"))
            await session.execute(text("INSERT INTO t VALUES (:a)"), {"a": _FACE})
        async with face.reader() as session:
            self.assertEqual(_FACE, await session.scalar(text("SELECT a FROM t WHERE a = :a"), {"a": _FACE}))
            self.assertEqual(len(_FACE), await session.scalar(text("SELECT CHAR_LENGTH(a) FROM t")))
        for name in ("client", "connection", "results"):
            self.assertEqual("utf8mb4", await self.variable(face.writer, f"character_set_{name}"))

    async def test_the_characters_of_the_url_go_before(self):
        url = self.estate.url(self.combination.driver, self.combination.scheme).update_query_dict({"charset": "latin1"})
        self.assertEqual("latin1", await self.variable(self.open(url).writer, "character_set_client"))

    async def test_utf8_of_three_bytes_refuses_them(self):
        """The negative control: what a driver's ``utf8`` means on this server."""
        url = self.estate.url(self.combination.driver, self.combination.scheme).update_query_dict({"charset": "utf8"})
        face = self.open(url)
        try:
            async with face.writer() as session:
                await session.execute(text("CREATE TABLE t (a VARCHAR(40) CHARACTER SET utf8mb4)"))
                await session.execute(text("INSERT INTO t VALUES (:a)"), {"a": _FACE})
                stored = await session.scalar(text("SELECT a FROM t"))
        except (DBError, UnicodeError):
            return
        self.assertNotEqual(_FACE, stored)


@behaviours(MARIADB | SPELLINGS)
class TestGaleraWait(MariadbBehaviour):
    async def test_it_is_set_in_both_roles(self):
        face = self.open(mysql_wsrep_sync_wait=3)
        for opener in (face.writer, face.reader):
            self.assertEqual(3, await self.variable(opener, "wsrep_sync_wait"))

    async def test_zero_is_a_value_and_none_leaves_the_servers_own(self):
        self.assertEqual(0, await self.variable(self.open(mysql_wsrep_sync_wait=0).writer, "wsrep_sync_wait"))
        own = self.estate.do("SELECT @@GLOBAL.wsrep_sync_wait")[0]
        self.assertEqual(own, await self.variable(self.open().writer, "wsrep_sync_wait"))


@behaviours(MARIADB | SPELLINGS)
class TestReaders(MariadbBehaviour):
    async def test_they_run_in_a_transaction_that_is_read_only(self):
        face = self.open()
        async with face.writer() as session:
            await session.execute(text("CREATE TABLE t (a INTEGER)"))
        for statement in ("INSERT INTO t VALUES (1)", "DELETE FROM t"):
            for handle in (face.reader, face.reader.connection):
                with self.raising(DBReadOnly):
                    async with handle() as session:
                        await session.execute(text(statement))
        async with face.reader() as session:
            await session.execute(text("SELECT * FROM t"))
            self.assertEqual(1, await session.scalar(text("SELECT @@in_transaction")))

    async def test_two_statements_see_one_state(self):
        face = self.open()
        async with face.writer() as session:
            await session.execute(text("CREATE TABLE t (a INTEGER)"))
            await session.execute(text("INSERT INTO t VALUES (1)"))
        async with face.reader() as session:
            count = text("SELECT COUNT(*) FROM t")
            self.assertEqual(1, await session.scalar(count))
            async with face.writer.independent() as other:
                await other.execute(text("INSERT INTO t VALUES (2)"))
            self.assertEqual(1, await session.scalar(count))
        async with face.reader() as session:
            self.assertEqual(2, await session.scalar(count))

    async def test_the_next_writer_of_the_process_writes(self):
        face = self.open(max_pool_size=1, max_overflow=0)
        for number in range(3):
            async with face.writer() as session:
                await session.execute(text("CREATE TABLE IF NOT EXISTS t (a INTEGER)"))
                await session.execute(text("INSERT INTO t VALUES (1)"))
            async with face.reader() as session:
                self.assertEqual(number + 1, await session.scalar(text("SELECT COUNT(*) FROM t")))
