"""The line before the pools: who is served, in which order, and what a caller that gives up leaves behind."""

from __future__ import annotations

import asyncio
import itertools
from threading import get_ident
from unittest import mock

import testtools
from sqlalchemy.util import greenlet_spawn

from dbkit.engines.capacity import Capacity
from dbkit.engines.line import Line, Place
from dbkit.exceptions import PoolTimeout
from dbkit.testing.servers.polling import wait_until
from dbkit.tests.steering import Worker, at_once, interrupt, until

_WAIT_S = 20.0


class Role:
    """A pool as far as the line looks: how many connections it has, and how many of them are idle."""

    def __init__(self, capacity):
        self.held = 0
        self.idle = 0
        self.capacity = capacity
        capacity.attach(self)

    def checkedin(self):
        return self.idle

    def idle_since(self):
        return 0.0 if self.idle else float("inf")

    def evict(self):
        if not self.idle:
            return False
        self.idle -= 1
        self.capacity.disclaim(self)
        return True

    def suspect(self):
        pass

    doubt_role = condemn = suspect

    def holdings(self):
        return []

    def take(self):
        """Use a connection; return whether it had to be opened."""
        self.capacity.acquire(self)
        if self.idle:
            self.idle -= 1
            return False
        self.capacity.count(self)
        self.capacity.make_room(self)
        return True

    def give_back(self):
        self.idle += 1
        self.capacity.release(self)


