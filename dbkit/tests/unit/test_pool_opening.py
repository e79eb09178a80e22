"""Who opens connections while the server is unwell: one or two for all, and the others hear what came of it."""

from __future__ import annotations

import asyncio
import sys
import threading
from unittest import mock

import testtools
from sqlalchemy.util import greenlet_spawn

from dbkit.deadline import LIMIT, Deadline
from dbkit.engines.line import Line
from dbkit.engines.opening import Attempt, Openers, Turn, open_in_turn
from dbkit.exceptions import DBNotPrimary, DeadlineExceeded, PoolTimeout
from dbkit.testing.servers.polling import wait_until
from dbkit.tests.steering import SteeredClock, Worker, interrupt, turns

_WAIT_S = 20.0


class OpenersTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.clock = SteeredClock()
        self.openers = Openers(_WAIT_S, self.clock)
        self.attempt = Attempt()
        self.idle = []
        self.opened = 0
        self.at_once = self.most = 0
        self.lock = threading.Lock()
        self.go = threading.Event()
        self.error = None

    def open_one(self):
        with self.lock:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        try:
            assert self.go.wait(_WAIT_S)
            if self.error is not None:
                self.openers.refused(self.error)
                raise self.error
        finally:
            with self.lock:
                self.at_once -= 1
        with self.lock:
            self.opened += 1
            number = self.opened
        self.openers.opened()
        return f"new {number}"

    def one(self, pool="pool"):
        return open_in_turn(self.openers, pool, lambda: self.idle.pop() if self.idle else None, self.open_one)

    def workers(self, count, running):
        """Let threads ask for a connection; return them when so many are opening one and the others wait."""
        found = [Worker(self.one) for _ in range(count)]
        wait_until(lambda: self.at_once == running, _WAIT_S, f"{running} that open")
        wait_until(lambda: len(self.openers.waiting) == count - running, _WAIT_S, f"{count - running} that wait")
        return found


