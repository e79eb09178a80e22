"""Who holds the connections of a pool: names, times and places in the code, for the error of an exhausted pool."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

_HOLDERS = 10
_FRAMES = 4

_NOT_OF_INTEREST = (
    "asyncio.", "concurrent.", "dbkit.database", "dbkit.enginefacade", "dbkit.engines.", "dbkit.plan",
    "dbkit.transaction.", "greenlet", "sqlalchemy.", "threading",
)  # fmt: skip
"""Modules whose frames say nothing about why a connection is held."""


GONE = object()
"""Stands for a task that was collected."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A connection in use.

    :param holder: a thread's ident or an asyncio task; :data:`GONE`; None where the code that took it did not say.
    :param since: when it was taken.
    """

    holder: Any
    since: float


def describe_holders(holdings: Iterable[Holding], now: float) -> str:
    """Return lines that say who holds connections, for how long, and where in the code each is now.

    Those who hold one for longest come first. Code is named by file, line and function, never by its values.
    """
    ordered = sorted(holdings, key=lambda each: each.since)
    threads = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = sys._current_frames()
    lines = []
    for each in ordered[:_HOLDERS]:
        who, stack = _place_of(each.holder, threads, frames)
        lines.append(f"\n  held for {max(0.0, now - each.since):.1f} s by {who}{', now at' if stack else ''}")
        lines += [f"\n    {line}" for line in stack]
    if len(ordered) > _HOLDERS:
        lines.append(f"\n  and {len(ordered) - _HOLDERS} more")
    return "".join(lines)


def _place_of(
    holder: Any, threads: Mapping[int | None, str], frames: Mapping[int, FrameType]
) -> tuple[str, Sequence[str]]:
    if holder is None:
        return "code that took it from the engine itself", ()
    if holder is GONE:
        return "a task that is gone", ()
    if isinstance(holder, asyncio.Task):
        if holder.done():
            return f"the task {holder.get_name()}, which has ended", ()
        return f"the task {holder.get_name()}", _lines(_frames_of_task(holder))
    if holder not in frames:
        return "a thread that has ended", ()
    return f"the thread {threads.get(holder, holder)}", _lines(_frames_of_thread(frames[holder]))


def _frames_of_thread(frame: FrameType | None) -> Iterator[tuple[FrameType, int]]:
    while frame is not None:
        yield frame, frame.f_lineno
        frame = frame.f_back


def _frames_of_task(task: asyncio.Task[Any]) -> Iterable[tuple[FrameType, int]]:
    """Return the frames of the coroutines that wait for each other, the innermost first."""
    found: list[tuple[FrameType, int]] = []
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            found.append((frame, frame.f_lineno))
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return reversed(found)


def _lines(frames: Iterable[tuple[FrameType, int]]) -> Sequence[str]:
    lines: list[str] = []
    for frame, number in frames:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith(_NOT_OF_INTEREST):
            continue
        lines.append(f"{frame.f_code.co_filename}:{number} in {frame.f_code.co_name}")
        if len(lines) == _FRAMES:
            break
    return lines
