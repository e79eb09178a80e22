"""The thread that cuts off in time what others wait for."""

from __future__ import annotations

import gc
import os
import socket
import threading
import warnings
import weakref

import fixtures
import testtools

from dbkit.backends.cord import CallCord, SocketCord, socket_cord
from dbkit.engines.watchdog import WATCHDOG, Watchdog
from dbkit.tests.steering import SteeredClock, Worker

_LONG_S = 20.0


class TestWatchdogInVirtualTime(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.clock = SteeredClock()
        self.watchdog = Watchdog(self.clock, threaded=False)
        self.cut = []

    def arm(self, seconds, name="it"):
        return self.watchdog.arm(seconds, lambda: self.cut.append(name))

    def after(self, seconds):
        self.clock.time += seconds
        return self.watchdog.cut_due()

    def test_nothing_is_cut_before_its_time(self):
        guard = self.arm(2)
        self.assertEqual(1002.0, self.after(1.9))
        self.assertEqual(([], False), (self.cut, guard.fired))

    def test_what_is_due_is_cut_once(self):
        guard = self.arm(2)
        self.assertIsNone(self.after(2))
        self.after(5)
        self.assertEqual((["it"], True), (self.cut, guard.fired))
        self.assertTrue(guard.disarm())

    def test_the_soonest_comes_first_whoever_was_armed_first(self):
        self.arm(3, "late"), self.arm(1, "soon"), self.arm(2, "between")
        self.assertEqual(1002.0, self.after(1.5))
        self.after(2)
        self.assertEqual(["soon", "between", "late"], self.cut)

    def test_what_is_disarmed_is_never_cut(self):
        guard = self.arm(1)
        self.assertFalse(guard.disarm())
        self.after(2)
        self.assertFalse(guard.disarm())
        self.assertEqual(([], 0), (self.cut, self.watchdog.armed))

    def test_a_guard_that_is_tightened_fires_sooner_and_once(self):
        guard = self.arm(5)
        guard.tighten(1001.0)
        guard.tighten(1003.0)
        self.after(1)
        self.after(5)
        self.assertEqual(["it"], self.cut)

    def test_a_guard_that_is_moved_back_fires_later(self):
        guard = self.arm(1)
        guard.move(1005.0)
        self.assertEqual(1005.0, self.after(2))
        self.assertEqual([], self.cut)
        self.after(3)
        self.assertEqual(["it"], self.cut)

    def test_what_was_cut_cannot_be_moved(self):
        guard = self.arm(1)
        self.after(1)
        guard.move(1010.0)
        self.after(20)
        self.assertEqual(["it"], self.cut)

    def test_a_cut_that_fails_does_not_keep_the_others_from_theirs(self):
        def fail():
            raise OSError("no such socket")

        log = self.useFixture(fixtures.FakeLogger())
        self.watchdog.arm(1, fail)
        self.arm(2)
        self.after(2)
        self.assertEqual(["it"], self.cut)
        self.assertIn("no such socket", log.output)

    def test_what_was_disarmed_is_not_kept(self):
        class Thing:
            pass

        thing = Thing()
        gone = weakref.ref(thing)
        self.watchdog.arm(1000, lambda thing=thing: None).disarm()
        del thing
        gc.collect()
        self.assertIsNone(gone())

    def test_a_million_short_blocks_leave_a_small_heap(self):
        for _ in range(5000):
            self.arm(1000).disarm()
        self.assertLess(self.watchdog.kept, 200)


class TestWatchdogThread(testtools.TestCase):
    def test_where_no_thread_can_be_started_the_next_guard_tries_again(self):
        def refuse(thread):
            raise RuntimeError("can't start new thread")

        watchdog = Watchdog()
        with fixtures.MonkeyPatch("threading.Thread.start", refuse):
            self.assertRaises(RuntimeError, watchdog.arm, 0.0, lambda: None)
        self.assertEqual(0, watchdog.armed)
        done = threading.Event()
        watchdog.arm(0.0, done.set)
        self.assertTrue(done.wait(_LONG_S))

    def test_it_cuts_in_a_thread_of_its_own(self):
        watchdog = Watchdog()
        cut, where = threading.Event(), []

        def note():
            where.append(threading.current_thread())
            cut.set()

        later = watchdog.arm(_LONG_S * 1000, note)
        watchdog.arm(0.001, note)  # sooner than what the thread sleeps for
        self.assertTrue(cut.wait(_LONG_S))
        self.assertTrue(where[0].daemon)
        self.assertFalse(later.disarm())

    @testtools.skipUnless(hasattr(os, "fork"), "this system cannot fork")
    def test_a_child_of_a_fork_has_a_thread_of_its_own_and_none_of_the_parents_guards(self):
        guard = WATCHDOG.arm(_LONG_S * 1000, lambda: None)
        self.addCleanup(guard.disarm)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on, a fork beside threads warns
            child = os.fork()
        if child == 0:
            cut = threading.Event()
            is_empty = WATCHDOG.armed == 0 and not guard.disarm()
            WATCHDOG.arm(0.001, cut.set)
            os._exit(0 if is_empty and cut.wait(_LONG_S) else 1)
        self.assertEqual(0, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        self.assertEqual(1, WATCHDOG.armed)


class TestSocketCord(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.mine, self.peer = socket.socketpair()
        self.addCleanup(self.mine.close)
        self.addCleanup(self.peer.close)

    def test_a_blocked_read_returns_when_it_is_cut(self):
        cord = SocketCord(self.mine.fileno())
        reader = Worker(lambda: self.mine.recv(1))
        cord.cut()
        cord.let_go()
        self.assertEqual(b"", reader.outcome())

    def test_letting_go_leaves_the_connection_as_it_is(self):
        SocketCord(self.mine.fileno()).let_go()
        self.peer.send(b"x")
        self.assertEqual(b"x", self.mine.recv(1))

    def test_a_number_that_was_given_to_another_file_is_left_alone(self):
        cord = SocketCord(self.mine.fileno())
        number = self.mine.fileno()
        self.mine.close()
        one, other = socket.socketpair()
        self.addCleanup(other.close)
        if one.fileno() != number:
            os.dup2(one.fileno(), number)
            self.addCleanup(os.close, number)
        self.addCleanup(one.close)
        cord.cut()
        cord.let_go()
        other.send(b"x")
        self.assertEqual(b"x", one.recv(1))

    def test_cutting_twice_or_too_late_does_nothing(self):
        cord = SocketCord(self.mine.fileno())
        cord.cut(), cord.cut()
        cord.let_go(), cord.let_go()
        cord.cut()

    def test_a_closed_connection_has_no_cord(self):
        self.assertIsNone(socket_cord(-1))
        self.assertIsNone(socket_cord(None))
        number = self.mine.fileno()
        self.mine.close()
        self.assertIsNone(socket_cord(number))


class TestCallCord(testtools.TestCase):
    def test_it_calls_until_it_is_let_go(self):
        called = []
        cord = CallCord(lambda: called.append(1))
        cord.cut()
        cord.let_go()
        cord.cut()
        self.assertEqual([1], called)
