"""Reload: later blocks use the new settings, open ones end on the old."""

from __future__ import annotations

import asyncio
import gc

from oslo_config import cfg
from sqlalchemy import text

import dbkit
from dbkit import options
from dbkit.exceptions import DBNonExistentTable, InvalidURL
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import ASYNCIO, MARIADB, SERVERS, SQLITE_FILE, SQLITE_MEMORY
from dbkit.tests.behaviours.estates import Estate
from dbkit.tests.behaviours.forgotten import quiet_collection
from dbkit.tests.steering import Worker


@behaviours(SERVERS)
class TestReload(Behaviour):
    def setUp(self):
        super().setUp()
        kind = "mysql" if self.combination in MARIADB else "postgresql"
        self.old, self.new = Estate.lent(kind, self), Estate.lent(kind, self)
        self.conf = cfg.ConfigOpts()
        self.conf([], default_config_files=[])
        self.made = dbkit.Database.from_config(self.conf, max_retries=0)
        self.addCleanup(self.run_plain, lambda: self.dispose(self.made))
        self.point_at(self.old)
        self.face = self.face_of(self.made)

    def point_at(self, estate):
        options.register(self.conf)
        url = estate.url(self.combination.driver, self.combination.scheme).render_as_string(hide_password=False)
        self.conf.set_override("connection", url, group="database")

    async def where(self, session):
        return await session.scalar(
            text("SELECT " + ("DATABASE()" if self.old.kind == "mysql" else "current_database()"))
        )

    async def test_new_settings_serve_the_next_block_and_the_open_one_ends_on_the_old(self):
        self.old = Estate(self.old.kind)  # which has a table afterwards
        self.point_at(self.old)
        self.made.reload()
        async with self.face.writer() as session:
            await session.execute(text("CREATE TABLE t (a INTEGER)"))
        async with self.face.writer() as session:
            await session.execute(text("INSERT INTO t VALUES (1)"))
            self.point_at(self.new)
            self.made.reload()
            self.assertEqual(self.old.name, await self.where(session))
            async with self.face.writer.independent() as other:
                self.assertEqual(self.new.name, await self.where(other))
            await session.execute(text("INSERT INTO t VALUES (2)"))
        for opener in (self.face.writer, self.face.reader):
            async with opener() as session:
                self.assertEqual(self.new.name, await self.where(session))
        self.point_at(self.old)
        self.made.reload()
        async with self.face.reader() as session:
            self.assertEqual(2, await session.scalar(text("SELECT count(*) FROM t")))

    async def test_the_sessions_of_the_old_settings_end(self):
        for opener in (self.face.writer, self.face.reader):
            async with opener() as session:
                await session.execute(text("SELECT 1"))
        async with self.face.writer() as session:
            await session.execute(text("SELECT 1"))
            self.point_at(self.new)
            self.made.reload()
        async with self.face.writer() as session:
            self.assertEqual(self.new.name, await self.where(session))
        self.old.sessions_become(0)

    async def used(self):
        """Use both roles once, so that each has an idle connection."""
        for opener in (self.face.writer, self.face.reader):
            async with opener() as session:
                await session.execute(text("SELECT 1"))

    async def test_dispose_closes_what_was_left_though_no_block_has_come_since(self):
        await self.used()
        self.old.sessions_become(2)
        self.point_at(self.new)
        self.made.reload()
        await self.dispose(self.made)
        self.old.sessions_become(0)

    async def test_several_reloads_leave_nothing(self):
        for _ in range(3):
            await self.used()
            self.made.reload()
            await self.used()
            self.made.reload()
            self.made.reload()
        self.point_at(self.new)
        self.made.reload()
        await self.used()
        self.old.sessions_become(0)
        await self.dispose(self.made)
        self.new.sessions_become(0)

    async def test_a_connection_in_use_is_closed_when_it_comes_back(self):
        async with self.face.writer() as session:
            await session.execute(text("SELECT 1"))
            self.made.reload()
            self.assertEqual(1, len(self.old.sessions()))
        self.old.sessions_become(0)

    @on(ASYNCIO)
    async def test_what_two_reloads_have_left_is_closed_together(self):
        for _ in range(2):
            async with self.made.async_engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
            self.made.reload()
        self.assertEqual(2, len(self.old.sessions()))
        await self.dispose(self.made)
        self.old.sessions_become(0)

    @on(ASYNCIO)
    async def test_a_reload_elsewhere_leaves_the_closing_to_the_loop_itself(self):
        await self.used()
        self.point_at(self.new)
        await asyncio.to_thread(self.made.reload)
        self.assertEqual(2, len(self.old.sessions()))
        await self.used()
        self.old.sessions_become(0)

    @on(ASYNCIO)
    async def test_the_sessions_of_a_loop_that_has_ended_end_too(self):
        await asyncio.to_thread(lambda: asyncio.run(self.used()))
        self.point_at(self.new)
        self.made.reload()
        with quiet_collection():
            await self.used()
            gc.collect()
            self.old.sessions_become(0)

    async def test_a_reload_before_the_first_block_does_no_harm(self):
        self.made.reload()
        async with self.face.writer() as session:
            self.assertEqual(self.old.name, await self.where(session))

    async def test_settings_that_are_wrong_leave_the_old_ones_in_force(self):
        async with self.face.writer() as session:
            await session.execute(text("SELECT 1"))
        self.conf.set_override("connection", "postgresql://", group="database")
        self.assertRaises(InvalidURL, self.made.reload)
        async with self.face.writer() as session:
            self.assertEqual(self.old.name, await self.where(session))


