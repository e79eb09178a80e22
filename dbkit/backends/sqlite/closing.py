"""A sqlite3 connection that lets go of its locks when it is closed."""

from __future__ import annotations

import sqlite3
import weakref
from typing import Any


class ClosingConnection(sqlite3.Connection):
    """Closes its cursors with it.

    SQLite keeps a closed connection, and its locks, until the last of its statements is finished. When an asyncio task
    is cancelled in the middle of one, the exception's frames hold the cursor for as long as anyone keeps the exception.
    """

    def __init__(self, *args: Any, **kw: Any) -> None:
        super().__init__(*args, **kw)
        self._cursors: weakref.WeakSet[sqlite3.Cursor] = weakref.WeakSet()

    def cursor(self, *args: Any, **kw: Any) -> Any:
        """Return a cursor, remembered for as long as it lives."""
        cursor: sqlite3.Cursor = super().cursor(*args, **kw)
        self._cursors.add(cursor)
        return cursor

    def execute(self, *args: Any) -> Any:
        """Execute a statement on a cursor of its own."""
        return self.cursor().execute(*args)

    def close(self) -> None:
        """Close the cursors, then the connection."""
        for cursor in list(self._cursors):
            cursor.close()
        super().close()
