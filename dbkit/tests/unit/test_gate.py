"""The line before a database that takes one writer at a time."""

from __future__ import annotations

import asyncio
import gc
import threading
from threading import get_ident
from unittest import mock

import testtools
from sqlalchemy.util import greenlet_spawn

from dbkit.deadline import Deadline
from dbkit.engines.arriving import arriving
from dbkit.engines.gate import Gate, gate_for
from dbkit.engines.line import Line
from dbkit.exceptions import DBLockTimeout, DeadlineExceeded, ModeConflict
from dbkit.testing.servers.polling import wait_until
from dbkit.tests.steering import SteeredClock, Worker, interrupt, until

_LONG_S = 20.0


def _takes(gate):
    gate.acquire(get_ident())
    gate.release(get_ident())


class _Line:
    """Threads that come to a gate one after another, and note the order in which they are let in."""

    def __init__(self, gate):
        self.gate = gate
        self.served = []
        self.workers = []

    def join(self, name):
        """Let another thread come, and return when it stands in the line."""
        before = self.gate.waiting

        def work():
            self.gate.acquire(get_ident())
            self.served.append(name)
            self.gate.release(get_ident())

        self.workers.append(Worker(work))
        wait_until(lambda: self.gate.waiting == before + 1, _LONG_S, f"{name} in the line")

    def ends(self):
        for worker in self.workers:
            worker.outcome()
        return self.served


