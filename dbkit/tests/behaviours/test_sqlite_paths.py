"""SQLite files whose path looks like dbkit's own name of a database in memory: files all the same."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from sqlalchemy import URL, insert, text

from dbkit import Database
from dbkit.exceptions import DBReadOnly
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import SQLITE_FILE
from dbkit.tests.behaviours.places import SETTINGS
from dbkit.tests.behaviours.tables import Item


@behaviours(SQLITE_FILE)
class TestPathsLikeNamesInMemory(Behaviour):
    """dbkit calls databases in memory ``/dbkit-...``; a folder of the root may be called so, too."""

    def setUp(self):
        super().setUp()
        root = Path(os.path.abspath(os.sep))
        if not os.access(root, os.W_OK):
            self.skipTest(f"this user can make no folder in {root}")
        folder = tempfile.TemporaryDirectory(prefix="dbkit-", dir=root)
        self.addCleanup(folder.cleanup)
        self.assertTrue(folder.name.startswith("/dbkit-"))
        url = URL.create(f"sqlite+{self.combination.driver}", database=str(Path(folder.name, "own.db")))
        self.own = Database(url, **SETTINGS)
        self.addCleanup(self.run_plain, lambda: self.dispose(self.own))
        self.face = self.face_of(self.own)

    async def pragma(self, opener, name):
        async with opener() as session:
            return await session.scalar(text(f"PRAGMA {name}"))

    async def make_table(self):
        async with self.writer() as session:
            await session.run_sync(lambda plain: Item.metadata.create_all(plain.connection(), [Item.__table__]))

    async def test_a_readers_connection_reads_only(self):
        await self.make_table()
        self.assertEqual([0, 1], [await self.pragma(each, "query_only") for each in (self.writer, self.reader)])
        with self.raising(DBReadOnly):
            async with self.reader() as session:
                await session.execute(insert(Item).values(id=1, amount=0))
        async with self.reader() as session:
            self.assertEqual(0, await session.scalar(text("SELECT count(*) FROM items")))

    async def test_the_file_gets_its_log(self):
        await self.make_table()
        self.assertEqual("wal", await self.pragma(self.writer, "journal_mode"))
