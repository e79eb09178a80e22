"""The real clock: what it promises of time and chance, without a test that waits."""

from __future__ import annotations

import asyncio
import inspect

import testtools

from dbkit.clock import SYSTEM_CLOCK, Clock, SystemClock
from dbkit.tests.steering import SteeredClock


class TestSystemClock(testtools.TestCase):
    def test_time_never_goes_back(self):
        times = [SYSTEM_CLOCK.now() for _ in range(1000)]
        self.assertEqual(sorted(times), times)

    def test_chance_keeps_within_its_bounds(self):
        drawn = [SYSTEM_CLOCK.uniform(2.0, 3.0) for _ in range(1000)]
        self.assertTrue(all(2.0 <= each <= 3.0 for each in drawn))
        self.assertGreater(len(set(drawn)), 900)

    def test_a_sleep_of_nothing_returns(self):
        before = SYSTEM_CLOCK.now()
        SYSTEM_CLOCK.sleep(0)
        self.assertGreaterEqual(SYSTEM_CLOCK.now(), before)

    def test_a_sleeping_task_lets_the_others_run(self):
        order = []

        async def sleeper():
            order.append("goes to sleep")
            await SYSTEM_CLOCK.asleep(0)
            order.append("wakes up")

        async def other():
            order.append("runs meanwhile")

        async def both():
            await asyncio.gather(sleeper(), other())

        asyncio.run(both())
        self.assertEqual(["goes to sleep", "runs meanwhile", "wakes up"], order)


class TestClockOfTheTests(testtools.TestCase):
    def test_it_has_all_that_a_clock_has(self):
        wanted = [name for name, _ in inspect.getmembers(Clock, inspect.isfunction) if not name.startswith("_")]
        self.assertEqual(["asleep", "now", "sleep", "uniform"], wanted)
        for name in wanted:
            for clock in (SystemClock(), SteeredClock()):
                self.assertTrue(callable(getattr(clock, name)), f"{name} of {type(clock).__name__}")

    def test_its_sleep_moves_the_time_and_waits_for_nothing(self):
        seen = []
        clock = SteeredClock(on_sleep=seen.append)
        clock.sleep(3600)
        asyncio.run(clock.asleep(60))
        self.assertEqual(1000.0 + 3660, clock.now())
        self.assertEqual(([3600, 60], [1, 2]), (clock.slept, seen))
