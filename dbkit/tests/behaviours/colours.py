"""One body, both colours: what lets an ``async def`` drive blocking code.

Blocking calls are made awaitable. They never suspend, so a body that awaits nothing else is run to its end by a single
``send(None)``, in the caller's thread and with no event loop. In asyncio the same body meets SQLAlchemy's own
AsyncSession and AsyncConnection.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

# Of a Session's and a Connection's methods, those that AsyncSession and AsyncConnection make coroutines of.
_AWAITED = frozenset(
    {
        "close", "commit", "connection", "delete", "exec_driver_sql", "execute", "flush", "get", "get_one",
        "invalidate", "merge", "refresh", "reset", "rollback", "scalar", "scalars", "start",
    }
)  # fmt: skip

# And those that return a transaction.
_GIVE_HANDLES = frozenset({"get_transaction", "get_nested_transaction"})


def run_now(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never suspends to its end, and return its value."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise AssertionError("a body run in the blocking colour has awaited something of asyncio")


class Waitless:
    """A blocking session, connection or transaction with the methods of its asyncio twin."""

    def __init__(self, target: Any) -> None:
        object.__setattr__(self, "target", target)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.target, name)
        if name in _AWAITED and callable(value):
            return _awaited(value)
        return _wrapping(value) if name in _GIVE_HANDLES else value

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.target, name, value)

    def __contains__(self, item: Any) -> bool:
        return item in self.target

    async def __aenter__(self) -> Any:
        return wrapped(self.target.__enter__())

    async def __aexit__(self, *error: Any) -> Any:
        return self.target.__exit__(*error)

    @property
    def sync_session(self) -> Any:
        """The blocking session, under the asyncio one's name for it."""
        return self.target

    def begin(self) -> Any:
        """Return what ``async with`` begins and ends, or ``await`` begins."""
        return _Beginning(self.target.begin)

    def begin_nested(self) -> Any:
        """Return what ``async with`` begins and ends, or ``await`` begins."""
        return _Beginning(self.target.begin_nested)

    async def run_sync(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call the function with the blocking session or connection."""
        return function(self.target, *args, **kwargs)

    async def stream(self, statement: Any, parameters: Any = None) -> Any:
        """Execute with a cursor at the server and return what ``async for`` reads."""
        return _Streamed(self.target.execute(statement, parameters, execution_options={"stream_results": True}))


class _Streamed:
    def __init__(self, result: Any) -> None:
        self._rows = iter(result)

    def __aiter__(self) -> _Streamed:
        return self

    async def __anext__(self) -> Any:
        try:
            return next(self._rows)
        except StopIteration:
            raise StopAsyncIteration from None


class _Beginning:
    """A transaction or savepoint that is yet to be begun, by ``await`` or ``async with``."""

    def __init__(self, begin: Callable[[], Any]) -> None:
        self._begin = begin

    def __await__(self) -> Any:
        return self._begun().__await__()

    async def _begun(self) -> Waitless:
        return Waitless(self._begin())

    async def __aenter__(self) -> Any:
        self._transaction = self._begin()
        return wrapped(self._transaction.__enter__())

    async def __aexit__(self, *error: Any) -> Any:
        return self._transaction.__exit__(*error)


class WaitlessBlock:
    """What ``with`` enters, for ``async with``."""

    def __init__(self, block: Any) -> None:
        self._block = block

    async def __aenter__(self) -> Any:
        return wrapped(self._block.__enter__())

    async def __aexit__(self, *error: Any) -> Any:
        return self._block.__exit__(*error)


def wrapped(value: Any) -> Any:
    """Return a blocking handle with the methods of its asyncio twin."""
    return Waitless(value) if hasattr(value, "execute") or hasattr(value, "is_active") else value


def _awaited(function: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        return wrapped(function(*args, **kwargs))

    return call


def _wrapping(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: wrapped(function(*args, **kwargs))


class BlockingColour:
    """Bodies run in the calling thread, without an event loop."""

    def run(self, body: Coroutine[Any, Any, Any]) -> Any:
        """Run a body to its end."""
        return contextvars.copy_context().run(run_now, body)

    def block(self, block: Any) -> Any:
        """Return what ``async with`` enters."""
        return WaitlessBlock(block)

    def function(self, body: Callable[..., Any]) -> Callable[..., Any]:
        """Return a body as a function of this colour."""

        @functools.wraps(body)
        def plain(*args: Any, **kwargs: Any) -> Any:
            return run_now(body(*args, **kwargs))

        return plain

    def awaitable(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of this colour as bodies call it."""

        @functools.wraps(function)
        async def call(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return call

    def handle(self, owner: Any, name: str) -> Any:
        """Return a block's session or connection."""
        return wrapped(getattr(owner, name))


class AsyncioColour:
    """Bodies run as tasks of one event loop, which keeps the connections of the process alive between tests."""

    @functools.cached_property
    def runner(self) -> asyncio.Runner:
        """What holds the loop."""
        return asyncio.Runner()

    def run(self, body: Coroutine[Any, Any, Any]) -> Any:
        """Run a body to its end, in a context of its own."""
        return self.runner.run(body, context=contextvars.copy_context())

    def block(self, block: Any) -> Any:
        """Return what ``async with`` enters."""
        return block

    def function(self, body: Callable[..., Any]) -> Callable[..., Any]:
        """Return a body as a function of this colour."""
        return body

    def awaitable(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of this colour as bodies call it."""
        return function

    def handle(self, owner: Any, name: str) -> Any:
        """Return a block's session or connection."""
        return getattr(owner, f"async_{name}")


async def value_of(result: Any) -> Any:
    """Await what can be awaited."""
    return await result if inspect.isawaitable(result) else result
