"""The bridge between asyncio and the code written once, blocking: SQLAlchemy's greenlet."""

from __future__ import annotations

import asyncio
import math
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


def _nothing() -> None:
    pass


async def in_task(work: Callable[[], T]) -> T:
    """Run blocking-style code that reaches an asyncio database, in the current task."""
    if _greenlet is None:
        return work()  # without greenlet there is no connection that it could wait for
    return await greenlet_spawn(work)


async def to_the_end(work: Callable[[], T], patience_s: float = math.inf, cut: Callable[[], object] = _nothing) -> T:
    """Run it in a task that is never cancelled; a cancellation that comes meanwhile is raised when it has ended.

    The end of a transaction must not be cut in two: what the server was told, the caller must be told.

    :param patience_s: seconds for which a cancellation is held back.
    :param cut: called when they have passed, in the event loop; it lets the work fail soon.
    """
    task = asyncio.ensure_future(greenlet_spawn(work))
    held: asyncio.CancelledError | None = None
    end_of_patience: asyncio.TimerHandle | None = None
    try:
        while not task.done():
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError as cancelled:
                if task.cancelled():
                    raise
                if held is None and patience_s < math.inf:
                    end_of_patience = asyncio.get_running_loop().call_later(patience_s, cut)
                held = cancelled
            except BaseException:
                if not task.done():
                    raise  # whoever waits is closed: its event loop has ended, or nobody wants it any more
                break
    finally:
        if end_of_patience is not None:
            end_of_patience.cancel()
    if held is None:
        return task.result()
    failed = task.exception()
    if failed is None:
        raise held
    raise held from failed
