"""Hooks beside other things: blocks that are open around them, interrupts, and what fails after COMMIT."""

from __future__ import annotations

import asyncio
from unittest import mock

from sqlalchemy import event, insert, select

from dbkit.engines.connection import TrackedConnection
from dbkit.exceptions import DBError, Outcome
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import (
    ASYNCIO,
    BLOCKING,
    BOTH_FACES,
    EVERY_DRIVER,
    ONE_PER_PRODUCT,
    SERVERS,
    SQLITE,
)
from dbkit.tests.behaviours.tables import Audit, Item
from dbkit.tests.steering import turns
from dbkit.transaction.state import State


class Noted(Behaviour):
    """Notes what hooks run."""

    def setUp(self):
        super().setUp()
        self.calls = []

    def note(self):
        """Register a hook of each kind."""
        self.face.after_commit(lambda: self.calls.append("committed"))
        self.face.after_rollback(lambda: self.calls.append("rolled back"))
        self.face.after_unknown(lambda token: self.calls.append("unknown"))

    def called(self, body):
        """Return a hook of the test's colour that calls a body."""
        return body if self.is_asyncio else lambda: self.colour.run(body())


@behaviours(ONE_PER_PRODUCT & SERVERS)
class TestHooksInsideAnotherBlock(Noted):
    """A hook of an independent block runs while the block around it is open: what it writes must not hang on that."""

    async def test_what_a_hook_writes_is_stored_though_the_block_around_is_rolled_back(self):
        @self.writer
        async def write():
            self.session.add(Audit(id=1))

        with self.raising(ValueError):
            async with self.writer() as outer:
                outer.add(Item(id=1))
                await outer.flush()
                async with self.writer.independent() as inner:
                    inner.add(Item(id=2))
                    self.face.after_commit(self.called(write))
                self.assertEqual([1], self.stored(Audit))
                raise ValueError
        self.assertEqual(([2], [1]), (self.stored(), self.stored(Audit)))

    async def test_a_hook_does_not_find_the_session_of_the_block_around(self):
        async with self.writer() as outer:
            async with self.writer.independent() as inner:
                inner.add(Item(id=2))
                self.face.after_commit(lambda: self.session.add(Audit(id=1)))
            outer.add(Item(id=1))
            await self.session.flush()
        self.assertIn("no block of this database is open here", self.logs.output)
        self.assertEqual(([1, 2], []), (self.stored(), self.stored(Audit)))

    async def test_without_that_a_hooks_writes_would_hang_on_the_block_around(self):
        # the control: the hook's block joins, and is lost with the block around it
        @self.writer
        async def write():
            self.session.add(Audit(id=1))

        with mock.patch("dbkit.transaction.hooks.stand_apart", lambda: None), self.raising(ValueError):
            async with self.writer():
                async with self.writer.independent() as inner:
                    inner.add(Item(id=2))
                    self.face.after_commit(self.called(write))
                raise ValueError
        self.assertEqual(([2], []), (self.stored(), self.stored(Audit)))


@behaviours(ONE_PER_PRODUCT | BOTH_FACES)
class TestInterruptedHooks(Noted):
    async def test_the_others_run_and_the_interrupt_goes_on(self):
        def interrupt():
            raise KeyboardInterrupt

        with self.raising(KeyboardInterrupt) as caught:
            async with self.writer() as session:
                session.add(Item(id=1))
                self.face.after_commit(interrupt)
                self.note()
        self.assertIs(Outcome.COMMITTED, caught.error.outcome)
        self.assertEqual((["committed"], [1]), (self.calls, self.stored()))
        async with self.writer() as session:
            session.add(Item(id=2))
        self.assertEqual([1, 2], self.stored())

    @on((ONE_PER_PRODUCT | BOTH_FACES) & ASYNCIO)
    async def test_a_cancellation_cuts_off_the_hook_that_runs_and_no_other(self):
        async def slow():
            self.calls.append("slow begins")
            asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)
            await turns(5)
            self.calls.append("slow ends")

        async def last():
            await turns()
            self.calls.append("last")

        async def work():
            async with self.writer() as session:
                session.add(Item(id=1))
                self.face.after_commit(slow)
                self.face.after_commit(last)

        with self.raising(asyncio.CancelledError) as caught:
            await asyncio.create_task(work())
        self.assertIs(Outcome.COMMITTED, caught.error.outcome)
        self.assertEqual((["slow begins", "last"], [1]), (self.calls, self.stored()))

    @on(ONE_PER_PRODUCT & ASYNCIO & SERVERS)
    async def test_a_coroutine_of_a_blocking_block_inside_an_asyncio_one_is_awaited(self):
        async def hook():
            await turns()
            self.calls.append("awaited")

        def blocking():
            with self.db.writer.independent() as session:
                session.add(Item(id=1))
                self.db.after_commit(hook)

        async with self.writer() as session:
            await session.run_sync(lambda plain: blocking())
        self.assertEqual((["awaited"], [1]), (self.calls, self.stored()))

    @on(ONE_PER_PRODUCT & BLOCKING)
    async def test_a_coroutine_in_a_blocking_block_is_told_and_not_lost_without_a_word(self):
        async def hook():
            self.calls.append("never")

        async with self.writer() as session:
            session.add(Item(id=1))
            self.face.after_commit(hook)
        self.assertEqual(([], [1]), (self.calls, self.stored()))
        self.assertIn("the block is a blocking one, which awaits nothing", self.logs.output)


