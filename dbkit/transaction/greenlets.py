"""The bridge between asyncio and the code written once, blocking: SQLAlchemy's greenlet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy.util import greenlet_spawn
from sqlalchemy.util.concurrency import in_greenlet

from dbkit.exceptions import DriverMissing

T = TypeVar("T")


try:
    import greenlet as _greenlet  # type: ignore[import-untyped]
except ImportError:
    _greenlet = None


def asyncio_faces() -> Any:
    """Return SQLAlchemy's asyncio package.

    :raises DriverMissing: it needs greenlet, which is not installed.
    """
    if _greenlet is None:
        raise DriverMissing("asyncio blocks need the package greenlet: pip install 'dbkit[asyncio]'")
    from sqlalchemy.ext import asyncio as faces

    return faces


__all__ = ["asyncio_faces", "in_greenlet", "in_task", "to_the_end"]


async def in_task(work: Callable[[], T]) -> T:
    """Run blocking-style code that reaches an asyncio database, in the current task."""
    if _greenlet is None:
        return work()  # without greenlet there is no connection that it could wait for
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
