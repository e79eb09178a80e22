"""Time, sleep and chance, in one place, so that a test can put its own in."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
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


def _system_date() -> datetime:
    return datetime.now(UTC)


_DATE: ContextVar[Callable[[], datetime]] = ContextVar("dbkit.date", default=_system_date)


def utc_now() -> datetime:
    """Return the date and time in UTC, aware of its zone, to the microsecond."""
    return _DATE.get()()


def naive_utc_now() -> datetime:
    """Return the date and time in UTC, without a zone, as oslo.db stores them."""
    return _DATE.get()().replace(tzinfo=None)


@contextlib.contextmanager
def dated(date: Callable[[], datetime]) -> Iterator[None]:
    """Let the code inside, its tasks included, read the date from a function, which returns it with a zone."""
    token = _DATE.set(lambda: date().astimezone(UTC))
    try:
        yield
    finally:
        _DATE.reset(token)
