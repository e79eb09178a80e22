"""How the rows of a table are marked as deleted: three flavours, and what a marked row looks like."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy import Column, ColumnElement, FromClause, Table

from dbkit.clock import naive_utc_now, utc_now
from dbkit.exceptions import InvalidModel
from dbkit.filters.marks import Removal, Rule, guard, set_removal, version_of
from dbkit.models.columns import column_of, has_column
from dbkit.models.timestamps import is_change_time
from dbkit.models.types import UtcDateTime

_MARKING = "dbkit.marking"

RULE = "soft_delete"
"""The name of the rule that hides deleted rows."""


class Flavour(enum.Enum):
    """What says of a row that it is deleted."""

    KEY = "key"
    """A column that holds the row's own key once it is deleted, and an empty one before: 0, '', the nil UUID."""
    TIME = "time"
    """The moment of its deletion, NULL while it lives."""
    FLAG = "flag"
    """A boolean."""


@dataclass(frozen=True, slots=True)
class Marking:
    """How the rows of a table are marked as deleted.

    :param mark: the column that says so.
    :param moment: the column that says when; None if none does.
    :param key: the column whose value the mark takes, if that is its flavour; None for the table's primary key.
    """

    flavour: Flavour
    mark: str
    moment: str | None
    key: str | None = None

    def is_alive(self, table: FromClause) -> ColumnElement[bool]:
        """Return the condition that a row is not deleted."""
        mark = column_of(table, self.mark)
        if self.flavour is Flavour.TIME:
            return mark.is_(None)
        if self.flavour is Flavour.FLAG:
            return mark == sa.false()
        return cast("ColumnElement[bool]", mark == self.empty(table))

    def is_dead(self, table: FromClause) -> ColumnElement[bool]:
        """Return the condition that a row is deleted."""
        mark = column_of(table, self.mark)
        if self.flavour is Flavour.TIME:
            return mark.is_not(None)
        if self.flavour is Flavour.FLAG:
            return mark == sa.true()
        return cast("ColumnElement[bool]", mark != self.empty(table))

    def empty(self, table: FromClause) -> Any:
        """Return what the mark of a living row holds, as it is written into a statement."""
        mark = column_of(table, self.mark)
        value = empty_key(mark)
        # as a part of the text: an index over living rows is of use only if the plan may rely on the value
        if isinstance(value, str):
            return sa.literal_column("''", mark.type)
        if isinstance(value, int):
            return sa.literal_column("0", mark.type)
        return sa.literal(value, mark.type)

    def removed(self, table: FromClause) -> dict[str, ColumnElement[Any]]:
        """Return what the columns of a row become when it is deleted."""
        values: dict[str, ColumnElement[Any]] = {}
        if self.flavour is Flavour.KEY:
            values[self.mark] = column_of(table, key_name(table, self))
        elif self.flavour is Flavour.FLAG:
            values[self.mark] = sa.true()
        if self.moment is not None:
            values[self.moment] = now_for(column_of(table, self.moment))
        return {**values, **_kept(table)}

    def restored(self, table: FromClause) -> dict[str, ColumnElement[Any]]:
        """Return what the columns of a row become when it lives again."""
        values: dict[str, ColumnElement[Any]] = {}
        if self.flavour is Flavour.KEY:
            values[self.mark] = self.empty(table)
        elif self.flavour is Flavour.FLAG:
            values[self.mark] = sa.false()
        if self.moment is not None:
            values[self.moment] = sa.null()
        return {**values, **_kept(table)}

    def is_marked(self, value: Any, column: Column[Any]) -> bool:
        """Return whether a value of the mark says that the row is deleted."""
        if self.flavour is Flavour.TIME:
            return value is not None
        if self.flavour is Flavour.FLAG:
            return bool(value)
        return value is not None and bool(value != empty_key(column))


def set_marking(table: Table, marking: Marking) -> None:
    """Let a table's rows be marked as deleted, and those that are be hidden."""
    table.info[_MARKING] = marking
    guard(table, Rule(RULE, marking.is_alive))
    set_removal(table, Removal(RULE, marking.removed, marking.restored))


def marking_of(table: Any) -> Marking | None:
    """Return how a table's rows are marked as deleted; None if they are not."""
    found: Marking | None = table.info.get(_MARKING) if isinstance(table, Table) else None
    return found


def key_name(table: FromClause, marking: Marking) -> str:
    """Return the name of the column whose value the mark of a deleted row holds.

    :raises InvalidModel: the primary key has more columns than one, or none.
    """
    if marking.key is not None:
        return marking.key
    keys = [column.name for column in table.primary_key]
    if len(keys) != 1:
        raise InvalidModel(
            f"the table {getattr(table, 'name', table)} marks a deleted row by its key, and its primary key has "
            f"{len(keys)} columns; name the one column that tells its rows apart with key=, or use the flavour 'time'"
        )
    return keys[0]


def empty_key(column: Column[Any]) -> Any:
    """Return the value of a key's type that stands for none: 0, an empty text, the nil UUID.

    :raises InvalidModel: the type has none.
    """
    kind: Any = column.type
    impl = getattr(kind, "impl_instance", kind)
    if isinstance(impl, sa.Integer) or isinstance(impl, sa.Numeric):
        return 0
    if isinstance(impl, sa.Uuid):
        return uuid.UUID(int=0) if impl.as_uuid else str(uuid.UUID(int=0))
    if isinstance(impl, sa.String):
        return ""
    if isinstance(impl, sa.LargeBinary):
        return b""
    raise InvalidModel(
        f"the column {column} marks a deleted row by its key, of type {kind!r}, which has no empty value; use the "
        "flavour 'time' or 'flag'"
    )


def now_for(column: Column[Any]) -> ColumnElement[Any]:
    """Return the present moment as a column's type stores it, read at each execution."""
    return sa.bindparam(None, callable_=_clock_of(column), type_=column.type, unique=True)


def moment_for(column: Column[Any]) -> Any:
    """Return the present moment as a column's type stores it."""
    return _clock_of(column)()


def _clock_of(column: Column[Any]) -> Any:
    kind: Any = column.type
    return utc_now if isinstance(kind, UtcDateTime) or getattr(kind, "timezone", False) else naive_utc_now


def _kept(table: FromClause) -> Mapping[str, ColumnElement[Any]]:
    """Return what dies or lives again with a row: its last change stays what it was, its version counts on."""
    kept: dict[str, ColumnElement[Any]] = {column.name: column for column in table.columns if is_change_time(column)}
    version = version_of(table) if isinstance(table, Table) else None
    if version is not None:
        kept[version.name] = version + 1
    return kept


def require_columns(table: Table, *names: str) -> None:
    """Refuse a table without these columns.

    :raises InvalidModel: it lacks one.
    """
    for name in names:
        if not has_column(table, name):
            raise InvalidModel(
                f"the table {table.name} has no column {name}, by which its deleted rows would be marked; declare it, "
                "or let soft_deletable(table, ...) add it"
            )
