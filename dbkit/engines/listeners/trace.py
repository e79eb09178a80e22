"""Comments in the SQL that say which code sent it (``connection_trace``)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import PurePath
from types import FrameType
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

_FRAMES = 3
_LIBRARIES = ("asyncio", "dbkit", "greenlet", "sqlalchemy")


def install(engine: Engine) -> None:
    """Append the files, lines and functions of the calling code to each statement.

    It makes every statement unique to its place in the code; use it to find a statement's origin, not always.
    """

    def add_origin(
        connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> tuple[str, Any]:
        origin = _origin(sys._getframe(1))
        return f"{statement}  -- {origin}" if origin else statement, parameters

    event.listen(engine, "before_cursor_execute", add_origin, retval=True)


def _origin(frame: FrameType | None) -> str:
    found: list[str] = []
    for each in _outwards(frame):
        module = each.f_globals.get("__name__", "")
        if module.split(".", 1)[0] not in _LIBRARIES or module.startswith("dbkit.tests"):
            code = each.f_code
            place = f"File: {PurePath(code.co_filename).name} ({each.f_lineno}) {code.co_name}"
            # a driver takes % for a placeholder, and a line's end would end the comment
            found.append(place.replace("%", "").replace("\n", " ").replace("\r", " "))
            if len(found) == _FRAMES:
                break
    return "; ".join(found)


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield the calling frames; out of SQLAlchemy's greenlet on to the asyncio code that waits for it."""
    while frame is not None:
        yield frame
        frame = frame.f_back
    greenlets = sys.modules.get("greenlet")
    around = None if greenlets is None else greenlets.getcurrent().parent
    waiting: FrameType | None = None if around is None else around.gr_frame
    while waiting is not None:
        yield waiting
        waiting = waiting.f_back
