"""Rows as PostgreSQL's COPY reads them, in its text form; column by column, because that is the fastest.

A value is written only if COPY is known to understand it as an INSERT would: an INSERT casts its parameters, COPY does
not. Whoever has another value uses INSERT.
"""

from __future__ import annotations

import datetime
import decimal
import json
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

NULL = "\\N"
_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_NOTHING = type(None)

Write = Callable[[Any], str]


class Unwritable(Exception):
    """A value of a column cannot be written for COPY; the text says which."""


def escaped(value: str) -> str:
    """Return a text with what COPY would take for its own escaped."""
    return value.translate(_ESCAPED)


def _boolean(value: bool) -> str:
    return "t" if value else "f"


def _bytes(value: bytes) -> str:
    return "\\\\x" + value.hex()


def unwrapped(value: Any) -> Any:
    """Return what a driver's wrapper of JSON or bytes holds, as text or bytes."""
    if not type(value).__module__.startswith("psycopg"):
        return value
    if hasattr(value, "dumps"):
        text = (value.dumps or json.dumps)(value.obj)
        return text if isinstance(text, str) else text.decode()
    return getattr(value, "obj", getattr(value, "adapted", value))


def _unlike(kind: sa.types.TypeEngine[Any], value: Any) -> bool:
    """Return whether a moment and its column differ in whether they know a time zone."""
    return (value.tzinfo is not None) is not bool(getattr(kind, "timezone", False))


_INTEGERS: dict[type, Write] = {int: str}
_NUMBERS: dict[type, Write] = {int: str, float: repr, decimal.Decimal: str}
_TEXTS: dict[type, Write] = {str: escaped}
_WRITERS: tuple[tuple[type[Any], dict[type, Write]], ...] = (
    (sa.Integer, _INTEGERS),
    (sa.Float, {int: str, float: repr}),
    (sa.Numeric, _NUMBERS),
    (sa.Boolean, {bool: _boolean}),
    (sa.DateTime, {datetime.datetime: datetime.datetime.isoformat}),
    (sa.Date, {datetime.date: datetime.date.isoformat}),
    (sa.Time, {datetime.time: datetime.time.isoformat}),
    (sa.LargeBinary, {bytes: _bytes, bytearray: _bytes, memoryview: _bytes}),
    (sa.Uuid, {uuid.UUID: str, str: escaped}),
    (sa.Enum, _TEXTS),
    (sa.String, _TEXTS),
    (sa.JSON, _TEXTS),
)


def writers_for(kind: Any) -> dict[type, Write]:
    """Return how the values of a column are written, by their class; of an unknown type of column nothing is known."""
    kind = getattr(kind, "impl_instance", kind)
    for known, writers in _WRITERS:
        if isinstance(kind, known):
            return writers
    return {}


def column_text(name: str, kind: Any, values: Sequence[Any]) -> Iterable[str]:
    """Return the values of one column as COPY reads them.

    :param kind: the type of the column.
    :raises Unwritable: INSERT must do it.
    """
    kind = getattr(kind, "impl_instance", kind)
    writers = writers_for(kind)
    if isinstance(kind, (sa.JSON, sa.LargeBinary)):
        values = list(map(unwrapped, values))
    classes = set(map(type, values))
    has_nulls = _NOTHING in classes
    classes.discard(_NOTHING)
    for each in classes:
        if each not in writers:
            raise Unwritable(f"a value of class {each.__name__} for the column {name!r}")
    if datetime.datetime in classes or datetime.time in classes:
        if any(value is not None and _unlike(kind, value) for value in values):
            raise Unwritable(f"a time with a time zone, or one without where it needs one, for the column {name!r}")
    if not classes:
        return [NULL] * len(values)
    if len(classes) > 1:
        return [NULL if each is None else writers[type(each)](each) for each in values]
    write = writers[classes.pop()]
    if has_nulls:
        return [NULL if each is None else write(each) for each in values]
    if write is escaped and not any(map("".join(values).__contains__, "\\\t\n\r")):
        return values
    return map(write, values)


def as_copy_text(columns: Sequence[Iterable[str]]) -> bytes:
    """Return rows, given as the texts of their columns, as what COPY reads."""
    lines = map("\t".join, zip(*columns, strict=True))
    return ("\n".join(lines) + "\n").encode()
