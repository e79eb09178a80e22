"""A table whose rows have NULL in up to three sort keys, and the order in which its pages must give them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Integer, MetaData, Table

KEY = b"a secret of sixteen bytes"
METADATA = MetaData()
ROWS = Table(
    "paged", METADATA, Column("id", Integer, primary_key=True), Column("a", Integer), Column("b", Integer),
    Column("c", Integer),
)  # fmt: skip
VALUES = (None, 1, 2)
Way = tuple[bool, bool | None]
WAYS: tuple[Way, ...] = tuple(itertools.product((False, True), (None, True, False)))


def filled(connection: Connection, count: int = 27) -> list[dict[str, Any]]:
    """Create the table and fill it with each combination of values in a shuffled order."""
    METADATA.create_all(connection)
    values = list(itertools.product(VALUES, repeat=3))[:count]
    random.Random(7).shuffle(values)
    rows: list[dict[str, Any]] = [{"id": n, "a": a, "b": b, "c": c} for n, (a, b, c) in enumerate(values, 1)]
    connection.execute(ROWS.insert(), rows)
    return rows


def term(name: str, descending: bool, nulls_first: bool | None) -> ColumnElement[Any]:
    """Return a sort key."""
    found: ColumnElement[Any] = ROWS.c[name].desc() if descending else ROWS.c[name].asc()
    if nulls_first is None:
        return found
    return found.nulls_first() if nulls_first else found.nulls_last()


def expected(rows: list[dict[str, Any]], ways: Sequence[Way], nulls_are_smallest: bool) -> list[int]:
    """Return the ids in their order, found by Python's sort."""
    found = sorted(rows, key=lambda row: row["id"], reverse=bool(ways and ways[-1][0]))
    for name, (descending, nulls_first) in reversed(list(zip("abc", ways, strict=False))):
        first = nulls_are_smallest is not descending if nulls_first is None else nulls_first
        found.sort(key=lambda row: row[name] or 0, reverse=descending)
        found.sort(key=lambda row: (row[name] is None) is not first)
    return [row["id"] for row in found]
