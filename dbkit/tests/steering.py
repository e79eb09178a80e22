"""Time and threads that a test steers."""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

_PATIENCE_S = 30.0


class SteeredClock:
    """A clock that stands still until it is told to go on, or until somebody sleeps by it.

    :param on_sleep: called at each sleep with the number of the sleep, 1 for the first.
    """

    def __init__(self, on_sleep: Callable[[int], object] = lambda number: None) -> None:
        self.time = 1000.0
        self.slept: list[float] = []
        self._on_sleep = on_sleep

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        self._on_sleep(len(self.slept))

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2


async def turns(count: int = 1, task: asyncio.Task[Any] | None = None) -> None:
    """Let the loop go round so often; no time passes by itself. Where a task is given, no longer than it runs."""
    for _ in range(count):
        if task is not None and task.done():
            return
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Let the other tasks run until the condition is true; the test's own bound ends a wait that is in vain."""
    while not condition():  # noqa: ASYNC110 - what is awaited is the library's state, which sets no event
        await asyncio.sleep(0)


async def with_patience(
    attempt: Callable[[float], Awaitable[Any]],
    bounds_s: Iterable[float],
    clear_up: Callable[[], Awaitable[object]] | None = None,
) -> Any:
    """Return what an attempt returns. A machine too busy to come to the point of a test in time is given more.

    :param attempt: takes the seconds that it has; returns None if it did not come to its point.
    :param bounds_s: what the attempts have, one after the other.
    :param clear_up: follows each attempt that returned None.
    """
    for seconds in bounds_s:
        found = await attempt(seconds)
        if found is not None:
            return found
        if clear_up is not None:
            await clear_up()
    raise AssertionError(f"the point was not reached within any of {bounds_s} s")


class Worker(threading.Thread):
    """A thread that keeps what its work returned or raised."""

    def __init__(self, work: Callable[..., Any], *args: Any) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._arguments = args
        self._value: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._value = self._work(*self._arguments)
        except BaseException as error:  # told by outcome()
            self._error = error

    def outcome(self) -> Any:
        """Wait for the end and return what the work returned, or raise what it raised."""
        self.join(_PATIENCE_S)
        if self.is_alive():
            raise AssertionError("a thread of the test has not ended")
        if self._error is not None:
            raise self._error
        return self._value


def interrupt(thread: threading.Thread, error: type[BaseException]) -> None:
    """Raise an error in another thread, as soon as it runs Python code again."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(error))


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Run the work in that many threads, which begin together; return what each returned."""
    start = threading.Barrier(count)

    def begin(number: int) -> Any:
        start.wait(_PATIENCE_S)
        return work(number)

    workers = [Worker(begin, number) for number in range(count)]
    return [worker.outcome() for worker in workers]
