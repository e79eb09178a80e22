"""Blocking functions inside asyncio blocks, and the other way round: which connection they get, or why none.

Through ``run_sync`` a blocking function works in the asyncio block's task and with its driver. Called straight it works
with the other colour's driver, so only ``.independent`` makes sense of it, and on SQLite nothing does.
"""

from __future__ import annotations

import asyncio
import importlib.util

from sqlalchemy import select

from dbkit.exceptions import ModeConflict
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import ASYNCIO, EVERY_DRIVER, SERVERS, SQLITE, SQLITE_FILE
from dbkit.tests.behaviours.tables import Audit, Item


@behaviours(EVERY_DRIVER)
class TestThroughRunSync(Behaviour):
    """A blocking function that ``run_sync`` calls; in the blocking colour it is a plain call."""

    def driver_of(self, session):
        """Return the name of the driver that a blocking session works with."""
        return session.connection().dialect.driver

    async def test_a_function_that_joins_works_with_the_blocks_connection(self):
        @self.db.writer
        def note():
            self.db.session.add(Item(id=2))
            return self.db.session, self.driver_of(self.db.session)

        async with self.writer() as session:
            session.add(Item(id=1))
            joined, driver = await session.run_sync(lambda plain: note())
            self.assertIs(session.sync_session, joined)
        self.assertEqual((self.combination.driver, [1, 2]), (driver, self.stored()))

    @on(SERVERS)
    async def test_an_independent_function_works_with_the_same_driver(self):
        @self.db.writer.independent
        def note():
            self.db.session.add(Audit(id=1))
            return self.db.session, self.driver_of(self.db.session)

        with self.raising(ValueError):
            async with self.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                own, driver = await session.run_sync(lambda plain: note())
                self.assertIsNot(session.sync_session, own)
                raise ValueError
        self.assertEqual((self.combination.driver, [], [1]), (driver, self.stored(), self.stored(Audit)))

    @on(SERVERS)
    async def test_an_independent_block_works_with_the_same_driver(self):
        def note(plain):
            with self.db.writer.independent() as own:
                own.add(Audit(id=1))
                return self.driver_of(own)

        with self.raising(ValueError):
            async with self.writer() as session:
                session.add(Item(id=1))
                driver = await session.run_sync(note)
                raise ValueError
        self.assertEqual((self.combination.driver, [], [1]), (driver, self.stored(), self.stored(Audit)))

    @on(SERVERS | SQLITE_FILE)
    async def test_an_independent_reader_works_with_the_same_driver(self):
        @self.db.reader.independent
        def read():
            return list(self.db.session.scalars(select(Item.id))), self.driver_of(self.db.session)

        self.store(1)
        async with self.writer() as session:
            session.add(Item(id=2))
            await session.flush()
            self.assertEqual(([1], self.combination.driver), await session.run_sync(lambda plain: read()))
        self.assertEqual([1, 2], self.stored())

    @on(SERVERS)
    async def test_an_independent_function_that_fails_is_rolled_back_alone(self):
        @self.db.writer.independent
        def note():
            self.db.session.add(Audit(id=1))
            self.db.session.flush()
            raise ValueError

        async with self.writer() as session:
            session.add(Item(id=1))
            with self.raising(ValueError):
                await session.run_sync(lambda plain: note())
        self.assertEqual(([1], []), (self.stored(), self.stored(Audit)))

    @on(SERVERS & ASYNCIO)
    async def test_called_straight_it_works_with_the_blocking_driver(self):
        # the control: what run_sync is for
        @self.db.writer.independent
        def note():
            self.db.session.add(Audit(id=1))
            return self.db.session.connection().dialect.is_async

        async with self.writer() as session:
            session.add(Item(id=1))
            self.assertFalse(note())
        self.db.dispose()
        self.assertEqual(([1], [1]), (self.stored(), self.stored(Audit)))


@behaviours(EVERY_DRIVER)
class TestCalledStraight(Behaviour):
    """A block of the other colour, opened by code that runs inside a block and in its thread."""

    def setUp(self):
        super().setUp()
        if importlib.util.find_spec("aiosqlite") is None:
            self.skipTest("the driver aiosqlite is not installed: pip install aiosqlite")

    def note(self, manager):
        """Write with the colour that the test does not have."""
        if self.is_asyncio:
            try:
                with manager() as session:
                    session.add(Audit(id=1))
            finally:
                self.db.dispose()
        else:
            asyncio.run(self.anote(manager))

    async def anote(self, manager):
        try:
            async with manager() as session:
                session.add(Audit(id=1))
        finally:
            await self.db.adispose()

    @on(SQLITE)
    async def test_an_independent_writer_on_sqlite_is_refused_at_once(self):
        # not after the timeout, which is another error
        async with self.writer() as session:
            session.add(Item(id=1))
            await session.flush()
            with self.raising(ModeConflict) as caught:
                self.note(self.db.writer.independent)
            session.add(Item(id=2))
        self.assertIn("the SQLite database", str(caught.error))
        self.assertIn("to_thread" if self.is_asyncio else "run it after the other has ended", str(caught.error))
        self.assertEqual(([1, 2], []), (self.stored(), self.stored(Audit)))

    @on(SQLITE)
    async def test_one_on_sqlite_before_the_outer_block_has_written_is_no_conflict(self):
        # the control: it is the turn to write that is missing
        async with self.writer() as session:
            self.note(self.db.writer.independent)
            session.add(Item(id=1))
        self.assertEqual(([1], [1]), (self.stored(), self.stored(Audit)))

    @on(SERVERS)
    async def test_an_independent_writer_on_a_server_commits_by_itself(self):
        with self.raising(ValueError):
            async with self.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                self.note(self.db.writer.independent)
                raise ValueError
        self.assertEqual(([], [1]), (self.stored(), self.stored(Audit)))

    async def test_one_that_would_join_is_refused(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            await session.flush()
            with self.raising(ModeConflict) as caught:
                self.note(self.db.writer)
        self.assertIn("cannot join", str(caught.error))
        self.assertEqual(([1], []), (self.stored(), self.stored(Audit)))
