"""Waiting in line: threads and asyncio tasks together, first come, first served."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any


class Place:
    """A place in a line, of a thread or, where there is a loop, of a task.

    :ivar tag: what the place is for.
    :ivar thread: the ident of the waiting thread, or of the one that runs the task.
    :ivar granted: the turn has come.
    :ivar passed: how often another was served first.
    """

    __slots__ = ("_loop", "_turn", "granted", "passed", "tag", "thread")

    def __init__(self, tag: Any, thread: int, loop: asyncio.AbstractEventLoop | None) -> None:
        self.tag = tag
        self.thread = thread
        self.granted = False
        self.passed = 0
        self._loop = loop
        self._turn: Any = threading.Event() if loop is None else loop.create_future()

    def grant(self) -> bool:
        """Wake whoever waits; return False if nobody can: the event loop was closed under its tasks."""
        if self._loop is None:
            self._turn.set()
        else:
            try:
                self._loop.call_soon_threadsafe(_wake, self._turn)
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
        try:
            async with asyncio.timeout(timeout_s):
                await self._turn
        except TimeoutError:
            return False
        return True


def _wake(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


class Line:
    """The places of those who wait for one thing. Its lock guards the thing's own state too."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.places: deque[Place] = deque()

    def wait(self, place: Place, timeout_s: float, pass_on: Callable[[], None]) -> bool:
        """Wait in a thread for one's turn; return whether it came in time.

        :param pass_on: gives the turn to the next one, when it came while an interrupt ended the wait.
        """
        try:
            came = place.wait(timeout_s)
        except BaseException:
            if self._leave(place):
                pass_on()
            raise
        return came or self._leave(place)

    async def wait_in_task(self, place: Place, timeout_s: float, pass_on: Callable[[], None]) -> bool:
        """Wait in a task; the same as :meth:`wait`."""
        try:
            came = await place.wait_in_task(timeout_s)
        except BaseException:
            if self._leave(place):
                pass_on()
            raise
        return came or self._leave(place)

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
