"""Time, sleep and chance, in one place, so that a test can put its own in."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Protocol


class Clock(Protocol):
    """What dbkit asks of time and chance."""

    def now(self) -> float:
        """Return monotonic seconds."""

    def sleep(self, seconds: float) -> None:
        """Block the calling thread for that many seconds."""

    async def asleep(self, seconds: float) -> None:
        """Suspend the calling task for that many seconds."""

    def uniform(self, low: float, high: float) -> float:
        """Return a random number between the bounds."""


class SystemClock:
    """The real clock."""

    now = staticmethod(time.monotonic)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def uniform(self, low: float, high: float) -> float:
        return random.uniform(low, high)


SYSTEM_CLOCK = SystemClock()
