"""What has become of a row that is not any more as somebody has seen it: one SELECT tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Column, ColumnElement, Connection, Select, Table, literal, select, true
from sqlalchemy.orm import InstanceState, Mapper
from sqlalchemy.orm.base import NO_VALUE

from dbkit.exceptions import Staleness, StaleRow
from dbkit.filters.marks import removal_of, rules_of, version_of
from dbkit.filters.options import without

_ALIVE = "dbkit_alive"


def version_column(table: Table, mapper: Mapper[Any] | None = None) -> Column[Any] | None:
    """Return the column that tells one state of a row from the next; None if the table has none."""
    column: Any = None if mapper is None else mapper.version_id_col
    return column if isinstance(column, Column) else version_of(table)


def loaded_value(state: InstanceState[Any], name: str) -> Any:
    """Return what an attribute was when it was loaded; what it was set to, if it never was; None for neither."""
    now = state.dict.get(name)
    before = state.committed_state.get(name, now)
    return now if before is NO_VALUE else before


class Executing(Protocol):
    """What a look needs of a connection."""

    def execute(self, statement: Any) -> Any:
        """Execute a statement."""


class Sight:
    """How a row of a table is looked at when it was not found as it should be.

    :param locks: ``"read"`` or ``"write"``: for a database whose transactions go on seeing what they have seen, such as
        InnoDB's; a row that is locked is read as it is now.
    """

    def __init__(self, table: Table, version: Column[Any] | None, *, locks: str | None = None) -> None:
        self.table = table
        self.version = version
        self._locks = locks

    def _statement(self, criteria: Sequence[ColumnElement[bool]]) -> Select[Any]:
        removal = removal_of(self.table)
        alive: ColumnElement[Any] = true()
        for rule in rules_of(self.table):
            if removal is not None and rule.name == removal.rule:
                alive = rule.criterion(self.table)
        labelled = literal(1).label(_ALIVE) if removal is None else alive.label(_ALIVE)
        statement = select(*self.table.columns, labelled).where(*criteria)
        if removal is not None:
            statement = statement.options(without(removal.rule))
        if self._locks is not None:
            statement = statement.with_for_update(read=self._locks == "read")
        return statement

    def look(self, connection: Executing, criteria: Sequence[ColumnElement[bool]]) -> list[Row]:
        """Return the rows that meet the criteria, those among them that are marked as deleted."""
        found = connection.execute(self._statement(criteria)).mappings().all()
        columns = self.table.columns
        return [Row({each.key: row[each] for each in columns}, bool(row[_ALIVE])) for row in found]

    def conflict(self, row: Row | None, key: Any, expected: Any, seen: Mapping[str, Any], **fields: Any) -> StaleRow:
        """Return the error for a row that was found like this.

        :param seen: the values, by the names of columns, that the caller has seen.
        """
        name = self.table.name
        if row is None:
            text = f"{name} has no such row any more, or its rules hide it"
            return StaleRow(Staleness.MISSING, key=key, expected=expected, table=name, message=_said(text), **fields)
        current = None if self.version is None else row.values[self.version.key]
        if not row.is_alive:
            text = f"the row of {name} is marked as deleted"
            reason, changed = Staleness.DELETED, []
        else:
            changed = changes(seen, row.values)
            what = f" ({', '.join(changed)})" if changed else ""
            text = f"the row of {name} was changed{what} by somebody else since it was read"
            reason = Staleness.STALE
        fields = {"key": key, "expected": expected, "current": current, "changed": changed, "table": name, **fields}
        return StaleRow(reason, message=_said(text), **fields)


class Row:
    """A row as it was found."""

    __slots__ = ("is_alive", "values")

    def __init__(self, values: Mapping[str, Any], is_alive: bool) -> None:
        self.values = values
        self.is_alive = is_alive


def changes(seen: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Return the names of the columns whose values are not those that were seen."""
    return [name for name, value in seen.items() if name in found and found[name] != value]


def locks_to_see(connection: Connection, *, for_update: bool = False) -> str | None:
    """Return how a row must be locked to be seen as it is now, and not as it was when the transaction began."""
    if connection.dialect.name not in ("mysql", "mariadb"):
        return None
    return "write" if for_update else "read"


def _said(text: str) -> str:
    return f"{text}; {StaleRow.advice}"
