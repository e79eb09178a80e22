"""Comments in the SQL that say which code sent it (``connection_trace``)."""

from __future__ import annotations

import sys
from pathlib import PurePath
from types import FrameType
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

_FRAMES = 3
_LIBRARIES = ("dbkit", "sqlalchemy", "greenlet")


def install(engine: Engine) -> None:
    """Append the files, lines and functions of the calling code to each statement.

    It makes every statement unique to its place in the code; use it to find a statement's origin, not always.
    """

    def add_origin(
        connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> tuple[str, Any]:
        return f"{statement}  -- {_origin(sys._getframe(1))}", parameters

    event.listen(engine, "before_cursor_execute", add_origin, retval=True)


def _origin(frame: FrameType | None) -> str:
    found: list[str] = []
    while frame is not None and len(found) < _FRAMES:
        module = frame.f_globals.get("__name__", "")
        library = module.split(".", 1)[0]
        if library not in _LIBRARIES or module.startswith("dbkit.tests"):
            code = frame.f_code
            place = f"File: {PurePath(code.co_filename).name} ({frame.f_lineno}) {code.co_name}"
            # a driver takes % for a placeholder, and a line's end would end the comment
            found.append(place.replace("%", "").replace("\n", " ").replace("\r", " "))
        frame = frame.f_back
    return "; ".join(found)
