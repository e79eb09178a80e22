"""One thread that cuts off in time what others wait for.

A blocking driver waits for its server without a bound that could be set while it waits. The watchdog's thread shuts the
connection's socket instead, and the waiting call returns with the error of a lost connection. The same serves asyncio:
the event loop sees that the socket has ended and wakes the task.
"""

from __future__ import annotations

import heapq
import logging
import os
import threading
from collections.abc import Callable
from itertools import count

from dbkit.clock import SYSTEM_CLOCK, Clock

LOG = logging.getLogger(__name__)

Cut = Callable[[], object]
"""What ends a wait, called in the watchdog's thread: it is quick, and safe in any thread."""

_MANY = 64
"""Guards that may lie about in the heap after they were disarmed, beside as many as are armed."""


class Guard:
    """A cut that is to come at a point in time, unless it is disarmed.

    :ivar at: when, in the seconds of the watchdog's clock.
    :ivar fired: the cut was made; what it has cut is lost.
    """

    __slots__ = ("_cut", "_watchdog", "at", "fired")

    def __init__(self, watchdog: Watchdog, at: float, cut: Cut) -> None:
        self._watchdog = watchdog
        self._cut: Cut | None = cut
        self.at = at
        self.fired = False

    def disarm(self) -> bool:
        """Call the cut off; return whether it has been made. After that it is not made any more."""
        if self._cut is not None:
            self._watchdog.take_back(self)
        return self.fired

    def move(self, at: float) -> None:
        """Let the cut come at another time; nothing happens if it has been made or called off."""
        if self._cut is not None:
            self._watchdog.reset(self, at)

    def tighten(self, at: float) -> None:
        """Let the cut come at that time, if that is sooner."""
        if at < self.at:
            self.move(at)

    @property
    def is_armed(self) -> bool:
        """Whether the cut is still to come."""
        return self._cut is not None

    def release(self) -> Cut | None:
        """Give the cut up and return it, for the watchdog, which holds its lock."""
        cut, self._cut = self._cut, None
        return cut


class Watchdog:
    """The guards of a process, and the thread that makes their cuts; it is started with the first one.

    :param threaded: False leaves :meth:`cut_due` to the caller, for tests in virtual time.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK, *, threaded: bool = True) -> None:
        self._now = clock.now
        self._threaded = threaded
        self._numbers = count()
        self._forget()

    def _forget(self) -> None:
        # reentrant: the collection of garbage can run a connection's end anywhere, here too
        self._lock = threading.RLock()
        self._wake = threading.Condition(self._lock)
        self._heap: list[tuple[float, int, Guard]] = []
        self._armed = 0
        self._thread: threading.Thread | None = None
        self._sleeps_until = float("-inf")

    def arm(self, seconds: float, cut: Cut) -> Guard:
        """Make the cut after that many seconds.

        :param cut: called once, in the watchdog's thread, unless the guard is disarmed before.
        """
        return self.arm_at(self._now() + seconds, cut)

    def arm_at(self, at: float, cut: Cut) -> Guard:
        """Make the cut at that time of the clock; the same as :meth:`arm`."""
        guard = Guard(self, at, cut)
        with self._lock:
            self._armed += 1
            try:
                self._enter(guard)
            except BaseException:
                self.take_back(guard)
                raise
        return guard

    def reset(self, guard: Guard, at: float) -> None:
        """Move a guard's cut; use :meth:`Guard.move`."""
        with self._lock:
            if guard.is_armed:
                guard.at = at
                self._enter(guard)  # the entry that it leaves behind shows another time, by which it is known as old

    def take_back(self, guard: Guard) -> None:
        """Forget a guard; use :meth:`Guard.disarm`."""
        with self._lock:  # a cut is made with the lock: when it is ours, none is on its way
            if guard.release() is None:
                return
            self._armed -= 1
            if len(self._heap) > 2 * self._armed + _MANY:
                self._heap = [entry for entry in self._heap if _is_valid(entry)]
                heapq.heapify(self._heap)

    @property
    def armed(self) -> int:
        """How many cuts are to come."""
        return self._armed

    @property
    def kept(self) -> int:
        """How many entries the heap holds, those of disarmed guards included."""
        return len(self._heap)

    def standing_still(self) -> threading.RLock:
        """Return what, as a ``with`` block, lets no cut be made meanwhile; keep it short."""
        return self._lock

    def cut_due(self) -> float | None:
        """Make the cuts whose time has come; return when the next one is due, or None."""
        with self._lock:
            while self._heap:
                at, _, guard = self._heap[0]
                if _is_valid(self._heap[0]):
                    if at > self._now():
                        return at
                    self._fire(guard)
                heapq.heappop(self._heap)
            return None

    def _fire(self, guard: Guard) -> None:
        cut = guard.release()
        assert cut is not None
        guard.fired = True
        self._armed -= 1
        try:
            cut()
        except Exception as error:  # the others' cuts must come all the same
            LOG.warning("a connection could not be cut off: %s", error)

    def _enter(self, guard: Guard) -> None:
        heapq.heappush(self._heap, (guard.at, next(self._numbers), guard))
        if not self._threaded:
            return
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="dbkit-watchdog", daemon=True)
            thread.start()
            self._thread = thread  # only now: where no thread can be started, the next guard tries again
        elif guard.at < self._sleeps_until:
            self._wake.notify()

    def _run(self) -> None:
        with self._lock:
            while True:
                self._sleeps_until = float("-inf")
                at = self.cut_due()
                self._sleeps_until = float("inf") if at is None else at
                # woken too early it looks again; guards that were disarmed meanwhile cost one look in all
                self._wake.wait(None if at is None else max(0.0, at - self._now()))

    def in_child(self) -> None:
        """Forget everyone, in the child of a fork, which has neither the thread nor the parent's connections."""
        self._forget()


def _is_valid(entry: tuple[float, int, Guard]) -> bool:
    at, _, guard = entry
    return guard.is_armed and guard.at == at


WATCHDOG = Watchdog()
"""The watchdog of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=WATCHDOG.in_child)