@behaviours(EVERY_DRIVER)
class TestWhatFailsAfterCommit(Noted):
    """The rows are stored: an error would make the caller do the work again."""

    def strike(self, error=OSError):
        def fail(*args):
            raise error("of the test")

        return fail

    async def check(self, work, error=None):
        """Run a body whose rows are stored; the next block gets another connection."""
        if error is None:
            await work()
        else:
            await self.raises(error, work)
        self.assertEqual((["committed"], [1]), (self.calls, self.stored()))
        async with self.writer() as session:
            session.add(Item(id=2))
        self.assertEqual([1, 2], self.stored())

    async def work(self):
        async with self.writer.isolation("SERIALIZABLE")() as session:
            session.add(Item(id=1))
            await session.flush()
            self.note()

    def not_restoring(self, error=OSError):
        """Let what restores the session's settings fail."""
        isolate = TrackedConnection._isolate

        def isolating(connection, level):
            isolate(connection, level)
            connection._restore = self.strike(error)

        return mock.patch.object(TrackedConnection, "_isolate", isolating)

    async def test_a_setting_that_is_not_restored_is_told_and_the_block_has_succeeded(self):
        with self.not_restoring():
            await self.check(self.work)
        self.assertIn(
            "the transaction is committed; what it held could not be given back: of the test", self.logs.output
        )

    async def test_the_connection_is_not_used_again(self):
        used = []
        for failing in (False, True, False):
            async with self.writer.isolation("SERIALIZABLE")() as session:
                await session.execute(select(Item.id))
                connection = self.db.current.physical().connection
                used.append(connection.driver_level)
                if failing:
                    connection._restore = self.strike()
        self.assertIs(used[0], used[1])  # the control: without a failure it is
        self.assertIsNot(used[1], used[2])

    async def test_an_interrupt_there_goes_on_and_the_hooks_know(self):
        interrupt = asyncio.CancelledError if self.is_asyncio else KeyboardInterrupt
        with self.not_restoring(interrupt):
            await self.check(self.work, interrupt)

    async def test_a_listener_that_fails_after_commit_is_told_and_the_block_has_succeeded(self):
        async def work():
            async with self.writer() as session:
                event.listen(session.sync_session, "after_commit", self.strike())
                session.add(Item(id=1))
                self.note()

        await self.check(work)
        self.assertIn("the transaction is committed; what followed COMMIT failed: of the test", self.logs.output)

    async def test_the_outcome_is_committed(self):
        async with self.writer() as session:
            event.listen(session.sync_session, "after_commit", self.strike())
            session.add(Item(id=1))
            transaction = self.db.current.physical()
        self.assertEqual((State.COMMITTED, State.CLOSED), (transaction.outcome, transaction.state))

    async def test_the_same_errors_before_commit_are_the_blocks(self):
        # the control: what fails while nothing is stored is a failure
        async def work():
            async with self.writer() as session:
                event.listen(session.sync_session, "before_commit", self.strike())
                session.add(Item(id=1))
                self.note()

        await self.raises(OSError, work)
        self.assertEqual((["rolled back"], []), (self.calls, self.stored()))

    async def test_plain_sqlalchemy_reports_a_failure_of_what_is_stored(self):
        # the control: a caller who believes it does the work twice
        with self.raising(OSError):
            async with self.bare_session() as session:
                event.listen(session.sync_session, "after_commit", self.strike())
                session.add(Item(id=1))
        self.assertEqual([1], self.stored())

    @on(EVERY_DRIVER - SQLITE)
    async def test_after_a_rollback_the_first_error_is_the_one_that_is_raised(self):
        async def work():
            async with self.writer.isolation("SERIALIZABLE").connection() as connection:
                await connection.execute(insert(Item).values(id=1, amount=0))
                self.note()
                raise DBError(message="mine")

        with self.not_restoring():
            error = await self.raises(DBError, work)
        self.assertEqual(("mine",), error.args)
        self.assertEqual((["rolled back"], []), (self.calls, self.stored()))
