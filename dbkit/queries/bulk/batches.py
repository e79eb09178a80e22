"""Many rows on their way into statements: what callers give, named by columns, so many at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import InstanceState

from dbkit.engines.connection import TrackedConnection
from dbkit.exceptions import UsageError
from dbkit.queries.bulk.grid import Grid, Row
from dbkit.queries.target import Target, is_computed

Step = Callable[[TrackedConnection], Any]
Work = Generator[Step, Any, "Written"]
Progress = Callable[["Written"], object]


@dataclass(frozen=True, slots=True)
class Written:
    """What a function that writes many rows has done so far.

    :ivar rows: how many rows were written.
    :ivar inserted: how many of them are new; None where it cannot be told.
    :ivar updated: how many were there before and have been changed; None where it cannot be told.
    :ivar statements: how many statements and COPYs were sent for them.
    :ivar keys: the primary keys of the rows, in their order, if they were asked for: one value each, or a tuple.
    :ivar way: ``"COPY"``, or ``"INSERT"`` if a batch went so, ``"UPDATE"``, ``"DELETE"``.
    :ivar reason: why COPY was not used, where it was not.

    .. versionadded:: 0.1
    """

    rows: int = 0
    inserted: int | None = None
    updated: int | None = None
    statements: int = 0
    keys: Sequence[Any] = ()
    way: str = ""
    reason: str | None = None


def batch_of(size: Any) -> int:
    """Return how many rows a batch has.

    :raises UsageError: it is no such number.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise UsageError(f"batch is how many rows are written at once, at least 1; it is {size!r}")
    return size


def in_batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yield the items, so many at a time; no more are held."""
    source = iter(items)
    while some := list(islice(source, size)):
        yield some


class Rows:
    """Turns what callers give as rows into mappings by the keys of columns.

    :param columns: what the values of tuples are, in their order.
    """

    def __init__(self, target: Target, columns: Sequence[Any] | None = None) -> None:
        self._target = target
        self._keys = None if columns is None else tuple(str(target.column(name).key) for name in columns)
        self._known: dict[tuple[Any, ...], tuple[str, ...]] = {}

    def named(self, rows: Sequence[Any]) -> list[Row]:
        """Return rows by the keys of their columns.

        :raises UsageError: one is nothing of the kind, or names what is no column.
        """
        return [self._row(each) for each in rows]

    def grids(self, rows: Sequence[Any]) -> list[Grid]:
        """Return rows in runs of those that have values for the same columns, computed ones each by itself.

        :raises UsageError: one is nothing of the kind, or names what is no column.
        """
        grid = self._alike(rows)
        return [grid] if grid is not None else [Grid.of(run) for run in alike(self.named(rows))]

    def _alike(self, rows: Sequence[Any]) -> Grid | None:
        """Return rows that all have one form, without looking at each of them in Python; None if they differ."""
        forms = set(map(type, rows))
        known: Any = None
        if forms == {dict}:
            names = set(map(tuple, rows))
            if len(names) > 1:
                return None
            given = names.pop()
            keys = self._keys_of(given)
            columns = list(zip(*map(dict.values, rows), strict=True))
            known = rows if keys == given else None
        elif self._keys is not None and forms <= {tuple, list} and set(map(len, rows)) == {len(self._keys)}:
            keys = self._keys
            columns = list(zip(*rows, strict=True))
        else:
            return None
        classes = [set(map(type, column)) for column in columns]
        if not keys or any(map(_may_compute, classes)):
            return None
        return Grid(keys, columns, len(rows), known, classes)

    def _keys_of(self, names: tuple[Any, ...]) -> tuple[str, ...]:
        keys = self._known.get(names)
        if keys is None:
            keys = self._known[names] = tuple(str(self._target.column(name).key) for name in names)
        return keys

    def _row(self, row: Any) -> Row:
        if row.__class__ is dict or isinstance(row, Mapping):
            names = tuple(row)
            keys = self._keys_of(names)
            if row.__class__ is dict and names == keys:
                return row
            return dict(zip(keys, row.values(), strict=True))
        if isinstance(row, (tuple, list)):
            if self._keys is None:
                raise UsageError("rows that are tuples need columns=[...], which says what their values are")
            if len(row) != len(self._keys):
                raise UsageError(f"a row has {len(row)} values for {len(self._keys)} columns")
            return dict(zip(self._keys, row, strict=True))
        state = inspect(row, raiseerr=False)
        if isinstance(state, InstanceState) and state.mapper is self._target.mapper:
            known = state.dict
            found = {
                str(column.key): known[name]
                for column in self._target.table.columns
                if (name := self._target.attribute(column)) in known
            }
            # a key that nobody has set is the database's to make
            return {key: value for key, value in found.items() if value is not None or not _makes(self._target, key)}
        raise UsageError(
            f"a row is a mapping, a tuple, or an object of {self._target.name}; an object of class "
            f"{type(row).__name__} was given"
        )


def _makes(target: Target, key: str) -> bool:
    column = target.table.columns[key]
    return column.primary_key or column.default is not None or column.server_default is not None


def _may_compute(classes: Iterable[type]) -> bool:
    """Return whether among values of these classes may be what the database computes."""
    return any(hasattr(each, "__visit_name__") or hasattr(each, "__clause_element__") for each in classes)


def alike(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Yield the rows in runs of those that have values for the same columns, and computed ones each by itself."""
    classes: set[type] = set()
    for row in rows:
        classes.update(map(type, row.values()))
    may_compute = _may_compute(classes)
    run: list[Row] = []
    for row in rows:
        computed = may_compute and any(map(is_computed, row.values()))
        if run and (computed or row.keys() != run[0].keys()):
            yield run
            run = []
        run.append(row)
        if computed:
            yield run
            run = []
    if run:
        yield run
