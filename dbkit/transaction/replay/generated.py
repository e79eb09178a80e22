"""Numbers that MySQL and MariaDB give to rows, and how an INSERT that is repeated is given the same ones.

``SET insert_id`` says which number the next INSERT takes, as replication does when it repeats one. A number that was
given to a transaction that is lost stays unused, so it is free. If somebody has taken it all the same, the INSERT fails
or answers otherwise, which is seen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dbkit.engines.connection import TrackedConnection

# Others can meet a row that exists, and then the number that they tell is not one that was given.
_INSERT = re.compile(r"\s*INSERT\s+INTO\b", re.IGNORECASE)
_MAY_FIND_ROWS = re.compile(r"\bON\s+DUPLICATE\s+KEY\b|\bSELECT\b", re.IGNORECASE)


def generated_by(statement: str, cursor: Any, rows: Sequence[Any] | None, context: Any) -> int | None:
    """Return the first number that an INSERT was given, where it can be told; else None."""
    if not _INSERT.match(statement) or _MAY_FIND_ROWS.search(statement):
        return None
    number = _returned(rows, context) if rows else cursor.lastrowid
    return number if isinstance(number, int) and number > 0 else None


def _returned(rows: Sequence[Any], context: Any) -> Any:
    """Return the number in the first row that RETURNING gave, where SQLAlchemy knows its column."""
    compiled = getattr(context, "compiled", None)
    columns = getattr(compiled, "effective_returning", None) or ()
    for position, column in enumerate(columns):
        table = getattr(column, "table", None)
        if table is not None and getattr(table, "_autoincrement_column", None) is column:
            return min(row[position] for row in rows)
    return None


def ask_for(connection: TrackedConnection, number: int) -> None:
    """Let the next INSERT of the session take this number."""
    execute(connection, f"SET insert_id = {number:d}")


def is_left_over(connection: TrackedConnection) -> bool:
    """Return whether a number that was asked for was not taken: another INSERT of the session would take it."""
    row = execute(connection, "SELECT @@insert_id")
    return row is None or bool(row[0])


def execute(connection: TrackedConnection, statement: str) -> Any:
    """Execute a statement of dbkit's own, past the log; return its first row, or None."""
    cursor = connection.driver_level.cursor()
    try:
        cursor.execute(statement)
        return None if cursor.description is None else cursor.fetchall()[0]
    finally:
        cursor.close()
