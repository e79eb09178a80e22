"""What is timed, by name, and what each must bring back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from benchmarks.scenarios import Scenario
from benchmarks.subjects.subject import Opened

MANY = "many-rows"
ONE = "one-row"

SCENARIOS: dict[str, Scenario] = {
    MANY: Scenario(MANY, "all rows of a table of 12 columns, with the types that its model has", 1),
    ONE: Scenario(ONE, "one row by its primary key, in a reader of its own", 500),
}


class NotRead(Exception):
    """An operation brought back something else than the rows."""


def checked(opened: Opened, rows: int, read: Callable[[Any], Sequence[Any]]) -> Opened:
    """Look at what each operation brings back, once.

    :param read: returns key, address, time of creation and flag of what stands for a row.
    :raises NotRead: rows are missing, or a value has not the type that the model says.
    """
    for name, operation in opened.operations.items():
        found = operation(1) if name == MANY else [operation(0)]
        key, address, created_at, is_auto_assigned = read(found[0])
        if len(found) != (rows if name == MANY else 1):
            raise NotRead(f"{name}: {len(found)} rows of {rows}")
        if (key, address, is_auto_assigned) != (1, "10.0.0.0", False) or not isinstance(created_at, datetime):
            raise NotRead(f"{name}: the first row has other values than it should")
        if not isinstance(is_auto_assigned, bool):
            raise NotRead(f"{name}: a flag came back as another type")
    return opened


def by_name(row: Any) -> tuple[Any, ...]:
    """Read a row that has attributes."""
    return row.id, row.address, row.created_at, row.auto_assigned


def by_place(row: Any) -> tuple[Any, ...]:
    """Read a row that is a tuple of all columns, in their order in the table."""
    return row[4], row[5], row[0], row[9]


def key_of(number: int, rows: int) -> int:
    """Return the key that an operation looks for."""
    return number % rows + 1
