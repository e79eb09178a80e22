"""One body for both colours: blocking blocks and handles as a coroutine function uses them.

In the blocking colour nothing is ever waited for, so a body runs to its end at the first ``send``, without an event
loop. In asyncio it meets dbkit's own blocks and SQLAlchemy's asyncio handles.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

from dbkit.exceptions import UsageError

T = TypeVar("T")

# What the suite's bodies await of a session or connection.
_AWAITED = frozenset({"exec_driver_sql", "execute", "flush", "invalidate", "scalar"})


class AwaitedHandle:
    """A blocking session or connection with the coroutine methods of its asyncio twin."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        return _as_coroutine(value) if name in _AWAITED else value

    async def run_sync(self, function: Callable[..., T], *args: Any) -> T:
        """Call the function with the blocking handle."""
        return function(self._target, *args)


def _as_coroutine(function: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return call


class AwaitedBlock:
    """A block for ``with``, as ``async with`` enters it."""

    def __init__(self, block: Any) -> None:
        self._block = block

    async def __aenter__(self) -> AwaitedHandle:
        return AwaitedHandle(self._block.__enter__())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        return self._block.__exit__(kind, error, trace)


class BlockingColour:
    """Bodies run in the calling thread."""

    def run(self, body: Coroutine[Any, Any, T]) -> T:
        """Run a body to its end."""
        return contextvars.copy_context().run(_run_now, body)

    def close(self) -> None:
        """Nothing is held."""

    def block(self, block: Any) -> Any:
        """Return what ``async with`` enters."""
        return AwaitedBlock(block)

    def function(self, body: Callable[..., Any]) -> Callable[..., Any]:
        """Return a body as a function that dbkit decorates."""

        def plain(*args: Any) -> Any:
            return _run_now(body(*args))

        return plain

    async def called(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function of this colour."""
        return function(*args)

    async def at_driver(self, work: Callable[[], T]) -> T:
        """Run blocking code that uses DBAPI connections of this colour."""
        return work()


class AsyncioColour:
    """Bodies run as tasks of one event loop, to which the connections belong."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()

    def run(self, body: Coroutine[Any, Any, T]) -> T:
        """Run a body to its end."""
        return self._runner.run(body, context=contextvars.copy_context())

    def close(self) -> None:
        """Close the loop."""
        self._runner.close()

    def block(self, block: Any) -> Any:
        """Return what ``async with`` enters."""
        return block

    def function(self, body: Callable[..., Any]) -> Callable[..., Any]:
        """Return a body as a function that dbkit decorates."""
        return body

    async def called(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function of this colour."""
        return await function(*args)

    async def at_driver(self, work: Callable[[], T]) -> T:
        """Run blocking code that uses DBAPI connections of this colour."""
        from sqlalchemy.util import greenlet_spawn  # needs greenlet

        done: T = await greenlet_spawn(work)
        return done


def _run_now(coroutine: Coroutine[Any, Any, T]) -> T:
    try:
        coroutine.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    coroutine.close()
    raise UsageError("a body in the blocking colour has waited for something of asyncio")
