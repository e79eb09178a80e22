"""Waiting in line: threads and asyncio tasks together, first come, first served."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any


class Place:
    """A place in a line, of a thread or, where there is a loop, of a task.

    :ivar tag: what the place is for.
    :ivar thread: the ident of the waiting thread, or of the one that runs the task.
    :ivar granted: the turn has come.
    :ivar passed: how often another was served first.
    """

    __slots__ = ("_turn", "granted", "loop", "passed", "tag", "thread")

    def __init__(self, tag: Any, thread: int, loop: asyncio.AbstractEventLoop | None) -> None:
        self.tag = tag
        self.thread = thread
        self.granted = False
        self.passed = 0
        self.loop = loop
        self._turn: Any = threading.Event() if loop is None else loop.create_future()

    def grant(self) -> bool:
        """Wake whoever waits; return False if nobody can: the event loop was closed under its tasks."""
        if self.loop is None:
            self._turn.set()
        else:
            try:
                self.loop.call_soon_threadsafe(_wake, self._turn)
            except RuntimeError:
                return False
        self.granted = True
        return True

    def wait(self, timeout_s: float) -> bool:
        """Block until the turn comes or the time is up; return whether it came."""
        came: bool = self._turn.wait(timeout_s)
        return came

    async def wait_in_task(self, timeout_s: float) -> bool:
        """Suspend the task until the turn comes or the time is up; return whether it came."""
        done, _ = await asyncio.wait([self._turn], timeout=timeout_s)
        return bool(done)


def _wake(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


Look = Callable[[Place], bool]

_LOOK_AFTER_S = 0.02


def _never(place: Place) -> bool:
    return False


def _slices(timeout_s: float, look: Look) -> Iterator[float]:
    """Yield the seconds to wait at a time; all at once if there is nothing to look at in between."""
    if look is _never:
        yield timeout_s
        return
    left = timeout_s
    while left > 0:
        yield min(_LOOK_AFTER_S, left)
        left -= _LOOK_AFTER_S


class Line:
    """The places of those who wait for one thing. Its lock guards the thing's own state too."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.places: deque[Place] = deque()

    def wait(self, place: Place, timeout_s: float, pass_on: Callable[[], None], look: Look = _never) -> bool:
        """Wait in a thread for one's turn; return whether it came in time.

        :param pass_on: gives the turn to the next one, when it came while an interrupt ended the wait.
        :param look: called from time to time; True ends the wait with success, the place being out of the line.
        """
        try:
            for slice_s in _slices(timeout_s, look):
                if place.wait(slice_s) or look(place):
                    return True
        except BaseException:
            if self._leave(place):
                pass_on()
            raise
        return look(place) or self._leave(place)

    async def wait_in_task(
        self, place: Place, timeout_s: float, pass_on: Callable[[], None], look: Look = _never
    ) -> bool:
        """Wait in a task; the same as :meth:`wait`."""
        try:
            for slice_s in _slices(timeout_s, look):
                if await place.wait_in_task(slice_s) or look(place):
                    return True
        except BaseException:
            if self._leave(place):
                pass_on()
            raise
        return look(place) or self._leave(place)

    def _leave(self, place: Place) -> bool:
        """Give the place up; return whether its turn had come in the meantime."""
        with self.lock:
            if not place.granted and place in self.places:
                self.places.remove(place)
            return place.granted

    def reset(self) -> None:
        """Forget everyone, in the child of a fork."""
        self.lock = threading.Lock()
        self.places.clear()
