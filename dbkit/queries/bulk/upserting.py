"""Inserting rows, or changing those that are there already, with one statement for many; each product in its way.

PostgreSQL and SQLite are told which key decides. MySQL and MariaDB take any unique key of the table; a row that another
key could catch is refused, because it would change a row that nobody meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import Column, case, func, inspect, literal, literal_column, select, tuple_
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.sql.visitors import iterate

from dbkit.engines.connection import TrackedConnection
from dbkit.exceptions import UsageError
from dbkit.filters.conflicts import counted_hits, counting_from_zero, counting_hit
from dbkit.filters.marks import inherited_rules, rules_of
from dbkit.filters.options import without
from dbkit.filters.tenants import refuse_foreign
from dbkit.queries.bulk.batches import Progress, Rows, Work, Written, alike, batch_of, in_batches
from dbkit.queries.bulk.grid import Row
from dbkit.queries.bulk.inserting import whole_table
from dbkit.queries.target import Target, is_computed, target_of

_MOST_PARAMETERS = 30_000

Sent = tuple[int | None, int | None, list[Any], int]
"""How many rows a statement has inserted and updated, their keys, and how many rows it has touched."""


def upserting(
    named: Any,
    rows: Iterable[Any],
    *,
    conflict: Sequence[Any] | None = None,
    update: Sequence[Any] | None = None,
    only_if: Any = None,
    columns: Sequence[Any] | None = None,
    batch: int,
    returning: bool = False,
    progress: Progress | None = None,
) -> Work:
    """Plan: insert or change rows, a batch with each step."""
    batch_of(batch)
    target = whole_table(target_of(named))
    made = Rows(target, columns)
    upserter = Upserter(target, conflict, update, only_if, returning)
    done = Written(inserted=0, updated=0, way="INSERT")
    for some in in_batches(rows, batch):
        named_rows = made.named(some)
        part: Written = yield partial(upserter.upsert, rows=named_rows)
        done = replace(
            part,
            rows=done.rows + part.rows,
            inserted=_plus(done.inserted, part.inserted),
            updated=_plus(done.updated, part.updated),
            statements=done.statements + part.statements,
            keys=(*done.keys, *part.keys),
        )
        if progress is not None:
            progress(done)
    return done


def _plus(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


class Upserter:
    """Inserts or changes rows of one table."""

    def __init__(self, target: Target, conflict: Any, update: Any, only_if: Any, returning: bool) -> None:
        self._target = target
        primary = tuple(target.table.primary_key.columns)
        self._conflict = primary if conflict is None else tuple(target.column(name) for name in conflict)
        self._update = None if update is None else [target.column(name) for name in update]
        self._only_if = only_if
        self._returning = returning
        self._others: list[tuple[str, ...]] | None = None

    def upsert(self, connection: TrackedConnection, rows: Sequence[Row]) -> Written:
        """Insert or change rows, as if each came after the other."""
        refuse_foreign(self._target.table, rows, connection.off)
        connection.driver_level  # noqa: B018 - the dialect knows its server from the first connection on
        inserted: int | None = 0
        updated: int | None = 0
        keys: list[Any] = []
        count = statements = 0
        for run in alike(rows):
            for part in self._once_each(run):
                new, changed, found, touched = self._send(connection, part)
                inserted, updated = _plus(inserted, new), _plus(updated, changed)
                keys += found
                count += touched
                statements += 1
        return Written(count, inserted, updated, statements, keys, "INSERT")

    def _once_each(self, run: list[Row]) -> Iterable[list[Row]]:
        """Yield runs in which no key is named twice: one statement changes a row once."""
        most = max(1, _MOST_PARAMETERS // max(1, len(self._target.table.columns)))
        part: dict[tuple[Any, ...], Row] = {}
        for row in run:
            key = self._key(row)
            if key in part or len(part) >= most:
                yield list(part.values())
                part = {}
            part[key] = row
        yield list(part.values())

    def _key(self, row: Row) -> tuple[Any, ...]:
        try:
            return tuple(row[str(column.key)] for column in self._conflict)
        except KeyError as missing:
            raise UsageError(
                f"each row needs a value for {missing.args[0]!r}, which decides whether it is there already"
            ) from None

    # -- what becomes of a row that is there -----------------------------------------------------------------------

    def _changes(self, rows: list[Row], excluded: Any) -> dict[str, Any]:
        """Return what the columns become of a row that is there already, by their keys."""
        table, version = self._target.table, self._target.version
        given = set(rows[0])
        decides = {column.key for column in self._conflict}
        if self._update is None:
            chosen = [column for column in table.columns if column.key in given - decides and not column.primary_key]
        else:
            chosen = self._update
        found: dict[str, Any] = {
            str(column.key): excluded[column.key] for column in chosen if version is None or column is not version
        }
        if not found:
            return {}
        for column in table.columns:
            default: Any = column.onupdate
            if column.key in found or default is None:
                continue
            if default.is_scalar:
                found[str(column.key)] = literal(default.arg, column.type)
            elif default.is_callable:
                found[str(column.key)] = literal(default.arg(None), column.type)
            else:
                found[str(column.key)] = default.arg
        found |= {str(column.key): value for column, value in self._target.bump().items()}
        return found

    # -- products --------------------------------------------------------------------------------------------------

    def _send(self, connection: TrackedConnection, rows: list[Row]) -> Sent:
        """Send one statement; return how many were inserted and updated, the keys, and how many rows were touched."""
        name = connection.dialect.name
        if name == "postgresql":
            return self._on_postgresql(connection, rows)
        if name == "sqlite":
            return self._on_sqlite(connection, rows)
        if name in ("mysql", "mariadb"):
            return self._on_mysql(connection, rows)
        raise UsageError(f"nothing is known of how {name} inserts a row or changes it; upsert() cannot do it there")

    def _conflicting(self, statement: Any, rows: list[Row]) -> Any:
        changed = self._changes(rows, statement.excluded)
        elements = list(self._conflict)
        if not changed:
            return statement.on_conflict_do_nothing(index_elements=elements)
        return statement.on_conflict_do_update(index_elements=elements, set_=changed, where=self._only_if)

    @staticmethod
    def _executed(connection: TrackedConnection, statement: Any, rows: list[Row]) -> Sequence[Any]:
        computed = any(is_computed(value) for value in rows[0].values())
        result: Any = connection.execute(statement.values(rows[0])) if computed else connection.execute(statement, rows)
        found: Sequence[Any] = result.all()
        return found

    def _primary(self) -> tuple[Column[Any], ...]:
        return tuple(self._target.table.primary_key.columns)

    def _on_postgresql(self, connection: TrackedConnection, rows: list[Row]) -> Sent:
        statement = self._conflicting(postgresql.insert(self._target.table), rows)
        # a row that this statement has inserted has never been locked or replaced
        is_new: Any = literal_column("(xmax = 0)").label("dbkit_is_new")
        found = self._executed(connection, statement.returning(*self._primary(), is_new), rows)
        new = sum(1 for row in found if row[-1])
        keys = [self._target.told(tuple(row[:-1])) for row in found] if self._returning else []
        return new, len(found) - new, keys, len(found)

    def _on_sqlite(self, connection: TrackedConnection, rows: list[Row]) -> Sent:
        # a writer has the database for itself, so that nothing comes between the look and the statement
        there = self._there(connection, rows)
        statement = self._conflicting(sqlite.insert(self._target.table), rows)
        found = self._executed(connection, statement.returning(*self._primary()), rows)
        new = len(rows) - there
        keys = [self._target.told(tuple(row)) for row in found] if self._returning else []
        return new, len(found) - new, keys, len(found)

    def _on_mysql(self, connection: TrackedConnection, rows: list[Row]) -> Sent:
        table = self._target.table
        self._refuse_other_keys(connection, rows)
        first = str(self._conflict[0].key)
        value = rows[0][first]
        given = value if is_computed(value) else literal(value, self._conflict[0].type)
        statement = mysql.insert(table).values([{**rows[0], first: counting_from_zero(given)}, *rows[1:]])
        changed = self._changes(rows, statement.inserted)
        changes: dict[str, Any] = dict(changed)
        if not changed and self._target.version is not None:
            changes[str(self._target.version.key)] = self._target.version  # what is there stays, its version too
        if changed and self._only_if is not None:
            self._refuse_several_looked_at(changed)
            changes = {key: case((self._only_if, value), else_=table.columns[key]) for key, value in changed.items()}
        # MySQL assigns from left to right, and what is assigned counts at once
        changes = dict(sorted(changes.items(), key=self._is_looked_at))
        counter = self._conflict[0]
        changes = {first: counter, **changes}
        changes[first] = counting_hit(counter, changes[first])
        statement = statement.on_duplicate_key_update(list(changes.items()))
        affected = int(connection.execute(statement).rowcount)
        hits = int(connection.execute(counted_hits()).scalar_one())
        keys: list[Any] = []
        if self._returning:
            asked = select(*self._primary()).where(self._is_one_of(rows))
            keys = [self._target.told(tuple(row)) for row in connection.execute(asked)]
        # 1 for a row that is new or stays as it is, 2 for one that is changed: as many as there are 2s were changed
        new, updated = len(rows) - hits, affected - len(rows)
        return new, updated, keys, new + updated

    def _is_looked_at(self, item: tuple[str, Any]) -> bool:
        """Return whether ``only_if`` looks at a column."""
        if self._only_if is None:
            return False
        name = self._target.table.columns[item[0]].name
        return any(isinstance(each, Column) and each.name == name for each in iterate(self._only_if))

    def _refuse_several_looked_at(self, changed: Mapping[str, Any]) -> None:
        names = [name for name in changed if self._is_looked_at((name, None))]
        if len(names) > 1:
            raise UsageError(
                f"only_if looks at {', '.join(names)}, which the upsert changes; MySQL and MariaDB would look again "
                "after changing the first of them; let only_if look at one of the changed columns at most"
            )

    def _is_one_of(self, rows: list[Row]) -> Any:
        keys = [self._key(row) for row in rows]
        if len(self._conflict) == 1:
            return self._conflict[0].in_([key[0] for key in keys])
        return tuple_(*self._conflict).in_(keys)

    def _there(self, connection: TrackedConnection, rows: list[Row]) -> int:
        """Return how many of the rows are there, hidden ones too."""
        statement = select(func.count()).select_from(self._target.table).where(self._is_one_of(rows))
        return int(connection.execute(look_past_rules(self._target, statement)).scalar_one())

    def _refuse_other_keys(self, connection: TrackedConnection, rows: list[Row]) -> None:
        if self._others is None:
            decides = {column.name for column in self._conflict}
            self._others = [key for key in unique_keys(connection, self._target) if set(key) != decides]
        names = {column.name: str(column.key) for column in self._target.table.columns}
        for key in self._others:
            if all(_may_match(self._target, names[name], rows) for name in key if name in names):
                raise UsageError(
                    f"MySQL and MariaDB change the row that any unique key finds, and {self._target.table.name} has "
                    f"another one than the one that shall decide: ({', '.join(key)}); a row that has it could "
                    "overwrite one that is not meant: leave one of these columns out, or look for the rows first"
                )


def look_past_rules(target: Target, statement: Any) -> Any:
    """Return a statement that sees the rows that rules hide."""
    names = {each.name for each in (*rules_of(target.table), *inherited_rules(target.table))}
    return statement.options(without(*names)) if names else statement


def _may_match(target: Target, key: str, rows: list[Row]) -> bool:
    """Return whether a column may have the value of a row that is there already."""
    column = target.table.columns[key]
    if key in rows[0]:
        return any(row[key] is not None for row in rows)
    if column.default is not None or column.server_default is not None:
        return True
    return column.computed is not None


def unique_keys(connection: TrackedConnection, target: Target) -> set[tuple[str, ...]]:
    """Return the columns of each unique key that the table has, as the database itself knows them."""
    table = target.table
    looking = inspect(connection)
    found = {tuple(looking.get_pk_constraint(str(table.name), table.schema)["constrained_columns"])}
    for index in looking.get_indexes(str(table.name), table.schema):
        if index["unique"]:
            found.add(tuple(name for name in index["column_names"] if name is not None))
    return {each for each in found if each}


__all__ = ["Upserter", "upserting"]
