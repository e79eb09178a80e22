"""What wakes one who waits, a thread or an asyncio task; any thread may ring it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any


class Bell:
    """The bell of one who waits: a thread or, where there is a loop, a task of it."""

    __slots__ = ("_bell", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.loop = loop
        self._bell: Any = threading.Event() if loop is None else loop.create_future()

    def ring(self) -> bool:
        """Wake whoever waits; return False if nobody can: the event loop was closed under its tasks."""
        if self.loop is None:
            self._bell.set()
            return True
        try:
            self.loop.call_soon_threadsafe(self._ring_in_loop)
        except RuntimeError:
            return False
        return True

    def _ring_in_loop(self) -> None:
        if not self._bell.done():
            self._bell.set_result(None)

    def wait(self, timeout_s: float | None) -> bool:
        """Block until the bell has rung, or the time is up; return whether it has rung, and make it ready again."""
        rung: bool = self._bell.wait(timeout_s)
        self._bell.clear()
        return rung

    async def wait_in_task(self, timeout_s: float | None) -> bool:
        """Suspend the task until the bell has rung, or the time is up; return whether it has rung."""
        assert self.loop is not None
        await asyncio.wait([self._bell], timeout=timeout_s)
        rung: bool = self._bell.done()
        if rung:
            self._bell = self.loop.create_future()
        return rung
