"""SQLite's line of writers and event loops: a loop that was closed inside a block keeps nobody out."""

from __future__ import annotations

import asyncio

from sqlalchemy.exc import OperationalError

from dbkit.exceptions import DBLockTimeout, DeadlineExceeded
from dbkit.testing.servers.polling import wait_until
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import SQLITE
from dbkit.tests.behaviours.forgotten import quiet_collection
from dbkit.tests.behaviours.tables import Item
from dbkit.tests.steering import Worker, with_patience

_WAIT_S = 20.0


class LoopInsideAWriter:
    """An event loop that stands still inside a writer block."""

    def __init__(self, database):
        self.loop = asyncio.new_event_loop()
        self._inside = self.loop.create_future()
        self._end = self.loop.create_future()
        self._task = self.loop.create_task(self._write(database))
        self.loop.run_until_complete(self._inside)

    async def _write(self, database):
        async with database.writer() as session:
            session.add(Item(id=1))
            await session.flush()
            self._inside.set_result(None)
            await self._end
        await database.adispose()

    def finish(self):
        """Let the block end as it should."""
        self._end.set_result(None)
        self.loop.run_until_complete(self._task)
        self.loop.close()


@behaviours(SQLITE)
class TestLoopsClosedInsideAWriter(Behaviour):
    def setUp(self):
        super().setUp()
        self.made = self.database(pool_timeout=0, sqlite_busy_timeout=0)
        self.own = self.face_of(self.made)

    async def add(self, number):
        async with self.own.writer() as session:
            session.add(Item(id=number))

    def is_free(self):
        """Return whether SQLite lets another client write."""
        try:
            self.place.do("DELETE FROM items WHERE id = 0")
        except OperationalError:
            return False
        return True

    async def test_the_next_writers_have_their_turn(self):
        def abandon():
            LoopInsideAWriter(self.made).loop.close()

        Worker(abandon).outcome()
        with quiet_collection():
            # SQLite's own lock goes with the connection, which is garbage once the dead task is no longer in line
            with self.raising(DBLockTimeout) as caught:
                await self.add(2)
            self.assertIn("SQLITE_BUSY", str(caught.error))
            del caught
        wait_until(self.is_free, _WAIT_S, "the end of the dead task's connection, whose thread closes it")
        await self.add(2)
        await self.add(3)
        self.assertEqual([2, 3], self.stored())

    async def test_a_block_whose_loop_only_stands_still_is_waited_for(self):
        """The negative control: its transaction is open, and ends as it should."""
        held = Worker(LoopInsideAWriter, self.made).outcome()

        async def attempt(seconds):
            with self.raising(DeadlineExceeded) as caught:
                async with self.own.writer.deadline(seconds)() as session:
                    session.add(Item(id=2))
            return None if "had passed before" in str(caught.error) else caught.error

        self.assertIn("the turn for", str(await with_patience(attempt, (0.2, 2, 10))))
        Worker(held.finish).outcome()
        await self.add(3)
        self.assertEqual([1, 3], self.stored())
