"""The statement that changes a counter, in blocking style."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, ColumnElement, func, select
from sqlalchemy.orm.attributes import QueryableAttribute, set_committed_value

from dbkit.exceptions import LimitReached, StaleRow, UsageError
from dbkit.queries.target import Target, target_of
from dbkit.queries.where import transaction_of
from dbkit.transaction.stale import Row, Sight, locks_to_see
from dbkit.transaction.transaction import Transaction

_HALF = 2**63


class Counter:
    """A column that is counted up and down.

    :param named: an attribute of a mapped class, or a column.
    :param minimum: no statement leaves it lower.
    :param maximum: no statement leaves it higher.
    :raises UsageError: it is neither, or no column of numbers that may be changed here.
    """

    def __init__(self, named: Any, minimum: Any = None, maximum: Any = None) -> None:
        self.target, self.column = _found(named)
        self.minimum = minimum
        self.maximum = maximum

    def add(self, transaction: Transaction, key: tuple[Any, ...], by: Any, least: Any = None, most: Any = None) -> Any:
        """Add to the counter of a row with one statement; return its new value.

        :param least: what is subtracted on the way at most, and must not lead below the minimum; None: by.
        :param most: what is added on the way at most, and must not lead above the maximum; None: by.
        :raises LimitReached: it would leave its bounds.
        :raises StaleRow: there is no such row, or it is marked as deleted.
        """
        target, column = self.target, self.column
        connection = transaction.connect()
        connection.driver_level  # noqa: B018 - the dialect knows its server from the first connection on
        dialect = connection.dialect
        criteria = target.is_row(key)
        if column.nullable:
            criteria.append(column.is_not(None))
        if self.minimum is not None:
            criteria.append(column >= self.minimum - (by if least is None else least))
        if self.maximum is not None:
            criteria.append(column <= self.maximum - (by if most is None else most))
        changed: ColumnElement[Any] = column + by
        by_insert_id = dialect.name in ("mysql", "mariadb") and isinstance(column.type, sa.Integer)
        values: Mapping[Any, Any] = {
            # LAST_INSERT_ID() is unsigned, whatever it is given
            column: sa.cast(func.last_insert_id(changed), sa.Integer) if by_insert_id else changed,
            **target.bump(),
        }
        statement = target.table.update().where(*criteria).values(values)
        if dialect.update_returning:
            value = connection.execute(statement.returning(column)).scalar_one_or_none()
            if value is None:
                raise self._refusal(transaction, key)
        else:
            result = connection.execute(statement)
            if not result.rowcount:
                raise self._refusal(transaction, key)
            if by_insert_id:
                value = _signed(result.lastrowid)
            else:
                value = connection.execute(select(column).where(*target.is_row(key))).scalar_one()
        self._show(transaction, key, value)
        return value

    def _refusal(self, transaction: Transaction, key: tuple[Any, ...]) -> LimitReached | StaleRow:
        target, connection = self.target, transaction.connect()
        sight = Sight(target.table, target.version, locks=locks_to_see(connection))
        row = next(iter(sight.look(connection, target.is_row(key))), None)
        told = target.told(key)
        if row is None or not row.is_alive:
            return sight.conflict(row, told, None, {}, transient=False)
        return self._limit(row, told)

    def _limit(self, row: Row, key: Any) -> LimitReached | StaleRow:
        name, current = f"{self.target.table.name}.{self.column.name}", row.values[self.column.key]
        if current is None:
            return StaleRow(
                key=key,
                table=self.target.table.name,
                columns=[self.column.name],
                transient=False,
                message=f"the counter {name} of the row is NULL, to which nothing can be added; let it begin with 0",
            )
        return LimitReached(
            key=key,
            current=current,
            minimum=self.minimum,
            maximum=self.maximum,
            table=self.target.table.name,
            columns=[self.column.name],
            message=f"the counter {name} would leave its bounds; {LimitReached.advice}",
        )

    def _show(self, transaction: Transaction, key: tuple[Any, ...], value: Any) -> None:
        """Let the object that stands for the row have the counter's value, and count its version up.

        An object that was stale before stays so: its version was not the row's then, and is not now.
        """
        target, session = self.target, transaction.session
        if target.mapper is None or session is None:
            return
        held = session.identity_map.get(target.mapper.identity_key_from_primary_key(key))
        name = target.attribute(self.column)
        if held is None or name is None:
            return
        set_committed_value(held, name, value)
        version = None if target.version is None or not target.counts else target.attribute(target.version)
        if version is not None and held.__dict__.get(version) is not None:
            set_committed_value(held, version, held.__dict__[version] + 1)


def increment_one(where: Any, named: Any, key: Any, by: Any, minimum: Any, maximum: Any) -> Any:
    """Change the counter of a row; return its new value."""
    counter = Counter(named, minimum, maximum)
    return counter.add(transaction_of(where), counter.target.key_of(key), by)


def _found(named: Any) -> tuple[Target, Column[Any]]:
    if isinstance(named, Column) and isinstance(named.table, sa.Table):
        target = target_of(named.table)
    elif isinstance(named, QueryableAttribute) and hasattr(named, "class_"):
        target = target_of(named.class_)
    else:
        raise UsageError("a counter is an attribute of a mapped class, such as Item.stock, or a column of a table")
    column = target.column(named)
    if not isinstance(column.type, sa.Numeric | sa.Integer) or column.primary_key or column is target.version:
        raise UsageError(f"{column.name!r} of {target.name} is no column of numbers that may be counted up")
    return target, column


def _signed(number: int) -> int:
    """Return what the server meant: LAST_INSERT_ID() is told without its sign."""
    return number - 2 * _HALF if number >= _HALF else number