class TestTurns(OpenersTest):
    def test_all_open_at_once_while_the_server_is_well(self):
        workers = self.workers(10, running=10)
        self.go.set()
        self.assertEqual(10, len({worker.outcome() for worker in workers}))

    def test_two_at_a_time_after_a_loss(self):
        self.openers.lost()
        workers = self.workers(10, running=2)
        self.go.set()
        for worker in workers:
            worker.outcome()
        self.assertEqual(10, self.opened)
        self.assertIsNone(self.openers.limit)

    def test_one_at_a_time_after_a_refusal(self):
        self.openers.refused(OSError("refused"))
        self.workers(5, running=1)
        self.go.set()

    def test_each_success_lets_one_more_try(self):
        self.openers.refused(OSError("refused"))
        found = []
        for _ in range(4):
            found.append(self.openers.limit)
            self.openers.opened()
        self.assertEqual([1, 2, 3, 4], found)
        self.assertIsNone(self.openers.limit)

    def test_a_loss_does_not_forgive_a_refusal(self):
        self.openers.refused(OSError("refused"))
        self.openers.lost()
        self.assertEqual(1, self.openers.limit)

    def test_those_who_wait_share_the_failure(self):
        self.openers.lost()
        workers = self.workers(20, running=2)
        self.error = OSError("refused")
        self.go.set()
        for worker in workers:
            self.assertIs(self.error, self.assertRaises(OSError, worker.outcome))
        self.assertEqual((2, 0), (self.most, self.opened))

    def test_an_error_of_ours_is_shared_in_copies(self):
        self.openers.lost()
        workers = self.workers(6, running=2)
        self.error = DBNotPrimary()
        self.go.set()
        found = [self.assertRaises(DBNotPrimary, worker.outcome) for worker in workers]
        self.assertGreaterEqual(len({id(each) for each in found}), 5)

    def test_without_it_each_has_a_timeout_of_its_own(self):
        """The negative control: as long as nothing is known of the server, everyone tries."""
        workers = self.workers(20, running=20)
        self.error = OSError("refused")
        self.go.set()
        for worker in workers:
            self.assertRaises(OSError, worker.outcome)
        self.assertEqual(20, self.most)

    def test_a_connection_that_comes_back_serves_who_waits(self):
        self.openers.lost()
        workers = self.workers(3, running=2)
        self.openers.came_back("another pool")
        self.assertEqual(1, len(self.openers.waiting))
        self.idle.append("old")
        self.openers.came_back("pool")
        wait_until(lambda: not self.idle, _WAIT_S, "the idle one taken")
        self.go.set()
        self.assertIn("old", {worker.outcome() for worker in workers})
        self.assertEqual(2, self.opened)

    def test_who_finds_that_it_was_taken_waits_again(self):
        self.openers.lost()
        self.workers(3, running=2)
        self.openers.came_back("pool")
        wait_until(lambda: len(self.openers.waiting) == 1, _WAIT_S, "the third in the line again")
        self.go.set()
        wait_until(lambda: self.opened == 3, _WAIT_S, "three that were opened")

    def test_one_that_is_interrupted_hands_its_turn_on(self):
        self.openers.refused(OSError("refused"))
        self.assertIs(Turn.OPEN, self.openers.enter("pool", self.attempt))
        workers = [Worker(self.openers.enter, "pool", Attempt())]
        wait_until(lambda: len(self.openers.waiting) == 1, _WAIT_S, "the first in the line")
        workers.append(Worker(self.openers.enter, "pool", Attempt()))
        wait_until(lambda: len(self.openers.waiting) == 2, _WAIT_S, "the second in the line")
        interrupt(workers[0], KeyboardInterrupt)
        self.openers.leave(self.attempt)
        self.assertRaises(KeyboardInterrupt, workers[0].outcome)
        self.assertIs(Turn.OPEN, workers[1].outcome())

    def test_one_that_is_interrupted_before_it_waits_leaves_the_line(self):
        self.openers.refused(OSError("refused"))
        self.assertIs(Turn.OPEN, self.openers.enter("pool", self.attempt))
        with mock.patch.object(Line, "wait", side_effect=KeyboardInterrupt):
            self.assertRaises(KeyboardInterrupt, Worker(self.openers.enter, "pool", Attempt()).outcome)
        self.assertEqual(0, len(self.openers.waiting))

    def test_and_hands_its_turn_on_if_that_has_come(self):
        def granted(*arguments):
            self.openers.leave(self.attempt)
            raise KeyboardInterrupt

        self.openers.refused(OSError("refused"))
        self.assertIs(Turn.OPEN, self.openers.enter("pool", self.attempt))
        late = Attempt()  # held by the test, so that its end gives no turn back
        with mock.patch.object(Line, "wait", granted):
            self.assertRaises(KeyboardInterrupt, Worker(self.openers.enter, "pool", late).outcome)
        self.assertIs(Turn.OPEN, self.openers.enter("pool", Attempt()))

    def test_one_that_is_interrupted_while_it_opens_is_no_failure_of_the_server(self):
        self.openers.lost()

        def stop():
            raise KeyboardInterrupt

        self.assertRaises(KeyboardInterrupt, open_in_turn, self.openers, "pool", lambda: None, stop)
        self.go.set()
        self.assertEqual("new 1", self.one())

    def test_one_that_is_interrupted_anywhere_keeps_no_turn(self):
        self.openers.lost()
        self.go.set()
        steps = 0
        while self.interrupted_at(steps):
            steps += 1
            for _ in range(2):  # with two turns that were lost there would be none
                self.interrupted_at(steps)
            self.assertEqual(Turn.OPEN, self.openers.enter("pool", self.attempt))
            self.openers.leave(self.attempt)
        self.assertGreater(steps, 20)

    def interrupted_at(self, step):
        """Interrupt a caller before so many instructions of it; return whether it had as many."""
        seen = 0

        def trace(frame, kind, value):
            nonlocal seen
            if frame.f_code is not open_in_turn.__code__:
                return None
            frame.f_trace_opcodes = True
            seen += kind == "opcode"
            if seen == step + 1:
                raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            open_in_turn(self.openers, "pool", lambda: "idle", self.open_one)
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
        return False

    def test_who_waits_in_vain_is_told_so(self):
        self.openers = Openers(0.0, self.clock)
        self.openers.refused(OSError("refused"))
        self.openers.enter("pool", self.attempt)
        error = self.assertRaises(PoolTimeout, Worker(self.one).outcome)
        self.assertIn("connect_timeout", str(error))
        self.assertEqual(0, len(self.openers.waiting))

    def test_a_deadline_ends_the_wait(self):
        self.openers.refused(OSError("refused"))
        self.openers.enter("pool", self.attempt)

        def hurried():
            LIMIT.set(Deadline.after(0.01))
            self.one()

        self.assertRaises(DeadlineExceeded, Worker(hurried).outcome)


