"""The bridge between asyncio and the code written once, blocking: SQLAlchemy's greenlet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.util import greenlet_spawn
from sqlalchemy.util.concurrency import in_greenlet

T = TypeVar("T")

__all__ = ["in_greenlet", "in_task", "to_the_end"]


async def in_task(work: Callable[[], T]) -> T:
    """Run blocking-style code that reaches an asyncio database, in the current task."""
    return await greenlet_spawn(work)


async def to_the_end(work: Callable[[], T]) -> T:
    """Run it in a task that is never cancelled; a cancellation that comes meanwhile is raised when it has ended.

    The end of a transaction must not be cut in two: what the server was told, the caller must be told.
    """
    task = asyncio.ensure_future(greenlet_spawn(work))
    held: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as cancelled:
            if task.cancelled():
                raise
            held = cancelled
        except BaseException:
            break
    result = task.result()
    if held is not None:
        raise held
    return result
