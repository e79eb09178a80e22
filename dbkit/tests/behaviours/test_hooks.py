"""Hooks: work that is bound to how a transaction ends."""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select

from dbkit.exceptions import DBDuplicateEntry, TransactionDoomed, TransactionOwnedElsewhere
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import (
    ASYNCIO,
    BLOCKING,
    BOTH_FACES,
    EVERY_FACE,
    ONE_PER_PRODUCT,
    SQLITE_MEMORY,
)
from dbkit.tests.behaviours.tables import Audit, Item
from dbkit.tests.steering import turns


class Stop(BaseException):
    """What is no Exception."""


@behaviours(EVERY_FACE)
class TestHooks(Behaviour):
    def setUp(self):
        super().setUp()
        self.calls = []

    def hook(self, call):
        """Return a hook that notes its call."""
        return lambda: self.calls.append(call)

    def register(self, name=""):
        """Register one hook of each kind."""
        self.face.after_commit(self.hook(f"committed{name}"))
        self.face.after_rollback(self.hook(f"rolled back{name}"))

    async def test_after_commit_runs_once_when_the_block_is_committed(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            self.register()
            self.assertEqual([], self.calls)
        self.assertEqual(["committed"], self.calls)
        async with self.writer() as session:
            session.add(Item(id=2))
        self.assertEqual(["committed"], self.calls)

    async def test_after_rollback_runs_once_when_the_block_is_rolled_back(self):
        with self.raising(ValueError):
            async with self.writer() as session:
                session.add(Item(id=1))
                self.register()
                raise ValueError
        self.assertEqual(["rolled back"], self.calls)

    async def test_a_hook_of_a_function_runs_after_it(self):
        @self.writer
        async def work(fails):
            self.session.add(Item(id=1))
            self.register()
            if fails:
                raise ValueError

        await self.raises(ValueError, work, True)
        await work(False)
        self.assertEqual(["rolled back", "committed"], self.calls)

    async def test_hooks_run_in_the_order_of_their_registration(self):
        async with self.writer():
            for number in range(3):
                self.face.after_commit(self.hook(number))
                async with self.writer():
                    self.face.after_commit(self.hook(number + 10))
        self.assertEqual([0, 10, 1, 11, 2, 12], self.calls)

    async def test_a_hook_of_an_inner_block_waits_for_the_outermost_one(self):
        async with self.writer():
            async with self.writer() as inner:
                inner.add(Item(id=1))
                self.register()
            self.assertEqual([], self.calls)
        self.assertEqual(["committed"], self.calls)

    async def test_the_rows_are_stored_when_a_hook_runs(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            self.face.after_commit(lambda: self.calls.append(self.stored()))
        self.assertEqual([[1]], self.calls)

    async def test_a_hook_that_fails_does_not_stop_the_others_nor_the_caller(self):
        def fail():
            raise ValueError("a hook")

        async with self.writer() as session:
            session.add(Item(id=1))
            self.face.after_commit(self.hook(1))
            self.face.after_commit(fail)
            self.face.after_commit(self.hook(2))
        self.assertEqual(([1], [1, 2]), (self.stored(), self.calls))
        self.assertIn("a hook after COMMIT failed", self.logs.output)

    async def test_a_hook_that_fails_after_a_rollback_does_not_hide_the_error(self):
        def fail():
            raise KeyError("a hook")

        with self.raising(ValueError) as caught:
            async with self.writer():
                self.face.after_rollback(fail)
                self.face.after_rollback(self.hook(2))
                raise ValueError("mine")
        self.assertEqual(("mine",), caught.error.args)
        self.assertEqual([2], self.calls)

    async def test_after_rollback_runs_when_the_last_flush_fails(self):
        self.store(1)
        with self.raising(DBDuplicateEntry):
            async with self.writer() as session:
                session.add(Item(id=1))
                self.register()
        self.assertEqual(["rolled back"], self.calls)

    async def test_after_rollback_runs_for_what_is_no_exception_too(self):
        with self.raising(Stop):
            async with self.writer():
                self.register()
                raise Stop
        self.assertEqual(["rolled back"], self.calls)

    async def test_a_hook_behind_a_savepoint_that_is_rolled_back_is_forgotten(self):
        async with self.writer():
            self.register(" outer")
            with self.raising(ValueError):
                async with self.writer.savepoint():
                    self.register(" inner")
                    raise ValueError
            async with self.writer.savepoint():
                self.register(" kept")
        self.assertEqual(["committed outer", "committed kept"], self.calls)

    async def test_a_rollback_hook_behind_a_savepoint_still_runs_when_all_is_rolled_back(self):
        with self.raising(KeyError):
            async with self.writer():
                with self.raising(ValueError):
                    async with self.writer.savepoint():
                        self.register(" inner")
                        raise ValueError
                raise KeyError
        self.assertEqual(["rolled back inner"], self.calls)

    async def test_a_savepoint_in_a_savepoint_forgets_its_own_hooks_only(self):
        async with self.writer():
            async with self.writer.savepoint():
                self.register(" one")
                with self.raising(ValueError):
                    async with self.writer.savepoint():
                        self.register(" two")
                        raise ValueError
                self.register(" three")
        self.assertEqual(["committed one", "committed three"], self.calls)

    async def test_a_block_that_was_doomed_runs_the_rollback_hooks(self):
        self.store(1)
        with self.raising(TransactionDoomed):
            async with self.writer() as session:
                self.register()
                session.add(Item(id=1))
                await self.raises(DBDuplicateEntry, session.flush)
        self.assertEqual(["rolled back"], self.calls)

    async def test_a_readers_hooks_run_as_well(self):
        async with self.reader() as session:
            await session.execute(select(Item.id))
            self.register()
        with self.raising(ValueError):
            async with self.reader():
                self.register()
                raise ValueError
        self.assertEqual(["committed", "rolled back"], self.calls)

    async def test_a_hook_registered_before_anything_was_asked_for_runs(self):
        @self.writer
        async def work():
            self.register()

        await work()
        self.assertEqual(["committed"], self.calls)

    async def test_a_hook_registered_by_a_hook_is_one_of_the_next_transaction(self):
        def again():
            self.calls.append("first")
            self.face.after_commit(self.hook("never"))

        async with self.writer():
            self.face.after_commit(again)
            self.face.after_commit(self.hook("second"))
        self.assertEqual(["first", "second"], self.calls)


@behaviours(ONE_PER_PRODUCT | SQLITE_MEMORY)
class TestHooksThatUseTheDatabase(Behaviour):
    async def test_a_hook_opens_a_transaction_of_its_own(self):
        @self.writer
        async def note():
            self.session.add(Audit(id=1))

        async with self.writer() as session:
            session.add(Item(id=1))
            self.face.after_commit(self.called(note))
        self.assertEqual(([1], [1]), (self.stored(), self.stored(Audit)))

    async def test_a_hook_after_a_rollback_may_write(self):
        @self.writer
        async def note():
            self.session.add(Audit(id=1))

        with self.raising(ValueError):
            async with self.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                self.face.after_rollback(self.called(note))
                raise ValueError
        self.assertEqual(([], [1]), (self.stored(), self.stored(Audit)))

    def called(self, body):
        """Return a hook of the test's colour that calls a body."""
        if self.is_asyncio:
            return body
        return lambda: self.colour.run(body())

    @on(ASYNCIO)
    async def test_a_coroutine_hook_is_awaited(self):
        calls = []

        async def hook():
            await turns()
            calls.append("done")

        async def fails():
            await turns()
            raise ValueError

        async with self.writer() as session:
            session.add(Item(id=1))
            self.face.after_commit(fails)
            self.face.after_commit(hook)
        self.assertEqual(["done"], calls)


@behaviours(ONE_PER_PRODUCT | BOTH_FACES)
class TestHooksOfOthers(Behaviour):
    """A hook registered beside the block would race with its end, and run or not by chance: it is refused."""

    def setUp(self):
        super().setUp()
        self.calls = []

    def register_both(self):
        """Register a hook of each kind; return the errors of those that are refused."""
        errors = []
        for register in (self.face.after_commit, self.face.after_rollback):
            try:
                register(lambda: self.calls.append("another's"))
            except TransactionOwnedElsewhere as error:
                errors.append(str(error))
        return errors

    def in_thread(self, work):
        """Run work in a thread that has a copy of the chain, as frameworks start them."""
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(contextvars.copy_context().run, work).result()

    def check(self, errors):
        self.assertEqual(2, len(errors))
        for each in errors:
            self.assertIn("belongs to the task or thread that entered the block", each)
            self.assertIn(".independent", each)

    async def test_those_of_another_thread_are_refused(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            self.face.after_commit(lambda: self.calls.append("mine"))
            self.check(self.in_thread(self.register_both))
        self.assertEqual((["mine"], [1]), (self.calls, self.stored()))

    async def test_those_of_another_thread_are_refused_though_the_block_asked_for_nothing_yet(self):
        async with self.writer():
            self.check(self.in_thread(self.register_both))
        self.assertEqual([], self.calls)

    async def test_those_of_a_thread_in_a_function_that_fails_are_refused(self):
        @self.writer
        async def work():
            self.check(self.in_thread(self.register_both))
            raise ValueError

        await self.raises(ValueError, work)
        self.assertEqual([], self.calls)

    @on(ASYNCIO)
    async def test_those_of_a_child_task_are_refused(self):
        async def child():
            return self.register_both()

        async with self.writer() as session:
            session.add(Item(id=1))
            self.check(await asyncio.create_task(child()))
            (errors,) = await asyncio.gather(child())
            self.check(errors)
            self.check(await asyncio.to_thread(self.register_both))
        self.assertEqual(([], [1]), (self.calls, self.stored()))

    @on(ASYNCIO)
    async def test_those_of_a_blocking_function_of_the_task_are_its_own(self):
        async with self.writer() as session:
            self.assertEqual([], await session.run_sync(lambda plain: self.register_both()))
        self.assertEqual(["another's"], self.calls)

    @on(BLOCKING)
    async def test_those_of_a_copied_context_in_the_same_thread_are_its_own(self):
        # the control: it is the thread that counts
        async with self.writer():
            self.assertEqual([], contextvars.copy_context().run(self.register_both))
        self.assertEqual(["another's"], self.calls)
