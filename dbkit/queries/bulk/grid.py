"""Rows that have values for the same columns, held column by column: what each value needs is done in C that way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dbkit.queries.target import is_computed

Row = dict[str, Any]


class Grid:
    """Rows alike.

    :ivar keys: the keys of the columns.
    :ivar columns: for each of them the values of all rows, in the order of the rows.
    :ivar classes: for each of them the classes of its values; None where nobody has looked.
    """

    __slots__ = ("_count", "_rows", "classes", "columns", "keys")

    def __init__(
        self,
        keys: Sequence[str],
        columns: Sequence[Sequence[Any]],
        count: int,
        rows: list[Row] | None = None,
        classes: Sequence[set[type] | None] | None = None,
    ) -> None:
        self.keys = tuple(keys)
        self.columns = tuple(columns)
        self.classes = [None] * len(self.keys) if classes is None else list(classes)
        self._count = count
        self._rows = rows

    @classmethod
    def of(cls, rows: list[Row]) -> Grid:
        """Return the grid of rows that all have the same keys."""
        keys = tuple(rows[0])
        return cls(keys, [[row[key] for row in rows] for key in keys], len(rows), rows)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @property
    def rows(self) -> list[Row]:
        """The rows as mappings; made when they are first wanted."""
        if self._rows is None:
            keys = self.keys
            self._rows = [dict(zip(keys, each, strict=True)) for each in zip(*self.columns, strict=True)]
        return self._rows

    def row(self, number: int) -> Row:
        """Return one row as a mapping."""
        return dict(zip(self.keys, [column[number] for column in self.columns], strict=True))

    @property
    def is_computed(self) -> bool:
        """Whether the first row has a value that the database computes; such a row is by itself."""
        return any(is_computed(column[0]) for column in self.columns)

    def filled(self, values: Mapping[str, Sequence[Any]]) -> Grid:
        """Return the grid with further columns; one that is there stays as it is."""
        new = {key: each for key, each in values.items() if key not in self.keys}
        if not new:
            return self
        classes = [*self.classes, *[None] * len(new)]
        return Grid((*self.keys, *new), (*self.columns, *new.values()), self._count, None, classes)
