"""How the plans of the outbox are carried out in each colour."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from dbkit.clock import Clock
from dbkit.exceptions import UsageError
from dbkit.outbox.message import Message
from dbkit.transaction.block import Block
from dbkit.transaction.greenlets import in_task

Handler = Callable[[Message], object]


class BlockingSteps:
    """Steps of blocking code."""

    def check(self, handler: Handler) -> None:
        """Refuse a coroutine function, which nobody here could await, and what is no function.

        :raises UsageError: it is one of them.
        """
        _refuse_no_function(handler)
        if inspect.iscoroutinefunction(handler):
            raise UsageError(f"the handler {handler!r} is a coroutine function; use adeliver() or arun()")

    def enter(self, block: Block) -> Any:
        """Enter a block."""
        return block.__enter__()

    def leave(self, block: Block, error: BaseException | None) -> None:
        """Leave it, with the error that ends it."""
        block.__exit__(None if error is None else type(error), error, None if error is None else error.__traceback__)

    def work(self, work: Callable[[], Any]) -> Any:
        """Do what reaches the database."""
        return work()

    def call(self, handler: Handler, message: Message) -> None:
        """Call a handler."""
        result = handler(message)
        if inspect.iscoroutine(result):
            result.close()
            raise UsageError(f"the handler {handler!r} returned a coroutine; use adeliver() or arun()")

    def sleep(self, clock: Clock, seconds: float) -> None:
        """Wait."""
        clock.sleep(seconds)


class AsyncioSteps:
    """The same in asyncio; a handler may be a plain function or a coroutine function."""

    def check(self, handler: Handler) -> None:
        """Refuse what is no function.

        :raises UsageError: it is none.
        """
        _refuse_no_function(handler)

    async def enter(self, block: Block) -> Any:
        """Enter a block."""
        return await block.__aenter__()

    async def leave(self, block: Block, error: BaseException | None) -> None:
        """Leave it, with the error that ends it."""
        kind, trace = (None, None) if error is None else (type(error), error.__traceback__)
        await block.__aexit__(kind, error, trace)

    async def work(self, work: Callable[[], Any]) -> Any:
        """Do what reaches the database."""
        return await in_task(work)

    async def call(self, handler: Handler, message: Message) -> None:
        """Call a handler, and await what it returns if that can be awaited."""
        result = handler(message)
        if inspect.isawaitable(result):
            await result

    async def sleep(self, clock: Clock, seconds: float) -> None:
        """Wait."""
        await clock.asleep(seconds)


def _refuse_no_function(handler: object) -> None:
    if not callable(handler):  # each message would be blamed for it
        raise UsageError(
            f"a handler is a function, which is called with each message; an object of class {type(handler).__name__} "
            "was given"
        )


Steps = BlockingSteps | AsyncioSteps

BLOCKING_STEPS = BlockingSteps()
ASYNCIO_STEPS = AsyncioSteps()