class TestThreads(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.capacity = Capacity(1, 0, _WAIT_S)
        self.role = Role(self.capacity)
        self.served = []

    def visit(self, name, role=None):
        role = role or self.role
        role.take()
        self.served.append(name)
        role.give_back()

    def queue(self, *names, role=None):
        """Let threads come one after the other; return them when all of them stand in the line."""
        workers = []
        for name in names:
            before = self.capacity.waiting
            workers.append(Worker(self.visit, name, role))
            wait_until(lambda before=before: self.capacity.waiting == before + 1, _WAIT_S, f"{name} in the line")
        return workers

    def ended(self, workers):
        for worker in workers:
            worker.outcome()
        return self.served

    def test_first_come_is_first_served(self):
        self.role.take()
        workers = self.queue(*range(8))
        self.role.give_back()
        self.assertEqual(list(range(8)), self.ended(workers))

    def test_who_gives_back_and_takes_again_does_not_pass_the_line(self):
        self.role.take()
        workers = self.queue("first", "second")
        self.role.give_back()
        self.visit("the one that came again")
        self.assertEqual(["first", "second", "the one that came again"], self.ended(workers))

    def test_who_waits_in_vain_leaves_the_line(self):
        self.capacity.timeout_s = 0.0
        self.role.take()
        self.assertRaises(PoolTimeout, Worker(self.visit, "late").outcome)
        self.assertEqual(0, self.capacity.waiting)
        self.role.give_back()
        self.visit("after")
        self.assertEqual(["after"], self.served)

    def test_one_that_is_interrupted_when_its_turn_comes_hands_it_on(self):
        self.role.take()
        workers = self.queue("interrupted", "next")
        interrupt(workers[0], KeyboardInterrupt)
        self.role.give_back()
        self.assertRaises(KeyboardInterrupt, workers.pop(0).outcome)
        self.assertEqual(["next"], self.ended(workers))

    def test_one_that_is_interrupted_before_it_waits_leaves_the_line(self):
        self.role.take()
        with mock.patch.object(Line, "wait", side_effect=KeyboardInterrupt):
            self.assertRaises(KeyboardInterrupt, Worker(self.visit, "interrupted").outcome)
        self.assertEqual(0, self.capacity.waiting)

    def test_and_hands_its_turn_on_if_that_has_come(self):
        def granted(*arguments):
            self.role.give_back()
            raise KeyboardInterrupt

        self.role.take()
        with mock.patch.object(Line, "wait", granted):
            self.assertRaises(KeyboardInterrupt, Worker(self.visit, "interrupted").outcome)
        self.visit("next")
        self.assertEqual(["next"], self.served)

    def test_threads_that_come_at_once_are_all_served(self):
        at_once(8, lambda number: [self.visit(number) for _ in range(200)] and None)
        self.assertEqual(1600, len(self.served))
        self.assertEqual((1, 1), (self.role.held, self.capacity.held))

    def test_a_fork_forgets_the_line(self):
        self.role.take()
        self.capacity.reset()
        self.visit("in the child")
        self.assertEqual(["in the child"], self.served)


class TestRoles(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.capacity = Capacity(2, 0, _WAIT_S)
        self.readers, self.writers = Role(self.capacity), Role(self.capacity)

    def test_an_idle_connection_of_the_other_role_serves_who_will_not_wait(self):
        self.capacity.timeout_s = 0.0
        for _ in range(2):
            self.readers.take()
        for _ in range(2):
            self.readers.give_back()
        opened = [self.writers.take(), self.writers.take()]
        self.assertEqual(([True, True], 2, 0), (opened, self.writers.held, self.readers.held))

    def test_the_other_role_is_never_kept_waiting_for_ever(self):
        self.readers.take()
        worker = Worker(lambda: [self.writers.take(), self.writers.take()])
        wait_until(lambda: self.capacity.waiting == 1, _WAIT_S, "the writer in the line")
        for _ in range(50):
            self.readers.give_back()
            if not self.capacity.waiting:
                break
            self.readers.take()
        worker.outcome()
        self.assertEqual(2, self.writers.held)

    def test_roles_that_take_turns_do_not_open_a_connection_for_each_block(self):
        def work(number):
            role = (self.readers, self.writers)[number % 2]
            opened = 0
            for _ in range(200):
                opened += role.take()
                role.give_back()
            return opened

        self.assertLess(sum(at_once(8, work)), 400)
        self.assertLessEqual(self.capacity.held, 2)

    def test_what_comes_back_to_a_role_that_nobody_asks_for_serves_who_waits(self):
        self.readers.take()
        self.writers.take()
        worker = Worker(self.readers.take)
        wait_until(lambda: self.capacity.waiting == 1, _WAIT_S, "the second reader in the line")
        self.writers.give_back()
        self.assertTrue(worker.outcome())
        self.assertEqual((2, 0), (self.readers.held, self.writers.held))

    def test_all_who_wait_share_what_lies_idle(self):
        self.capacity = Capacity(6, 0, _WAIT_S)
        self.readers, self.writers = Role(self.capacity), Role(self.capacity)
        for _ in range(5):
            self.writers.take()
        self.readers.take()
        for _ in range(5):
            self.writers.give_back()
        self.assertEqual([True] * 5, at_once(5, lambda number: self.readers.take()))
        self.assertEqual((6, 0), (self.readers.held, self.writers.held))


class Hurrying:
    """A clock on which a second passes whenever somebody looks at it."""

    def __init__(self):
        self.now = itertools.count().__next__


class TestLooking(testtools.TestCase):
    """Only the first in line looks by itself whether it can go in; the others sleep until they are called."""

    def setUp(self):
        super().setUp()
        self.line = Line()
        self.looked = []
        self.serving = False

    def look(self, place):
        self.looked.append(place.tag)
        if self.serving:
            with self.line.lock:
                self.line.remove(place)
                place.grant()

    def place(self, name, loop=None):
        place = Place(name, get_ident(), loop)
        self.line.places.append(place)
        return place

    def wait(self, place, timeout_s=_WAIT_S):
        return self.line.wait(place, timeout_s, self.look)

    async def wait_in_task(self, place, timeout_s=_WAIT_S):
        return await self.line.wait_in_task(place, timeout_s, self.look)

    def looks(self, name, count=1):
        wait_until(lambda: self.looked.count(name) >= count, _WAIT_S, f"a look of {name}")

    def test_who_stands_behind_the_first_does_not_look(self):
        first, second = self.place("first"), self.place("second")
        first.looks = True
        workers = [Worker(self.wait, each) for each in (first, second)]
        self.looks("first", 3)
        self.assertEqual({"first"}, set(self.looked))
        self.serving = True
        self.assertEqual([True, True], [worker.outcome() for worker in workers])
        self.assertEqual("second", self.looked[-1])

    def test_the_next_one_goes_on_when_the_first_gives_up(self):
        first, second = self.place("first"), self.place("second")
        first.looks = True
        worker = Worker(self.wait, second)
        self.assertFalse(self.wait(first, 0.0))
        self.looks("second")
        self.serving = True
        self.assertTrue(worker.outcome())

    def test_nobody_looks_as_long_as_nobody_is_told_to(self):
        worker = Worker(self.wait, self.place("first"), 0.1)
        self.assertFalse(worker.outcome())
        self.assertEqual([], self.looked)

    def test_the_clock_counts_the_time_however_long_a_look_takes(self):
        self.line = Line(Hurrying())
        place = self.place("first")
        place.looks = True
        self.assertFalse(self.wait(place, 5))
        self.assertEqual(["first"] * 5, self.looked)

    def test_who_has_no_time_looks_once(self):
        for serving in (False, True):
            self.serving = serving
            place = self.place(serving)
            place.looks = True
            self.assertEqual(serving, self.wait(place, 0.0))
        self.assertEqual([False, True], self.looked)

    def test_being_told_to_look_does_not_lengthen_the_wait(self):
        self.line = Line(Hurrying())
        place = self.place("first")
        place.start_looking()
        self.assertFalse(self.wait(place, 3))
        self.assertLessEqual(len(self.looked), 3)

    def test_tasks_do_the_same(self):
        async def body():
            loop = asyncio.get_running_loop()
            first, second, third = (self.place(name, loop) for name in ("first", "second", "third"))
            first.looks = True
            given_up = asyncio.create_task(self.wait_in_task(first, 0.0))
            others = [asyncio.create_task(self.wait_in_task(each)) for each in (second, third)]
            self.assertFalse(await given_up)
            async with asyncio.timeout(_WAIT_S):
                await until(lambda: self.looked.count("second") >= 2)
                self.assertEqual({"first", "second"}, set(self.looked))
                self.serving = True
                self.assertEqual([True, True], await asyncio.gather(*others))
            self.assertEqual("third", self.looked[-1])

        asyncio.run(body())

    def test_the_clock_counts_for_tasks_too(self):
        self.line = Line(Hurrying())

        async def body():
            place = self.place("first", asyncio.get_running_loop())
            place.looks = True
            return await self.wait_in_task(place, 5)

        self.assertFalse(asyncio.run(body()))
        self.assertEqual(["first"] * 5, self.looked)


class TestTasks(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.served = []

    async def visit(self, role, name, stay=None):
        await greenlet_spawn(role.take)
        self.served.append(name)
        if stay is not None:
            await stay.wait()
        role.give_back()

    async def line(self, role, count):
        """Take the only place; return the event that frees it, and the tasks in the line in their order."""
        stay = asyncio.Event()
        holder = asyncio.create_task(self.visit(role, "holder", stay))
        await _settle()
        tasks = [asyncio.create_task(self.visit(role, number)) for number in range(count)]
        await _settle()
        self.served.clear()
        return stay, [holder, *tasks]

    def role(self, timeout_s=_WAIT_S):
        return Role(Capacity(1, 0, timeout_s, in_tasks=True))

    def test_they_are_served_in_their_order(self):
        async def body():
            stay, tasks = await self.line(self.role(), 10)
            stay.set()
            await asyncio.gather(*tasks)

        asyncio.run(body())
        self.assertEqual(list(range(10)), self.served)

    def test_a_cancellation_at_any_step_loses_no_place_and_is_a_cancellation(self):
        async def body(victim, steps, before):
            role = self.role()
            stay, tasks = await self.line(role, 3)
            if before:
                tasks[victim].cancel()
            stay.set()
            await _settle(steps)
            tasks[victim].cancel()
            await asyncio.wait(tasks)
            self.assertEqual([], [task for task in tasks if not task.cancelled() and task.exception()])
            async with asyncio.timeout(5):
                await self.visit(role, "after")

        for victim in (1, 2, 3):
            for steps in range(10):
                for before in (True, False):
                    asyncio.run(body(victim, steps, before))

    def test_who_waits_in_vain_gets_a_pool_timeout_and_leaves_the_line(self):
        async def body():
            role = self.role(0.0)
            stay, tasks = await self.line(role, 1)
            await asyncio.wait([tasks[1]])
            self.assertIsInstance(tasks[1].exception(), PoolTimeout)
            stay.set()
            await tasks[0]
            await self.visit(role, "after")

        asyncio.run(body())
        self.assertEqual(["after"], self.served)


async def _settle(steps=20):
    for _ in range(steps):
        await asyncio.sleep(0)
