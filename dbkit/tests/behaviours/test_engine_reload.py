"""Reload: later blocks use the new settings, open ones end on the old."""

from __future__ import annotations

from oslo_config import cfg
from sqlalchemy import text

import dbkit
from dbkit import options
from dbkit.exceptions import InvalidURL
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import MARIADB, SERVERS, SQLITE_FILE, SQLITE_MEMORY
from dbkit.tests.behaviours.estates import Estate


@behaviours(SERVERS)
class TestReload(Behaviour):
    def setUp(self):
        super().setUp()
        kind = "mysql" if self.combination in MARIADB else "postgresql"
        self.old, self.new = Estate(kind), Estate(kind)
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
