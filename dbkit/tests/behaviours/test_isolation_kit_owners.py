"""Who may use the one connection of a test that is isolated by rollback."""

from __future__ import annotations

import asyncio
import threading
import unittest
import warnings

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from dbkit.exceptions import TransactionOwnedElsewhere, UsageError
from dbkit.testing.isolation import IsolationError, LeftInUse
from dbkit.tests.behaviours.base import behaviours
from dbkit.tests.behaviours.combinations import ASYNCIO, BLOCKING, EVERY_DRIVER, ONE_PER_PRODUCT
from dbkit.tests.behaviours.sandboxes import SandboxBehaviour
from dbkit.tests.behaviours.tables import Item


class Owning(SandboxBehaviour):
    """Several users of one sandbox."""

    def adding(self, sandbox, number, told=None):
        """Return a function that stores a row, and notes the error if it can't."""

        def add():
            try:
                with sandbox.database.writer() as session:
                    session.add(Item(id=number))
            except UsageError as error:
                if told is None:
                    raise
                told.append(error)

        return add

    def ids(self, sandbox):
        with sandbox.database.reader() as session:
            return session.scalars(select(Item.id).order_by(Item.id)).all()


@behaviours(ONE_PER_PRODUCT & BLOCKING)
class TestThreads(Owning):
    def test_another_thread_is_refused_by_name(self):
        told = []
        with self.isolation() as sandbox:
            thread = threading.Thread(target=self.adding(sandbox, 1, told), name="worker-1")
            thread.start()
            thread.join()
            self.assertEqual([], self.ids(sandbox))
        self.assertIsInstance(told[0], TransactionOwnedElsewhere)
        for words in (
            "'worker-1'",
            repr(threading.current_thread().name),
            "sandbox.allow(",
            "isolation 'clone'",
            "earlier test",
        ):
            self.assertIn(words, str(told[0]))

    def test_a_thread_that_was_let_in_works_on_the_same_rows(self):
        told = []
        with self.isolation() as sandbox:
            thread = threading.Thread(target=self.adding(sandbox, 1, told))
            sandbox.allow(thread)
            thread.start()
            thread.join()
            self.assertEqual([], told)
            self.assertEqual([1], self.ids(sandbox))
        self.assertEqual([], self.stored())

    def test_when_all_are_let_in_they_wait_for_each_other(self):
        told = []
        with self.isolation() as sandbox:
            sandbox.allow_all()
            threads = [threading.Thread(target=self.adding(sandbox, number, told)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual([], told)
            self.assertEqual(list(range(8)), self.ids(sandbox))
        self.assertEqual([], self.stored())

    def test_plain_sessions_of_several_threads_wait_for_each_other(self):
        def add(number):
            with Session(sandbox.engine) as session:
                session.add(Item(id=number))
                session.commit()
                session.add(Item(id=number + 100))
                session.flush()

        with self.isolation() as sandbox:
            sandbox.allow_all()
            threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(list(range(8)), self.ids(sandbox))
        self.assertEqual([], self.stored())

    def test_a_fixture_in_another_thread_hands_the_test_over(self):
        entered = self.isolation()
        made = []
        thread = threading.Thread(target=lambda: made.append(entered.__enter__()))
        thread.start()
        thread.join()
        self.adding(made[0], 1)()  # the thread has ended
        self.assertEqual([1], self.ids(made[0]))
        entered.__exit__(None, None, None)
        self.assertEqual([], self.stored())

    def test_what_is_left_in_use_is_a_warning_that_nobody_has_to_switch_on(self):
        self.assertTrue(issubclass(LeftInUse, UserWarning))

    def test_only_threads_and_tasks_can_be_let_in(self):
        with self.isolation() as sandbox, self.raising(UsageError):
            sandbox.allow("worker")

    def test_a_session_that_is_never_closed_does_not_hurt_the_next_test(self):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            with self.isolation() as sandbox:
                session = Session(sandbox.engine)
                session.add(Item(id=1))
                session.flush()
        self.assertIn("close each Session", str([each.message for each in told if each.category is LeftInUse]))
        with self.isolation() as sandbox:
            self.assertEqual([], self.ids(sandbox))
            self.adding(sandbox, 1)()
        self.assertEqual([], self.stored())
        session.invalidate()

    def test_a_thread_that_outlives_the_test_stores_nothing(self):
        may_go_on, is_inside, told = threading.Event(), threading.Event(), []

        def work():
            try:
                with sandbox.database.writer() as session:
                    session.add(Item(id=1))
                    session.flush()
                    is_inside.set()
                    may_go_on.wait(20)
            except Exception as error:  # looked at below
                told.append(error)
            self.adding(sandbox, 2, told)()

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LeftInUse)
            with self.isolation() as sandbox:
                thread = threading.Thread(target=work)
                sandbox.allow(thread)
                thread.start()
                is_inside.wait(20)
        may_go_on.set()
        thread.join()
        self.assertIsInstance(told[-1], IsolationError)
        self.assertEqual([], self.stored())

    def test_asyncio_code_in_a_blocking_sandbox_is_told_to_use_async_with(self):
        async def add():
            async with sandbox.database.writer() as session:
                session.add(Item(id=1))

        with self.isolation() as sandbox:
            with self.raising(IsolationError) as caught:
                asyncio.run(add())
        self.assertIn("async with isolated", str(caught.error))
        self.assertIn("isolation 'clone'", str(caught.error))


@behaviours(ONE_PER_PRODUCT & ASYNCIO)
class TestTasks(Owning):
    async def add(self, sandbox, number):
        async with sandbox.database.writer() as session:
            session.add(Item(id=number))

    async def rows(self, sandbox):
        async with sandbox.database.reader() as session:
            return list(await session.scalars(select(Item.id).order_by(Item.id)))

    async def test_another_task_is_refused_by_name(self):
        async with self.isolated() as sandbox:
            task = asyncio.create_task(self.add(sandbox, 1), name="sender")
            error = await self.raises(TransactionOwnedElsewhere, lambda: task)
            self.assertEqual([], await self.rows(sandbox))
        for words in ("'sender' of ", "add()", repr(asyncio.current_task().get_name()), "sandbox.allow("):
            self.assertIn(words, str(error))

    async def test_a_task_that_was_let_in_works_on_the_same_rows(self):
        async with self.isolated() as sandbox:
            task = asyncio.create_task(self.add(sandbox, 1))
            sandbox.allow(task)
            await task
            self.assertEqual([1], await self.rows(sandbox))
        self.assertEqual([], self.stored())

    async def test_when_all_are_let_in_they_wait_for_each_other(self):
        async with self.isolated() as sandbox:
            sandbox.allow_all()
            await asyncio.gather(*(self.add(sandbox, number) for number in range(8)))
            self.assertEqual(list(range(8)), await self.rows(sandbox))
        self.assertEqual([], self.stored())

    async def test_a_task_that_lives_on_must_be_succeeded_by_word(self):
        entered, may_end = self.isolation(), asyncio.Event()

        async def fixture():
            async with entered as sandbox:
                made.set_result(sandbox)
                await may_end.wait()

        made = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(fixture(), name="fixture")
        sandbox = await made
        error = await self.raises(TransactionOwnedElsewhere, self.add, sandbox, 1)
        self.assertIn("'fixture'", str(error))
        sandbox.adopt()
        await self.add(sandbox, 1)
        self.assertEqual([1], await self.rows(sandbox))
        may_end.set()
        await task
        self.assertEqual([], self.stored())

    async def test_a_fixture_in_another_task_hands_the_test_over(self):
        entered = self.isolation()
        sandbox = await asyncio.create_task(entered.__aenter__())
        await self.add(sandbox, 1)
        self.assertEqual([1], await self.rows(sandbox))
        await asyncio.create_task(entered.__aexit__(None, None, None))
        self.assertEqual([], self.stored())

    async def test_blocking_code_is_told_why_it_cannot_see_the_rows(self):
        async with self.isolated() as sandbox:
            error = await self.raises(IsolationError, asyncio.to_thread, self.adding(sandbox, 1))
        self.assertIn("isolation 'clone'", str(error))

    async def test_blocking_functions_work_through_run_sync(self):
        async with self.isolated() as sandbox:
            async with sandbox.database.writer() as session:
                await session.run_sync(lambda _: self.adding(sandbox, 1)())
            self.assertEqual([1], await self.rows(sandbox))


class _AppTest:
    """A test as users of the standard library write them: each of its parts is a task of its own."""

    async def asyncSetUp(self):
        self.sandbox = await self.enterAsyncContext(type(self).isolation())
        async with self.sandbox.database.writer() as session:
            session.add(Item(id=1))

    async def test_one(self):
        async with self.sandbox.database.writer() as session:
            session.add(Item(id=2))
            self.assertEqual(1, (await session.get(Item, 1)).id)

    test_two = test_one


@behaviours(ONE_PER_PRODUCT & ASYNCIO)
class TestTheStandardLibrarysAsyncioTests(Owning):
    def test_they_need_no_word_of_ownership(self):
        more = {"isolation": staticmethod(self.isolation)}
        case = type("AppTest", (_AppTest, unittest.IsolatedAsyncioTestCase), more)
        result = unittest.TestResult()
        for name in ("test_one", "test_two"):
            case(name).run(result)
        self.assertEqual((2, [], []), (result.testsRun, result.errors, result.failures))
        self.assertEqual([], self.stored())


@behaviours(EVERY_DRIVER & ASYNCIO)
class TestEventLoops(Owning):
    def test_each_test_may_have_a_loop_of_its_own(self):
        async def test():
            async with self.isolated() as sandbox:
                async with sandbox.database.writer() as session:
                    session.add(Item(id=1))
                return sandbox.async_engine.sync_engine.pool

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(3):
                pool = asyncio.run(test())
                self.assertEqual(0, pool.held, "the connection was not closed with the loop")
        self.assertEqual([], self.stored())

    def test_a_loop_that_lives_on_keeps_its_connection(self):
        async def test():
            async with self.isolated() as sandbox:
                async with sandbox.database.writer() as session:
                    session.add(Item(id=1))
                pool = sandbox.async_engine.sync_engine.pool
                return pool, id(pool.held_connection)

        with asyncio.Runner() as runner:
            first, opened = runner.run(test())
            second, opened_then = runner.run(test())
            self.assertIs(first, second)
            self.assertEqual(opened, opened_then)
        self.assertEqual(0, first.held)

    def test_blocks_and_plain_sessions_take_turns_from_the_first_connection_on(self):
        async def block(sandbox, number):
            async with sandbox.database.writer() as session:
                session.add(Item(id=number))

        async def plain(sandbox, number):
            async with AsyncSession(sandbox.async_engine) as session:
                session.add(Item(id=number))
                await session.commit()

        async def test():
            async with self.isolated() as sandbox:  # a new loop: the connection is made while others come
                sandbox.allow_all()
                await asyncio.gather(*((plain, block)[number % 2](sandbox, number) for number in range(12)))
                async with sandbox.database.reader() as session:
                    return list((await session.scalars(select(Item.id).order_by(Item.id))).all())

        for _ in range(3):
            self.assertEqual(list(range(12)), asyncio.run(test()))
        self.assertEqual([], self.stored())

    def test_another_loop_is_refused(self):
        async def add(sandbox):
            async with sandbox.database.writer() as session:
                session.add(Item(id=1))

        async def test():
            async with self.isolated() as sandbox:
                sandbox.allow_all()
                return await self.raises(IsolationError, asyncio.to_thread, asyncio.run, add(sandbox))

        self.assertIn("another event loop", str(asyncio.run(test())))
