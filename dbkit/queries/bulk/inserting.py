"""Inserting many rows: by COPY where that is honest, else by INSERT; in blocking style."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import insert

from dbkit.engines.connection import TrackedConnection
from dbkit.exceptions import UsageError
from dbkit.filters.tenants import refuse_foreign
from dbkit.queries.bulk.batches import Progress, Rows, Work, Written, batch_of, in_batches
from dbkit.queries.bulk.copying import (
    Unwritable,
    copy,
    reason_against_columns,
    reason_against_driver,
    reason_against_table,
)
from dbkit.queries.bulk.grid import Grid
from dbkit.queries.target import Target, target_of


def inserting(
    named: Any,
    rows: Iterable[Any],
    *,
    columns: Sequence[Any] | None = None,
    batch: int,
    returning: bool = False,
    progress: Progress | None = None,
) -> Work:
    """Plan: insert rows, a batch with each step."""
    batch_of(batch)
    target = whole_table(target_of(named))
    made = Rows(target, columns)
    inserter = Inserter(target, returning)
    done = Written(way="INSERT")
    for some in in_batches(rows, batch):
        part: Written = yield partial(inserter.insert, grids=made.grids(some))
        told = done if part.reason is None and done.reason is not None else part
        done = replace(
            told,
            rows=done.rows + part.rows,
            inserted=done.rows + part.rows,
            updated=0,
            statements=done.statements + part.statements,
            keys=(*done.keys, *part.keys) if returning else (),
        )
        if progress is not None:
            progress(done)
    return done


def whole_table(target: Target) -> Target:
    """Return the target, if a row of its table is all of an object.

    :raises UsageError: its class is spread over several tables.
    """
    if target.mapper is not None and len(target.mapper.tables) > 1:
        raise UsageError(
            f"{target.name} is mapped to several tables, and these functions write one: give the tables one by one"
        )
    return target


class Inserter:
    """Inserts rows into one table, as fast as is honest."""

    def __init__(self, target: Target, returning: bool) -> None:
        self._target = target
        self._returning = returning
        self._known: dict[tuple[str, ...], str | None] = {}
        self._against: dict[tuple[str, ...], str | None] = {}

    def insert(self, connection: TrackedConnection, grids: Sequence[Grid]) -> Written:
        """Insert rows, in their order."""
        for grid in grids:
            refuse_foreign(self._target.table, grid, connection.off)
        connection.driver_level  # noqa: B018 - the dialect knows its server from the first connection on
        keys: list[Any] = []
        way, reason, count = "COPY", None, 0
        for given in grids:
            grid = self._complete(given)
            count += 1
            why = self._reason(connection, grid)
            if why is None:
                try:
                    copy(connection, self._target, grid)
                    continue
                except Unwritable as value:
                    why = str(value)
            way, reason = "INSERT", why
            keys += self._execute(connection, grid)
        return Written(rows=sum(map(len, grids)), statements=count, keys=keys, way=way, reason=reason)

    def _complete(self, grid: Grid) -> Grid:
        """Fill in what the unit of work would: the first version, and the identity of a class among others."""
        target = self._target
        filled: dict[str, Any] = {}
        version, mapper = target.version, target.mapper
        if version is not None and version.default is None and version.server_default is None:
            generator = None if mapper is None else mapper.version_id_generator
            if generator is not False:
                filled[str(version.key)] = generator(None) if callable(generator) else 1
        if mapper is not None and mapper.polymorphic_on is not None and mapper.polymorphic_identity is not None:
            filled[str(getattr(mapper.polymorphic_on, "key", ""))] = mapper.polymorphic_identity
        return grid.filled({key: [value] * len(grid) for key, value in filled.items()}) if filled else grid

    def _reason(self, connection: TrackedConnection, grid: Grid) -> str | None:
        if self._returning:
            return "the keys were asked for, which COPY does not return"
        if grid.is_computed:
            return "a value is an SQL expression"
        given = grid.keys
        if given not in self._known:
            self._known[given] = reason_against_driver(connection) or reason_against_columns(
                connection.dialect, self._target, given
            )
        why = self._known[given]
        if why is not None:
            return why
        if given not in self._against or not connection.used:
            self._against[given] = reason_against_table(connection, self._target, given)
        return self._against[given]

    def _execute(self, connection: TrackedConnection, grid: Grid) -> list[Any]:
        table, run = self._target.table, grid.rows
        if grid.is_computed:
            result = connection.execute(insert(table).values(run[0]))
            return [self._target.told(tuple(result.inserted_primary_key))] if self._returning else []
        if not self._returning:
            connection.execute(insert(table), run)
            return []
        keys = tuple(table.primary_key.columns)
        if all(column.key in run[0] for column in keys):
            connection.execute(insert(table), run)
            return [self._target.told(tuple(row[str(column.key)] for column in keys)) for row in run]
        if connection.dialect.insert_executemany_returning_sort_by_parameter_order:
            statement = insert(table).returning(*keys, sort_by_parameter_order=True)
            return [self._target.told(tuple(row)) for row in connection.execute(statement, run)]
        found = []
        for row in run:
            primary: Any = connection.execute(insert(table).values(row)).inserted_primary_key
            found.append(self._target.told(tuple(primary)))
        return found