@behaviours(SQLITE_FILE | SQLITE_MEMORY)
class TestReloadOfSqlite(Behaviour):
    async def test_the_database_is_the_same(self):
        made = self.database() if self.combination in SQLITE_FILE else dbkit.Database("sqlite://")
        face = self.face_of(made)
        async with face.writer() as session:
            await session.execute(text("CREATE TABLE IF NOT EXISTS reloaded (a INTEGER)"))
            await session.execute(text("INSERT INTO reloaded VALUES (1)"))
        for _ in range(3):
            made.reload()
            async with face.reader() as session:
                self.assertEqual(1, await session.scalar(text("SELECT count(*) FROM reloaded")))
        async with face.writer() as session:
            await session.execute(text("DROP TABLE reloaded"))
        await self.dispose(made)


@behaviours(SQLITE_MEMORY)
class TestReloadOfADatabaseInMemory(Behaviour):
    def setUp(self):
        super().setUp()
        self.conf = cfg.ConfigOpts()
        self.conf([], default_config_files=[])
        options.register(self.conf)
        self.made = self.opened()
        self.face = self.face_of(self.made)

    def opened(self):
        made = dbkit.Database.from_config(self.conf, max_retries=0, pool_timeout=10)
        self.addCleanup(self.run_plain, lambda: self.dispose(made))
        return made

    def point_at(self, url):
        self.conf.set_override("connection", url, group="database")

    async def fill(self):
        async with self.face.writer() as session:
            await session.execute(text("CREATE TABLE kept (a INTEGER)"))
            await session.execute(text("INSERT INTO kept VALUES (1)"))

    async def count(self, database=None):
        async with self.face_of(database or self.made).reader() as session:
            return await session.scalar(text("SELECT count(*) FROM kept"))

    async def test_a_database_that_the_configuration_describes_keeps_its_rows(self):
        for url in ("sqlite://", "sqlite:///:memory:"):
            self.point_at(url)
            self.made = self.opened()
            self.face = self.face_of(self.made)
            await self.fill()
            for _ in range(3):
                self.made.reload()
                self.assertEqual(1, await self.count())

    async def test_another_setting_takes_effect_on_the_same_rows(self):
        self.point_at("sqlite://")
        await self.fill()
        self.conf.set_override("sqlite_fk", False, group="database")
        self.made.reload()
        async with self.face.reader() as session:
            self.assertEqual(0, await session.scalar(text("PRAGMA foreign_keys")))
            self.assertEqual(1, await session.scalar(text("SELECT count(*) FROM kept")))

    async def find_in_both_colours(self):
        def blocking():
            with self.made.reader() as session:
                return session.scalar(text("SELECT count(*) FROM kept"))

        async def tasks():
            async with self.made.reader() as session:
                found = await session.scalar(text("SELECT count(*) FROM kept"))
            await self.made.adispose()
            return found

        await self.fill()
        self.made.reload()
        self.assertEqual((1, 1), (Worker(blocking).outcome(), Worker(lambda: asyncio.run(tasks())).outcome()))

    async def test_the_other_colour_finds_the_rows_too(self):
        self.point_at("sqlite://")
        await self.find_in_both_colours()

    async def test_a_url_of_its_own_for_asyncio_leads_to_the_same_rows(self):
        self.point_at("sqlite://")
        self.conf.set_override("asyncio_connection", "sqlite+aiosqlite://", group="database")
        self.made = self.opened()
        self.face = self.face_of(self.made)
        await self.find_in_both_colours()

    async def test_a_name_that_the_settings_give_is_another_database(self):
        self.point_at("sqlite://")
        await self.fill()
        self.point_at("sqlite:///file:/another-in-memory?vfs=memdb&uri=true")
        self.made.reload()
        with self.raising(DBNonExistentTable):
            await self.count()

    async def test_another_database_of_the_same_configuration_has_no_such_rows(self):
        """The negative control: each Database has its own."""
        self.point_at("sqlite://")
        await self.fill()
        with self.raising(DBNonExistentTable):
            await self.count(self.opened())
