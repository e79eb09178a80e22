"""Cancellation at any point: all of a block is stored or nothing, and the hooks know which."""

from __future__ import annotations

import asyncio
import traceback

from sqlalchemy import select, text

from dbkit.exceptions import CommitUnknown, DBError
from dbkit.tests import steering
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import ASYNCIO, EVERY_DRIVER, SQLITE
from dbkit.tests.behaviours.tables import Item

# After so many turns of the loop: early ones strike before the connection is had, late ones at the end or not at all.
_TURNS = (*range(12), *range(12, 60, 4), *range(60, 400, 40))


@behaviours(EVERY_DRIVER & ASYNCIO)
class TestCancellationAtAnyPoint(Behaviour):
    async def strike(self, work, turns):
        """Run work in a task and cancel it after some turns of the loop; return how it ended."""
        task = asyncio.create_task(work())
        await steering.turns(turns, task)
        task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(result, BaseException):
            # the frames hold a cursor whose rows nobody read, and that keeps SQLite's lock for as long as they live
            traceback.clear_frames(result.__traceback__)
            result.__traceback__ = None
        return result

    async def check(self, work):
        cancelled = 0
        for turns in _TURNS:
            ends = []
            result = await self.strike(lambda ends=ends: work(ends), turns)
            rows = self.stored()
            self.assertIn(rows, ([], [1, 2, 3]), f"cancelled after {turns} turns")
            if isinstance(result, CommitUnknown):
                self.assertEqual([], ends)
            else:
                self.assertIsInstance(result, asyncio.CancelledError | None, repr(result))
                expected = ["committed"] if rows else ["rolled back"]
                self.assertIn(ends, (expected, []) if not rows else (expected,), f"cancelled after {turns} turns")
            cancelled += isinstance(result, asyncio.CancelledError)
            async with self.writer() as session:
                self.assertEqual(rows, list((await session.scalars(select(Item.id).order_by(Item.id))).all()))
                session.add(Item(id=9))
            self.assertEqual([*rows, 9], self.stored())
            self.place.empty()
        self.assertGreater(cancelled, 3)

    def note(self, ends):
        self.face.after_commit(lambda: ends.append("committed"))
        self.face.after_rollback(lambda: ends.append("rolled back"))

    async def test_of_a_block(self):
        async def work(ends):
            async with self.writer() as session:
                self.note(ends)
                session.add(Item(id=1))
                await session.flush()
                session.add(Item(id=2))
                await session.execute(select(Item.id))
                session.add(Item(id=3))

        await self.check(work)

    async def test_of_a_function(self):
        @self.writer
        async def work(ends):
            self.note(ends)
            self.session.add(Item(id=1))
            await self.session.flush()
            self.session.add_all([Item(id=2), Item(id=3)])

        await self.check(work)

    async def test_of_a_block_with_a_savepoint(self):
        async def work(ends):
            async with self.writer() as session:
                self.note(ends)
                session.add(Item(id=1))
                async with self.writer.savepoint() as inner:
                    inner.add(Item(id=2))
                session.add(Item(id=3))

        await self.check(work)

    async def test_of_a_reader(self):
        async def work():
            async with self.reader() as session:
                for _ in range(3):
                    await session.execute(select(Item.id))

        self.store(1)
        for turns in _TURNS:
            result = await self.strike(work, turns)
            self.assertIsInstance(result, asyncio.CancelledError | None, repr(result))
            async with self.reader() as session:
                self.assertEqual(1, await session.scalar(select(Item.id)))


@behaviours(SQLITE & ASYNCIO)
class TestDroppedConnections(Behaviour):
    async def test_one_with_an_unread_cursor_keeps_no_lock(self):
        # SQLite keeps a closed connection's locks while one of its statements is unfinished; a cancelled task whose
        # exception somebody has kept holds such a cursor in its traceback
        self.store(1, 2)
        kept = []
        with self.raising(DBError):
            async with self.writer() as session:
                await session.execute(text("UPDATE items SET amount = 1"))
                connection = await session.connection()
                raw = await connection.get_raw_connection()
                kept.append(await raw.driver_connection.execute("SELECT id FROM items"))
                await kept[0].fetchone()
                await connection.invalidate()
        async with self.writer() as session:
            session.add(Item(id=3))
        self.assertEqual([1, 2, 3], self.stored())
        self.assertEqual([0], list(set(self.place.ask("SELECT amount FROM items"))))
