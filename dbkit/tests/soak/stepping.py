"""A task that is cancelled when it stops for the n-th time, or when a task stops that it has made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any


class _Stepped(Coroutine[Any, Any, Any]):
    """A coroutine that tells each time it stops."""

    def __init__(self, coroutine: Any, stopped: Callable[[], None]) -> None:
        self._coroutine = coroutine
        self._stopped = stopped

    def send(self, value: Any) -> Any:
        waits_for = self._coroutine.send(value)
        self._stopped()
        return waits_for

    def throw(self, *error: Any) -> Any:
        waits_for = self._coroutine.throw(*error)
        self._stopped()
        return waits_for

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield from self._coroutine.__await__())


class Steps:
    """Counts the places at which a task and those that it has made have stopped, and cancels it at some of them.

    :param first: the place at which it is cancelled first, 1 for the first of all; None: nowhere.
    :param times: at how many places in a row.
    """

    def __init__(self, first: int | None, times: int = 1) -> None:
        self.count = 0
        self._first = first
        self._times = times
        self._subject: asyncio.Task[Any] | None = None

    @property
    def has_struck(self) -> bool:
        """Whether the task has been cancelled."""
        return self._first is not None and self.count >= self._first

    def _stopped(self) -> None:
        subject = self._subject
        if subject is None or subject.done():
            return
        self.count += 1
        if self._first is not None and self._first <= self.count < self._first + self._times:
            subject.cancel()

    async def run(self, body: Callable[[], Coroutine[Any, Any, Any]]) -> BaseException | None:
        """Run a coroutine function as the task, and return the error with which it ended."""
        loop = asyncio.get_running_loop()
        factory = loop.get_task_factory()

        def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
            return asyncio.Task(_Stepped(coroutine, self._stopped), loop=loop, **options)

        loop.set_task_factory(make)
        try:
            self._subject = loop.create_task(_kept(body))
            await asyncio.wait([self._subject])
        finally:
            loop.set_task_factory(factory)
        # the error itself: a task that was cancelled makes a new one for whoever asks it
        return None if self._subject.cancelled() else self._subject.result()


async def _kept(body: Callable[[], Coroutine[Any, Any, Any]]) -> BaseException | None:
    try:
        await body()
    except BaseException as error:
        return error
    return None