class TestPauses(OpenersTest):
    def refuse(self, times):
        for _ in range(times):
            self.openers.refused(OSError("refused"))

    def pause(self):
        self.clock.slept.clear()
        self.openers.pause()
        return [round(each, 3) for each in self.clock.slept]

    def test_the_first_attempt_waits_for_nothing(self):
        self.assertEqual([], self.pause())
        self.openers.lost()
        self.assertEqual([], self.pause())

    def test_each_refusal_doubles_the_pause_up_to_half_a_second(self):
        found = []
        for _ in range(6):
            self.refuse(1)
            found += self.pause()
        self.assertEqual([0.03, 0.06, 0.12, 0.24, 0.375, 0.375], found)

    def test_a_success_ends_them(self):
        self.refuse(3)
        self.openers.opened()
        self.assertEqual([], self.pause())

    def test_time_that_has_passed_counts(self):
        self.refuse(1)
        self.clock.time += 0.02
        self.assertEqual([0.01], self.pause())
        self.clock.time += 1
        self.assertEqual([], self.pause())

    def test_a_deadline_that_comes_before_its_end_ends_it(self):
        self.refuse(5)
        token = LIMIT.set(Deadline.after(0.1, self.clock))
        self.addCleanup(LIMIT.reset, token)
        self.assertRaises(DeadlineExceeded, self.pause)
        self.assertEqual([0.1], [round(each, 3) for each in self.clock.slept])


class TestTasks(testtools.TestCase):
    def test_they_share_the_failure(self):
        async def body():
            openers = Openers(_WAIT_S, SteeredClock(), in_tasks=True)
            openers.lost()
            error = OSError("refused")
            attempts = [Attempt() for _ in range(10)]
            tasks = [asyncio.create_task(greenlet_spawn(openers.enter, "pool", each)) for each in attempts]
            await turns(20)
            self.assertEqual(8, len(openers.waiting))
            openers.refused(error)
            openers.leave(attempts[0])
            openers.leave(attempts[1])
            found = await asyncio.gather(*tasks, return_exceptions=True)
            self.assertEqual([Turn.OPEN] * 2 + [error] * 8, found)

        asyncio.run(body())

    def test_a_cancelled_one_hands_its_turn_on(self):
        async def body(steps):
            openers = Openers(_WAIT_S, SteeredClock(), in_tasks=True)
            openers.refused(OSError("refused"))
            attempts = [Attempt() for _ in range(3)]
            openers.enter("pool", attempts[2])
            tasks = [asyncio.create_task(greenlet_spawn(openers.enter, "pool", each)) for each in attempts[:2]]
            await turns(20)
            openers.leave(attempts[2])
            await turns(steps)
            tasks[0].cancel()
            await asyncio.wait(tasks[:1])
            if not tasks[0].cancelled():
                openers.leave(attempts[0])
            async with asyncio.timeout(5):
                self.assertIs(Turn.OPEN, await tasks[1])

        for steps in range(6):
            asyncio.run(body(steps))
