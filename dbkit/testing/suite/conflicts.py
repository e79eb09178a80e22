"""Transactions in each other's way: the one that loses gets the error that says so, and may be run again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from sqlalchemy import func, select, text

from dbkit.exceptions import DBDeadlock, DBLockTimeout, DBSerializationFailure, Outcome, TransactionDoomed
from dbkit.testing.suite.capabilities import Capability
from dbkit.testing.suite.case import WayCase, needs
from dbkit.testing.suite.tables import ITEMS

_PATIENCE_S = 30.0


class Conflicts(WayCase):
    """Deadlocks, waits for locks, and histories that cannot be ordered."""

    # -- locks --------------------------------------------------------------------------------------------------------

    def _impatient(self) -> tuple[Any, str]:
        """Return a Database whose blocks wait only shortly for a lock, and what they must send first."""
        timeout = self.subject.phrases.short_lock_timeout
        return (self.db, timeout) if isinstance(timeout, str) else (self.database(**timeout), "")

    @needs(Capability.LOCK_TIMEOUT)
    async def test_a_lock_that_is_not_granted_in_time_is_told(self) -> None:
        self.store(1)
        database, first = self._impatient()

        async def work() -> None:
            async with self.open(database.writer) as session:
                if first:
                    await session.execute(text(first))
                await session.execute(_raise(1, 5))

        with self.ground.rival() as rival:
            rival.execute(_raise(1, 7))
            error = await self.raises(DBLockTimeout, work)
            self.assertTrue(error.transient)
            rival.commit()
        self.assertEqual([7], self.amounts())
        await work()
        self.assertEqual([12], self.amounts())

    # -- deadlocks ----------------------------------------------------------------------------------------------------

    @needs(Capability.DEADLOCK_DETECTION)
    async def test_one_of_two_that_wait_for_each_other_is_told_and_the_other_commits(self) -> None:
        self.store(1, 2)
        lost = await self.deadlocked(swallows=False)
        self.assertTrue(lost.transient)
        self.assertIn(lost.outcome, (Outcome.ROLLED_BACK, Outcome.ABORTED))

    @needs(Capability.DEADLOCK_DETECTION)
    async def test_a_deadlock_that_is_swallowed_is_no_success(self) -> None:
        self.store(1, 2)
        await self.deadlocked(swallows=True)

    async def deadlocked(self, *, swallows: bool) -> DBDeadlock:
        """Let two writers wait for each other; return the error of the one that lost."""
        hasten = self.subject.phrases.hasten_deadlock
        mine, theirs = threading.Event(), threading.Event()
        url = self.ground.plain_url
        other = self.ground.open(url)
        lost: list[DBDeadlock] = []

        def rival() -> None:
            with other.writer() as session:
                if hasten:
                    session.execute(text(hasten))
                session.execute(_raise(2, 10))
                theirs.set()
                mine.wait(_PATIENCE_S)
                _keeping(lost, swallows, lambda: session.execute(_raise(1, 10)))

        async def work() -> None:
            async with self.open(self.db.writer) as session:
                if hasten:
                    await session.execute(text(hasten))
                await session.execute(_raise(1, 1))
                mine.set()
                theirs.wait(_PATIENCE_S)
                try:
                    await session.execute(_raise(2, 1))
                except DBDeadlock as error:
                    lost.append(error)
                    if not swallows:
                        raise

        with ThreadPoolExecutor(1) as pool:
            there: Future[None] = pool.submit(rival)
            try:
                mine_lost = await _error_of(work)
                their_loss = there.exception(_PATIENCE_S)
            finally:
                mine.set()
                other.dispose()
        self.assertEqual(1, len(lost), "one of the two is the victim")
        expected = TransactionDoomed if swallows else DBDeadlock
        errors = [each for each in (mine_lost, their_loss) if each is not None]
        self.assertEqual([True], [isinstance(each, expected) for each in errors], errors)
        self.assertEqual([10, 10] if mine_lost else [1, 1], self.amounts())
        return lost[0]

    # -- histories that cannot be ordered -----------------------------------------------------------------------------

    async def skewed(self, opener: Any) -> None:
        """Read both rows, let another client change one of them, and change the other."""
        async with self.open(opener) as session:
            await session.scalar(select(func.sum(ITEMS.c.amount)))
            with self.ground.rival() as rival:
                rival = rival.execution_options(isolation_level="SERIALIZABLE")
                rival.execute(select(func.sum(ITEMS.c.amount))).scalar_one()
                rival.execute(_raise(1, 1))
                rival.commit()
            await session.execute(_raise(2, 1))

    @needs(Capability.SERIALIZATION_FAILURES)
    async def test_what_cannot_be_ordered_is_refused_at_serializable(self) -> None:
        self.store(1, 2)

        async def work() -> None:
            await self.skewed(self.db.writer.isolation("SERIALIZABLE"))

        error = await self.raises(DBSerializationFailure, work)
        self.assertTrue(error.transient)
        self.assertIsNot(Outcome.STATEMENT_FAILED, error.outcome)
        self.assertEqual([1, 0], self.amounts())

    def amounts(self) -> list[int]:
        """Return the amounts that another client sees."""
        return self.ground.ask("SELECT amount FROM dbkit_items ORDER BY id")


def _raise(number: int, by: int) -> Any:
    return ITEMS.update().where(ITEMS.c.id == number).values(amount=ITEMS.c.amount + by)


def _keeping(lost: list[DBDeadlock], swallows: bool, work: Callable[[], object]) -> None:
    try:
        work()
    except DBDeadlock as error:
        lost.append(error)
        if not swallows:
            raise


async def _error_of(work: Callable[[], Any]) -> BaseException | None:
    try:
        await work()
    except (DBDeadlock, TransactionDoomed) as error:
        return error
    return None
