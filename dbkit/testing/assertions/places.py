"""Which line of the application has asked for something: the nearest one that is no library's."""

from __future__ import annotations

import asyncio
import inspect
import linecache
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from dbkit.transaction.transaction import Transaction

try:
    import greenlet as _greenlet  # type: ignore[import-untyped]
except ImportError:
    _greenlet = None

_LIBRARIES = sys.stdlib_module_names - {"__main__"} | {"sqlalchemy", "dbkit", "greenlet"}
_APPLICATIONS = ("dbkit.tests.", "dbkit.cmd.")
_LOOPS = frozenset({"asyncio.events", "asyncio.base_events", "asyncio.runners"})
"""Below these, a stack belongs to whoever runs the event loop."""
_ENDS = frozenset({Transaction.commit.__code__, Transaction.rollback.__code__})


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a program."""

    file: str
    line: int
    function: str

    @property
    def text(self) -> str:
        """The line itself."""
        return linecache.getline(self.file, self.line).strip()

    def __str__(self) -> str:
        file = os.path.relpath(self.file) if self.file.startswith(os.getcwd() + os.sep) else self.file
        return f"{file}:{self.line} in {self.function}" + (f": {self.text}" if self.text else "")


def caller() -> Place | None:
    """Return the line of the application that runs now; None if there are only libraries on the stack."""
    return next(callers(), None)


def callers() -> Iterator[Place]:
    """Yield the lines of the application on the stack, the nearest first, across the greenlets of SQLAlchemy.

    What an asyncio block does at its end runs in a task of its own; it is the block's task that is meant then.
    """
    owner: Any = None
    for frame in frames():
        if frame.f_code in _ENDS:
            owner = frame.f_locals["self"].owner
        if frame.f_globals.get("__name__") in _LOOPS:
            break
        if _is_application(frame):
            owner = None
            yield _place_of(frame)
    if isinstance(owner, asyncio.Task):
        yield from reversed([_place_of(frame) for frame in _suspended(owner) if _is_application(frame)])


def frames() -> Iterator[FrameType]:
    """Yield the frames of the stack, the nearest first, across the greenlets of SQLAlchemy."""
    frame = inspect.currentframe()
    green = None if _greenlet is None else _greenlet.getcurrent()
    while True:
        while frame is not None:
            yield frame
            frame = frame.f_back
        green = None if green is None else green.parent
        if green is None:
            return
        frame = green.gr_frame


def _suspended(task: asyncio.Task[Any]) -> Iterator[FrameType]:
    waiting: Any = task.get_coro()
    while waiting is not None:
        frame = getattr(waiting, "cr_frame", None) or getattr(waiting, "gi_frame", None)
        if frame is not None:
            yield frame
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "gi_yieldfrom", None)


def _is_application(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__", ""))
    return name.partition(".")[0] not in _LIBRARIES or name.startswith(_APPLICATIONS)


def _place_of(frame: FrameType) -> Place:
    return Place(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
