"""The line before a database when the event loop of its holder was closed: nobody waits for a task that is gone."""

from __future__ import annotations

import asyncio
import queue
import threading
from threading import get_ident

import testtools
from sqlalchemy.util import greenlet_spawn

from dbkit.engines.gate import Gate
from dbkit.exceptions import DBLockTimeout, ModeConflict
from dbkit.testing.servers.polling import wait_until
from dbkit.tests.steering import Worker

_LONG_S = 20.0


def _takes(gate):
    gate.acquire(get_ident())
    gate.release(get_ident())


class TestHoldersWhoseLoopWasClosed(testtools.TestCase):
    """A test runner, or an application that is shut down in haste, closes a loop under its tasks."""

    def setUp(self):
        super().setUp()
        self.gate = Gate("the SQLite database 'app.db'", 0.0)

    def hold_elsewhere(self):
        """Hold the gate in a loop of another thread, which lives as long as the test: idents are used again."""
        held = queue.SimpleQueue()
        end = threading.Event()
        self.addCleanup(end.set)
        Worker(lambda: held.put(self.hold()) or end.wait(_LONG_S))
        return held.get(timeout=_LONG_S)

    def hold(self):
        """Return the loop and the task that holds the gate, for ever."""

        async def enter():
            await greenlet_spawn(self.gate.acquire_in_task, asyncio.current_task(), get_ident())
            held.set_result(None)
            await asyncio.Event().wait()

        loop = asyncio.new_event_loop()
        held = loop.create_future()
        task = loop.create_task(enter())
        loop.run_until_complete(held)
        self.addCleanup(loop.close)
        self.addCleanup(setattr, task, "_log_destroy_pending", False)
        return loop, task

    def take_in_task(self):
        async def take():
            task = asyncio.current_task()
            await greenlet_spawn(self.gate.acquire_in_task, task, get_ident())
            self.gate.release(task)

        asyncio.run(take())

    def test_a_thread_takes_the_gate_over(self):
        loop, _ = self.hold_elsewhere()
        self.assertRaises(DBLockTimeout, _takes, self.gate)
        loop.close()
        _takes(self.gate)

    def test_a_task_of_another_loop_takes_the_gate_over(self):
        loop, _ = self.hold_elsewhere()
        self.assertRaises(DBLockTimeout, self.take_in_task)
        loop.close()
        self.take_in_task()

    def test_in_the_same_thread_too(self):
        loop, _ = self.hold()
        self.assertRaises(ModeConflict, _takes, self.gate)
        loop.close()
        _takes(self.gate)

    def test_one_who_comes_later_lets_those_in_the_line_in(self):
        self.gate = Gate("the SQLite database 'app.db'", _LONG_S)
        loop, _ = self.hold_elsewhere()
        waiting = Worker(_takes, self.gate)
        wait_until(lambda: self.gate.waiting == 1, _LONG_S, "the thread in the line")
        loop.close()
        _takes(self.gate)
        waiting.outcome()

    def test_what_the_dead_holder_still_does_takes_the_gate_from_nobody(self):
        loop, task = self.hold_elsewhere()
        loop.close()
        self.gate.acquire(get_ident())
        self.gate.release(task)
        self.assertRaises(DBLockTimeout, Worker(_takes, self.gate).outcome)
        self.gate.release(get_ident())