class TestGateOfThreads(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.gate = Gate("the SQLite database 'app.db'", _LONG_S)
        self.me = get_ident()

    def test_who_finds_it_free_goes_in(self):
        self.gate.acquire(self.me)
        self.gate.release(self.me)
        self.gate.acquire(self.me)
        self.gate.release(self.me)

    def test_one_is_inside_at_a_time(self):
        inside, most = [], []

        def work(rounds):
            for _ in range(rounds):
                self.gate.acquire(get_ident())
                inside.append(1)
                most.append(len(inside))
                inside.pop()
                self.gate.release(get_ident())

        for worker in [Worker(work, 200) for _ in range(8)]:
            worker.outcome()
        self.assertEqual((1600, 1), (len(most), max(most)))

    def test_first_come_is_first_served(self):
        self.gate.acquire(self.me)
        line = _Line(self.gate)
        names = [f"thread {number}" for number in range(8)]
        for name in names:
            line.join(name)
        self.gate.release(self.me)
        self.assertEqual(names, line.ends())

    def test_who_comes_late_does_not_pass_the_line(self):
        self.gate.acquire(self.me)
        line = _Line(self.gate)
        line.join("first")
        line.join("second")
        self.gate.release(self.me)
        self.gate.acquire(self.me)
        self.assertEqual(["first", "second"], line.ends())
        self.gate.release(self.me)

    def test_who_waits_in_vain_gets_a_lock_timeout_that_says_what_to_do(self):
        gate = Gate("the SQLite database 'app.db'", 0.0)
        gate.acquire(self.me)
        error = self.assertRaises(DBLockTimeout, Worker(_takes, gate).outcome)
        self.assertTrue(error.transient)
        for part in ("the SQLite database 'app.db'", "within 0 s", "pool_timeout"):
            self.assertIn(part, str(error))
        self.assertEqual(0, gate.waiting)
        gate.release(self.me)
        Worker(_takes, gate).outcome()

    def test_a_second_block_of_the_holder_is_refused_since_it_would_wait_for_itself(self):
        self.gate.acquire(self.me)
        error = self.assertRaises(ModeConflict, self.gate.acquire, self.me)
        self.assertIn(".independent", str(error))
        self.assertIn("the SQLite database 'app.db'", str(error))
        self.gate.release(self.me)
        Worker(_takes, self.gate).outcome()

    def test_only_the_holder_can_let_the_next_one_in(self):
        self.gate.acquire(self.me)
        line = _Line(self.gate)
        line.join("next")
        Worker(lambda: self.gate.release(get_ident())).outcome()
        self.assertEqual([], line.served)
        self.gate.release(self.me)
        self.assertEqual(["next"], line.ends())

    def test_an_owner_may_release_in_another_thread(self):
        self.gate.acquire(self.me)
        Worker(self.gate.release, self.me).outcome()
        Worker(_takes, self.gate).outcome()

    def test_one_that_is_interrupted_when_its_turn_comes_hands_it_on(self):
        self.gate.acquire(self.me)
        line = _Line(self.gate)
        line.join("interrupted")
        line.join("next")
        interrupt(line.workers[0], KeyboardInterrupt)  # it shows when the thread wakes up
        self.gate.release(self.me)
        self.assertRaises(KeyboardInterrupt, line.workers.pop(0).outcome)
        self.assertEqual(["next"], line.ends())

    def test_one_that_is_interrupted_before_it_waits_leaves_the_line(self):
        self.gate.acquire(self.me)
        with mock.patch.object(Line, "wait", side_effect=KeyboardInterrupt):
            self.assertRaises(KeyboardInterrupt, Worker(_takes, self.gate).outcome)
        self.assertEqual(0, self.gate.waiting)

    def test_and_hands_its_turn_on_if_that_has_come(self):
        def granted(*arguments):
            self.gate.release(self.me)
            raise KeyboardInterrupt

        self.gate.acquire(self.me)
        with mock.patch.object(Line, "wait", granted):
            self.assertRaises(KeyboardInterrupt, Worker(_takes, self.gate).outcome)
        Worker(_takes, self.gate).outcome()

    def test_so_does_a_task(self):
        async def granted(*arguments):
            self.gate.release(self.me)
            raise asyncio.CancelledError

        async def take():
            await greenlet_spawn(self.gate.acquire_in_task, "a task", get_ident())

        self.gate.acquire(self.me)
        with mock.patch.object(Line, "wait_in_task", granted):
            self.assertRaises(asyncio.CancelledError, Worker(asyncio.run, take()).outcome)
        Worker(_takes, self.gate).outcome()

    def test_a_reset_forgets_the_holder_and_the_line(self):
        self.gate.acquire(self.me)
        self.gate.reset()
        Worker(_takes, self.gate).outcome()


class TestGateOfTasks(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.gate = Gate("the SQLite database 'app.db'", _LONG_S)
        self.served = []

    async def enter(self, owner=None):
        owner = owner or asyncio.current_task()
        await greenlet_spawn(self.gate.acquire_in_task, owner, get_ident())
        return owner

    async def serve(self, name):
        owner = await self.enter()
        self.served.append(name)
        self.gate.release(owner)

    async def queued(self, name):
        """Start a task and return it when it stands in the line."""
        before = self.gate.waiting
        task = asyncio.create_task(self.serve(name))
        await until(lambda: self.gate.waiting > before)
        return task

    def run_body(self, body):
        async def bounded():
            async with asyncio.timeout(_LONG_S):
                return await body()

        return asyncio.run(bounded())

    def test_tasks_are_served_in_their_order(self):
        async def body():
            owner = await self.enter()
            tasks = [await self.queued(number) for number in range(10)]
            self.gate.release(owner)
            await asyncio.gather(*tasks)

        self.run_body(body)
        self.assertEqual(list(range(10)), self.served)

    def test_threads_and_tasks_stand_in_one_line(self):
        async def body():
            owner = await self.enter()
            line = _Line(self.gate)
            line.served = self.served
            tasks = []
            for number in range(3):
                tasks.append(await self.queued(f"task {number}"))
                await asyncio.to_thread(line.join, f"thread {number}")
            self.gate.release(owner)
            await asyncio.gather(*tasks)
            await asyncio.to_thread(line.ends)

        self.run_body(body)
        self.assertEqual([f"{kind} {number}" for number in range(3) for kind in ("task", "thread")], self.served)

    def test_a_cancelled_one_leaves_the_line_and_the_others_move_up(self):
        async def body():
            owner = await self.enter()
            tasks = [await self.queued(number) for number in range(3)]
            tasks[1].cancel()
            await asyncio.wait([tasks[1]])
            self.assertTrue(tasks[1].cancelled())
            self.assertEqual(2, self.gate.waiting)
            self.gate.release(owner)
            await asyncio.gather(tasks[0], tasks[2])

        self.run_body(body)
        self.assertEqual([0, 2], self.served)

    def test_one_that_is_cancelled_when_its_turn_comes_hands_it_on(self):
        async def body():
            for first_the_turn in (True, False):
                owner = await self.enter()
                tasks = [await self.queued(number) for number in range(2)]
                if first_the_turn:
                    self.gate.release(owner)
                    tasks[0].cancel()
                else:
                    tasks[0].cancel()
                    self.gate.release(owner)
                await asyncio.wait(tasks)
                self.assertTrue(tasks[0].cancelled())
                await tasks[1]

        self.run_body(body)
        self.assertEqual([1, 1], self.served)

    def test_any_of_them_cancelled_at_any_step_leaves_the_line_intact(self):
        async def body(victim, steps):
            owner = await self.enter()
            tasks = [await self.queued(number) for number in range(4)]
            self.gate.release(owner)
            for _ in range(steps):
                await asyncio.sleep(0)
            tasks[victim].cancel()
            await asyncio.wait(tasks)
            self.gate.release(await self.enter())
            return [number for number, task in enumerate(tasks) if not task.cancelled()]

        for victim in range(4):
            for steps in range(12):
                self.served.clear()
                ended = self.run_body(lambda victim=victim, steps=steps: body(victim, steps))
                self.assertEqual(sorted(self.served), self.served)
                self.assertLessEqual(set(ended), set(self.served), (victim, steps))

    def test_a_timeout_is_typed_and_leaves_the_line(self):
        self.gate = Gate("the SQLite database 'app.db'", 0.0)

        async def body():
            owner = await self.enter()
            task = asyncio.create_task(self.serve("late"))
            await asyncio.wait([task])
            self.assertIsInstance(task.exception(), DBLockTimeout)
            self.assertEqual(0, self.gate.waiting)
            self.gate.release(owner)
            await self.serve("after")

        self.run_body(body)
        self.assertEqual(["after"], self.served)

    def test_a_task_that_holds_it_is_refused_a_second_time(self):
        async def body():
            owner = await self.enter()
            try:
                await self.enter()
            except ModeConflict as error:
                return str(error)
            finally:
                self.gate.release(owner)

        self.assertIn(".independent", self.run_body(body))

    def test_a_blocking_block_is_refused_in_the_thread_whose_task_holds_it(self):
        async def body():
            owner = await self.enter()
            error = self.assertRaises(ModeConflict, self.gate.acquire, get_ident())
            self.gate.release(owner)
            return str(error)

        text = self.run_body(body)
        self.assertIn("neither could go on", text)
        self.assertIn("asyncio.to_thread", text)

    def test_a_blocking_block_is_refused_in_the_thread_whose_task_is_before_it_in_the_line(self):
        async def body():
            entered, leave = threading.Event(), threading.Event()

            def hold():
                self.gate.acquire(get_ident())
                entered.set()
                leave.wait(_LONG_S)
                self.gate.release(get_ident())

            holder = Worker(hold)
            await asyncio.to_thread(entered.wait, _LONG_S)
            task = await self.queued("task")
            self.assertRaises(ModeConflict, self.gate.acquire, get_ident())
            leave.set()
            await task
            holder.outcome()

        self.run_body(body)
        self.assertEqual(["task"], self.served)

    def test_in_a_thread_of_its_own_the_blocking_block_waits_for_the_task(self):
        async def body():
            owner = await self.enter()
            worker = Worker(_takes, self.gate)
            await until(lambda: self.gate.waiting)
            self.gate.release(owner)
            await asyncio.to_thread(worker.outcome)

        self.run_body(body)

    def test_tasks_of_two_loops_in_two_threads_take_turns(self):
        count = []

        async def work():
            for _ in range(50):
                owner = await self.enter()
                count.append(len(count))
                await asyncio.sleep(0)
                self.gate.release(owner)

        for worker in [Worker(asyncio.run, work()) for _ in range(2)]:
            worker.outcome()
        self.assertEqual(list(range(100)), count)

    def test_a_loop_that_was_closed_with_a_task_in_the_line_does_not_stop_the_others(self):
        me = get_ident()
        self.gate.acquire(me)
        loop = asyncio.new_event_loop()

        def abandon():
            task = loop.create_task(self.serve("abandoned"))
            while not self.gate.waiting:
                loop.run_until_complete(asyncio.sleep(0))
            loop.close()
            return task

        task = Worker(abandon).outcome()
        self.gate.release(me)
        Worker(_takes, self.gate).outcome()
        self.assertFalse(task.done())


class TestGateByName(testtools.TestCase):
    def test_the_same_name_is_the_same_gate(self):
        self.assertIs(first := gate_for("/srv/app.db", 1.0), gate_for("/srv/app.db", 5.0))
        self.assertIsNot(first, gate_for("/srv/other.db", 1.0))

    def test_a_gate_that_nobody_uses_is_forgotten(self):
        gate = gate_for("/srv/gone.db", 1.0)
        gate.acquire(get_ident())
        del gate
        gc.collect()
        _takes(gate_for("/srv/gone.db", 1.0))

    def test_threads_that_ask_at_once_get_one_gate(self):
        gates = [worker.outcome() for worker in [Worker(gate_for, "/srv/at-once.db", 1.0) for _ in range(16)]]
        self.assertEqual(1, len({id(gate) for gate in gates}))


class TestGateWithADeadline(testtools.TestCase):
    def test_the_turn_is_waited_for_no_longer_than_the_deadline(self):
        gate = Gate("the SQLite database 'app.db'", _LONG_S)
        gate.acquire(get_ident())
        self.addCleanup(gate.release, get_ident())

        def wait():
            with arriving(Deadline.after(0.02, SteeredClock())):  # which has not passed before there is a line
                gate.acquire(get_ident())

        error = self.assertRaises(DeadlineExceeded, Worker(wait).outcome)
        self.assertIn("the turn for the SQLite database 'app.db'", str(error))
        self.assertEqual(0, gate.waiting)

    def test_a_deadline_that_is_far_away_leaves_the_timeout_as_it_is(self):
        gate = Gate("the SQLite database 'app.db'", 0.02)
        gate.acquire(get_ident())
        self.addCleanup(gate.release, get_ident())

        def wait():
            with arriving(Deadline.after(_LONG_S)):
                gate.acquire(get_ident())

        self.assertRaises(DBLockTimeout, Worker(wait).outcome)
