"""Rows as PostgreSQL's COPY reads them, in its text form; column by column, because that is the fastest.

A value is written only if COPY is known to understand it as an INSERT would: an INSERT casts its parameters, COPY does
not. Whoever has another value uses INSERT.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from dbkit.queries.bulk.copytypes import Type, Unwritable, Write, escaped, unwrapped

NULL = "\\N"
_NOTHING = type(None)
_TO_ESCAPE = "\\\t\n\r"
_TIMES = {datetime.datetime, datetime.time}

#: How many rows are written at once: while the server reads them, the next ones are made.
_ROWS = 500

Part = Callable[[Sequence[Any]], Iterable[str]]
"""Writes some of the values of a column."""


class Cells:
    """The values of one column, all of them known to be what COPY understands.

    :param name: the name of the column.
    :param values: as SQLAlchemy binds them.
    :param classes: the classes of the values, if they are known.
    :raises Unwritable: INSERT must do it.
    """

    __slots__ = ("_values", "_write")

    def __init__(self, name: str, kind: Type, values: Sequence[Any], classes: set[type] | None = None) -> None:
        if kind.is_wrapped:
            values, classes = list(map(unwrapped, values)), None
        classes = set(map(type, values)) if classes is None else set(classes)
        has_nulls = _NOTHING in classes
        classes.discard(_NOTHING)
        for each in classes:
            if each not in kind.writers:
                raise Unwritable(f"a value of class {each.__name__} for the column {name!r}")
        if classes & _TIMES and any(value is not None and kind.is_unlike(value) for value in values):
            raise Unwritable(f"a time with a time zone, or one without where it needs one, for the column {name!r}")
        if kind.is_composed:
            values = [None if each is None else kind.writers[type(each)](each) for each in values]
            classes = {str} if classes else set()
        self._values = values
        self._write = _writing(kind, classes, has_nulls, values)

    def texts(self, start: int, stop: int) -> Iterable[str]:
        """Return some of the values as COPY reads them."""
        return self._write(self._values[start:stop])


def _writing(kind: Type, classes: set[type], has_nulls: bool, values: Sequence[Any]) -> Part:
    if not classes:
        return _nulls
    if classes == {str}:
        joined = "".join(filter(None, values))
        if not joined.isascii():
            joined.encode()  # what is no text is told before the first row is sent
        if not any(map(joined.__contains__, _TO_ESCAPE)):
            return _or_nulls if has_nulls else _as_it_is
    if len(classes) == 1:
        only = escaped if kind.is_composed else kind.writers[next(iter(classes))]
        if has_nulls:
            return lambda part: [NULL if each is None else only(each) for each in part]
        return lambda part: map(only, part)
    by_class: dict[type, Write] = {**kind.writers, _NOTHING: lambda each: NULL}
    return lambda part: [by_class[type(each)](each) for each in part]


def _nulls(part: Sequence[Any]) -> Iterable[str]:
    return [NULL] * len(part)


def _or_nulls(part: Sequence[Any]) -> Iterable[str]:
    return [NULL if each is None else each for each in part]


def _as_it_is(part: Sequence[Any]) -> Iterable[str]:
    return part


def lines(columns: Sequence[Cells], count: int) -> Iterator[bytes]:
    """Yield rows as COPY reads them, some at a time.

    :param count: how many there are.
    """
    for start in range(0, count, _ROWS):
        stop = start + _ROWS
        rows = zip(*[each.texts(start, stop) for each in columns], strict=True)
        yield ("\n".join(map("\t".join, rows)) + "\n").encode()


class Source:
    """The lines for drivers that read them, blocking or asyncio."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts

    def read(self, size: int = -1) -> bytes:
        """Return the next lines; nothing at the end. The size is the driver's wish, and it takes more."""
        return next(self._parts, b"")


class LaterSource:
    """The lines for drivers that iterate over them in asyncio."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts

    def __aiter__(self) -> LaterSource:
        return self

    async def __anext__(self) -> bytes:
        for part in self._parts:
            return part
        raise StopAsyncIteration
