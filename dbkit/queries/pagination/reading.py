"""The rows of one page, read by as few statements as an index allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Select, literal_column
from sqlalchemy.engine import Connection, Result, result_tuple
from sqlalchemy.orm import Session

from dbkit.exceptions import UsageError
from dbkit.queries.pagination.conditions import OrderedKey, at, order_by
from dbkit.queries.pagination.cursor import Position
from dbkit.queries.pagination.parts import Part, parts
from dbkit.queries.pagination.style import Style

_KEY, _MARKER = "dbkit_key_", "dbkit_at_marker"

_NOT_A_NUMBER = object()
"""Stands for a value that is equal to nothing, and to itself where it is sorted."""

Row = tuple[Any, tuple[Any, ...]]
"""What is given to the user, and the values of its sort keys."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a statement is paged on one kind of database.

    :param enums: for each sort key the class of its values, if that is an enum.
    :param order: a digest of the sort keys.
    """

    keys: tuple[OrderedKey, ...]
    style: Style
    enums: tuple[Any, ...]
    order: str


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the rows of pages of one statement.

    :param parameters: values of the statement's ``bindparam()``.
    """

    handle: Session | Connection
    statement: Select[Any]
    layout: Layout
    parameters: Mapping[str, Any]

    def read(self, position: Position | None, is_backward: bool, limit: int) -> tuple[list[Row], bool]:
        """Return rows, one more than the limit if there is one, and whether rows lie behind the position."""
        if position is None:
            return self._fetched(None, is_backward, limit + 1, False)[0], False
        # the row at the position comes along: if it is there, something lies behind, and no second look is needed
        rows, marks = self._fetched(position, is_backward, limit + 2, True)
        if not position.is_inclusive:
            kept = [row for row, is_marker in zip(rows, marks, strict=True) if not is_marker]
            if len(kept) < len(rows):
                return kept, True
            rows = kept
        return rows, bool(self._fetched(position, not is_backward, 1, False)[0])

    def _fetched(
        self, position: Position | None, is_backward: bool, limit: int, inclusive: bool
    ) -> tuple[list[Row], list[bool]]:
        """Return rows, and of each whether it is the one at the position."""
        keys, style = self.layout.keys, self.layout.style
        if is_backward:
            keys = tuple(key.backward() for key in keys)
        statement = self.statement.add_columns(*(key.read.label(f"{_KEY}{n}") for n, key in enumerate(keys)))
        if position is not None:
            statement = statement.add_columns(at(keys, position.values).label(_MARKER))
        is_grouped = bool(self.statement._group_by_clauses)
        compared = _named(keys) if is_grouped and style.having_takes_names else keys
        values = None if position is None else position.values
        rows: list[Row] = []
        marks: list[bool] = []
        # groups have no index, and would be made twice
        for part in parts(compared, values, style, inclusive=inclusive, splits=not is_grouped):
            found = self._executed(_of(statement, part, style, is_grouped, limit - len(rows)), position is not None)
            rows += found[0]
            marks += found[1]
            if len(rows) >= limit:
                break
        return rows, marks

    def _executed(self, statement: Select[Any], is_marked: bool) -> tuple[list[Row], list[bool]]:
        result: Result[Any] = self.handle.execute(statement, dict(self.parameters))
        count = len(self.layout.keys)
        tail = count + is_marked
        told: dict[Any, tuple[Any, ...]] = {}

        def name(row: Any) -> tuple[Any, ...]:
            """Return what tells rows apart: their sort keys."""
            found = _name_of(row[len(row) - tail : len(row) - is_marked])
            items = tuple(row[: len(row) - tail])
            known = told.setdefault(found, items)
            if known is not items and not (self._selects_objects and known == items):
                raise UsageError(
                    "two rows have the same sort keys, though is_unique=True says that they differ; add a sort key "
                    "that tells them apart"
                )
            return found

        if isinstance(self.handle, Session):  # joins of collections repeat a row
            result = result.unique(name)
        names = [str(name) for name in result.keys() if not _is_own(name)]
        fetched = result.all()
        if not isinstance(self.handle, Session):
            for row in fetched:
                name(row)
        width = len(fetched[0]) - count - is_marked if fetched else 0
        if len(names) < width:  # an alias of a model has no name in a row
            names = [each["name"] or f"column_{n}" for n, each in enumerate(statement.column_descriptions[:width])]
        made = result_tuple(names)
        rows = [(row[0] if width == 1 else made(row[:width]), tuple(row[width : width + count])) for row in fetched]
        return rows, [is_marked and bool(row[-1]) for row in fetched]

    @property
    def _selects_objects(self) -> bool:
        return any(each["expr"] is each.get("entity") is not None for each in self.statement.column_descriptions)


def _named(keys: Sequence[OrderedKey]) -> tuple[OrderedKey, ...]:
    return tuple(replace(key, compared=literal_column(f"{_KEY}{n}", key.read.type)) for n, key in enumerate(keys))


def _of(statement: Select[Any], part: Part, style: Style, is_grouped: bool, limit: int) -> Select[Any]:
    if part.condition is not None:
        statement = statement.having(part.condition) if is_grouped else statement.where(part.condition)
    return statement.order_by(*order_by(part.keys, places_nulls=style.places_nulls)).limit(limit)


def _is_own(name: Any) -> bool:
    return name == _MARKER or (str(name).startswith(_KEY) and str(name)[len(_KEY) :].isdigit())


def _name_of(values: Sequence[Any]) -> tuple[Any, ...]:
    found = tuple(_NOT_A_NUMBER if value != value else value for value in values)
    try:
        hash(found)
    except TypeError as unhashable:
        classes = ", ".join(type(value).__name__ for value in values)
        raise UsageError(
            f"the sort keys have values of the classes {classes}, of which a cursor cannot hold each; sort by "
            "expressions that are numbers, texts, dates or UUIDs"
        ) from unhashable
    return found
