"""Connections that are lost: the block learns of it, nothing of it is stored, and the next one has a new connection."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from dbkit.exceptions import CommitUnknown, DBConnectionError, DBError, Outcome, TransactionDoomed
from dbkit.testing.suite.capabilities import Capability
from dbkit.testing.suite.case import WayCase, insert_item, swallowed


class Losses(WayCase):
    """Another client ends the session of a block."""

    required = (Capability.CONNECTION_LOSS,)

    async def end(self, session: Any) -> None:
        """End the session of a block from outside."""
        number = await session.scalar(text(self.subject.phrases.own_session))
        self.ground.do(self.subject.phrases.end_session.format(session=int(number)))

    async def test_a_session_that_is_ended_in_a_transaction_is_a_lost_connection(self) -> None:
        async def work() -> None:
            async with self.open(self.db.writer) as session:
                await session.execute(insert_item(1))
                await self.end(session)
                await session.execute(insert_item(2))

        error = await self.raises(DBError, work)
        self.assertIs(DBConnectionError, type(error))
        self.assertTrue(error.transient)
        self.assertIs(Outcome.ROLLED_BACK, error.outcome)
        self.assertEqual([], self.stored())
        await self.add(3)
        self.assertEqual([3], self.stored())

    async def test_a_loss_that_is_swallowed_is_no_success(self) -> None:
        calls: list[str] = []
        with self.assertRaises(TransactionDoomed):
            async with self.open(self.db.writer) as session:
                await session.execute(insert_item(1))
                self.db.after_commit(lambda: calls.append("committed"))
                await self.end(session)
                with swallowed(DBConnectionError):
                    await session.execute(insert_item(2))
        self.assertEqual(([], []), (self.stored(), calls))

    async def test_a_loss_in_a_joined_block_is_not_made_good_by_the_outer_one(self) -> None:
        with self.assertRaises(TransactionDoomed):
            async with self.open(self.db.writer) as outer:
                await outer.execute(insert_item(1))
                with swallowed(DBConnectionError):
                    async with self.open(self.db.writer) as inner:
                        await self.end(inner)
                        await inner.execute(insert_item(2))
                await outer.execute(insert_item(3))
        self.assertEqual([], self.stored())

    async def test_a_savepoint_does_not_save_from_a_loss(self) -> None:
        with self.assertRaises(DBError):
            async with self.open(self.db.writer) as outer:
                await outer.execute(insert_item(1))
                with swallowed():
                    async with self.open(self.db.writer.savepoint) as inner:
                        await self.end(inner)
                        await inner.execute(insert_item(2))
                await outer.execute(insert_item(3))
        self.assertEqual([], self.stored())

    async def test_a_session_that_is_gone_at_commit_is_no_success_and_no_false_certainty(self) -> None:
        calls: list[str] = []

        async def work() -> None:
            async with self.open(self.db.writer) as session:
                await session.execute(insert_item(1))
                self.db.after_commit(lambda: calls.append("committed"))
                await self.end(session)

        error = await self.raises(DBError, work)
        self.assertIsInstance(error, (CommitUnknown, DBConnectionError))
        self.assertFalse(isinstance(error, CommitUnknown) and error.transient)
        self.assertEqual(([], []), (self.stored(), calls))
        await self.add(2)

    async def test_a_readers_lost_connection_is_told_too(self) -> None:
        async def work() -> None:
            async with self.open(self.db.reader) as session:
                await self.end(session)
                await session.execute(text("SELECT 1"))

        error = await self.raises(DBError, work)
        self.assertIsInstance(error, DBConnectionError)
        self.assertTrue(error.transient)
        await work_once(self)


async def work_once(case: WayCase) -> None:
    """The next reader has a connection that works."""
    async with case.open(case.db.reader) as session:
        await session.execute(text("SELECT 1"))
