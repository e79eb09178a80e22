"""Waiting in line: threads and asyncio tasks together, first come, first served."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from dbkit.clock import SYSTEM_CLOCK, Clock
from dbkit.engines.bell import Bell


class Place(Bell):
    """A place in a line, of a thread or, where there is a loop, of a task.

    :ivar tag: what the place is for.
    :ivar thread: the ident of the waiting thread, or of the one that runs the task.
    :ivar granted: the turn has come.
    :ivar answer: what was said with it; an error is one for whoever waits.
    :ivar passed: how often another was served first.
    :ivar looks: who waits looks from time to time, instead of waiting for the turn alone.
    :ivar owner: who waits, as the holder of something else: the thread's ident or the task.
    :ivar since: when it was taken.
    """

    __slots__ = ("answer", "granted", "looks", "owner", "passed", "since", "tag", "thread")

    def __init__(self, tag: Any, thread: int, loop: asyncio.AbstractEventLoop | None) -> None:
        super().__init__(loop)
        self.tag = tag
        self.thread = thread
        self.granted = False
        self.answer: object = None
        self.passed = 0
        self.looks = False
        self.owner: Any = None
        self.since = 0.0

    def grant(self, answer: object = None) -> bool:
        """Wake whoever waits; return False if nobody can: the event loop was closed under its tasks."""
        self.answer = answer
        self.granted = True  # before the bell: who is woken looks at it
        if not self.ring():
            self.granted = False
        return self.granted

    def start_looking(self) -> None:
        """Let whoever waits look from time to time."""
        if not self.looks:
            self.looks = True
            self.ring()

    def stir(self) -> None:
        """Let whoever waits think again of how long to wait at a time."""
        self.ring()


Look = Callable[[Place], object]

_LOOK_AFTER_S = 0.02


def _never(place: Place) -> None:
    pass


class Line:
    """The places of those who wait for one thing. Its lock guards the thing's own state too.

    The first in line can be told to look for itself from time to time; when it leaves, the next one goes on with it.

    :param tick_s: how often whoever is first looks after the line itself; None: never.
    :param tick: what it calls then.
    """

    def __init__(
        self, clock: Clock = SYSTEM_CLOCK, tick_s: float | None = None, tick: Callable[[], object] | None = None
    ) -> None:
        # reentrant: the collection of garbage can give a connection back anywhere, here too
        self.lock = threading.RLock()
        self.places: deque[Place] = deque()
        self._now = clock.now
        self._tick_s = tick_s
        self._tick = tick

    def wait(self, place: Place, timeout_s: float, look: Look = _never) -> bool:
        """Wait in a thread for one's turn; return whether it came in time. An interrupt leaves the place in the line.

        :param look: called from time to time at a place that looks; it grants the place if it can.
        """
        for wait_s in self._waits(place, timeout_s, look):
            place.wait(wait_s)
        return self._leave(place)

    async def wait_in_task(self, place: Place, timeout_s: float, look: Look = _never) -> bool:
        """Wait in a task; the same as :meth:`wait`."""
        for wait_s in self._waits(place, timeout_s, look):
            await place.wait_in_task(wait_s)
        return self._leave(place)

    def abandon(self, place: Place, pass_on: Callable[[], None]) -> None:
        """Give up a place whose wait an error has ended, or has kept from beginning.

        :param pass_on: gives the turn to the next one, if it had come.
        """
        if self._leave(place):
            pass_on()

    def _waits(self, place: Place, timeout_s: float, look: Look) -> Iterator[float]:
        """Yield how long to wait at a time, until the turn has come or the time is up."""
        end = self._now() + timeout_s
        left = timeout_s
        while True:
            looks, ticks = place.looks, self._ticks(place)
            wait_s = min(left, _LOOK_AFTER_S) if looks else left
            yield wait_s if ticks is None else min(wait_s, ticks)
            if looks and not place.granted:
                look(place)
            if ticks is not None and self._tick is not None and not place.granted:
                self._tick()
            left = end - self._now()
            if place.granted or left <= 0:
                return

    def _ticks(self, place: Place) -> float | None:
        if self._tick_s is None:
            return None
        with self.lock:
            return self._tick_s if self.places and self.places[0] is place else None

    def remove(self, place: Place) -> None:
        """Take a place out of the line; with the lock."""
        was_first = self.places[0] is place
        self.places.remove(place)
        if not self.places:
            return
        if place.looks:
            self.places[0].start_looking()
        elif was_first and self._tick_s is not None:
            self.places[0].stir()

    def _leave(self, place: Place) -> bool:
        """Give the place up; return whether its turn had come in the meantime."""
        with self.lock:
            if not place.granted and place in self.places:
                self.remove(place)
            return place.granted

    def reset(self) -> None:
        """Forget everyone, in the child of a fork."""
        # reentrant: the collection of garbage can give a connection back anywhere, here too
        self.lock = threading.RLock()
        self.places.clear()
