"""Changing and deleting many rows in few statements, in blocking style."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import Column, ColumnElement, and_, bindparam, cast, delete, literal, select, tuple_, union_all, update

from dbkit.engines.connection import TrackedConnection
from dbkit.exceptions import UsageError
from dbkit.filters.options import blind_update
from dbkit.filters.tenants import refuse_foreign
from dbkit.queries.bulk.batches import Progress, Rows, Work, Written, alike, batch_of, in_batches
from dbkit.queries.bulk.grid import Row
from dbkit.queries.bulk.inserting import whole_table
from dbkit.queries.target import Target, is_computed, target_of


def updating(
    named: Any,
    rows: Iterable[Any],
    *,
    by: Sequence[Any] | None = None,
    columns: Sequence[Any] | None = None,
    batch: int,
    blind: bool = False,
    progress: Progress | None = None,
) -> Work:
    """Plan: change rows, each to values of its own, a batch with each step."""
    batch_of(batch)
    target = whole_table(target_of(named))
    made = Rows(target, columns)
    updater = Updater(target, by, blind)
    done = Written(way="UPDATE")
    for some in in_batches(rows, batch):
        named_rows = made.named(some)
        part: Written = yield partial(updater.update, rows=named_rows)
        done = _sum(done, part)
        if progress is not None:
            progress(done)
    return done


def deleting(
    named: Any,
    keys: Iterable[Any] | None = None,
    *,
    criterion: Any = None,
    batch: int,
    progress: Progress | None = None,
) -> Work:
    """Plan: delete rows, by their keys or by what they have in common, a batch with each step."""
    batch_of(batch)
    target = whole_table(target_of(named))
    if (keys is None) is (criterion is None):
        raise UsageError("delete_many() takes either the keys of the rows, or criterion=, which may be true()")
    deleter = Deleter(target)
    done = Written(way="DELETE")
    if keys is not None:
        for some in in_batches(keys, batch):
            known = [target.key_of(each) for each in some]
            part: Written = yield partial(deleter.delete, keys=known)
            done = _sum(done, part)
            if progress is not None:
                progress(done)
        return done
    last: Any = None
    while True:
        part, last = yield partial(deleter.delete_some, criterion=criterion, batch=batch, after=last)
        if last is None:
            return done
        done = _sum(done, part)
        if progress is not None:
            progress(done)


def _sum(done: Written, part: Written) -> Written:
    return replace(
        part,
        rows=done.rows + part.rows,
        updated=None if part.updated is None else (done.updated or 0) + part.updated,
        statements=done.statements + part.statements,
    )


class Updater:
    """Changes rows of one table, many with a statement.

    SQLite is in the same process, so that a prepared statement for each row costs no trip; elsewhere the rows are
    joined with a table of the new values.
    """

    def __init__(self, target: Target, by: Sequence[Any] | None, blind: bool) -> None:
        self._target = target
        primary = tuple(target.table.primary_key.columns)
        self._by = primary if by is None else tuple(target.column(name) for name in by)
        self._blind = blind

    def update(self, connection: TrackedConnection, rows: Sequence[Row]) -> Written:
        """Change rows; a row that is named twice becomes what was named last."""
        refuse_foreign(self._target.table, rows, connection.off)
        connection.driver_level  # noqa: B018 - the dialect knows its server from the first connection on
        count = statements = 0
        for run in alike(rows):
            for part in self._once_each(run):
                count += self._send(connection, part)
                statements += 1
        return Written(rows=count, updated=count, statements=statements, way="UPDATE")

    def _once_each(self, run: list[Row]) -> Iterable[list[Row]]:
        part: dict[tuple[Any, ...], Row] = {}
        for row in run:
            try:
                key = tuple(row[str(column.key)] for column in self._by)
            except KeyError as missing:
                raise UsageError(f"each row to be changed needs {missing.args[0]!r}, by which it is found") from None
            if key in part:
                yield list(part.values())
                part = {}
            part[key] = row
        yield list(part.values())

    def _send(self, connection: TrackedConnection, rows: list[Row]) -> int:
        table, version = self._target.table, self._target.version
        keys = [str(column.key) for column in self._by]
        if version is not None and version.key in rows[0] and version.key not in keys:
            keys.append(str(version.key))  # the row is changed if it is as it was seen
        names = [key for key in rows[0] if key not in keys]
        if not names:
            raise UsageError(f"nothing was given that the rows of {self._target.name} should become")
        if any(is_computed(value) for value in rows[0].values()) or connection.dialect.name == "sqlite":
            return self._one_by_one(connection, rows, keys, names)
        new = self._new_values(connection, rows, [*keys, *names])
        statement = update(table).values({name: new.c[f"new_{name}"] for name in names})
        statement = statement.where(*(table.columns[key] == new.c[f"new_{key}"] for key in keys))
        return int(connection.execute(self._marked(statement)).rowcount)

    def _one_by_one(self, connection: TrackedConnection, rows: list[Row], keys: list[str], names: list[str]) -> int:
        columns = self._target.table.columns
        statement = update(self._target.table)
        statement = statement.where(*(columns[key] == bindparam(f"key_{key}", type_=columns[key].type) for key in keys))
        if any(is_computed(value) for value in rows[0].values()):
            found = connection.execute(
                self._marked(statement.values({name: rows[0][name] for name in names})),
                {f"key_{key}": rows[0][key] for key in keys},
            )
            return int(found.rowcount)
        statement = statement.values({name: bindparam(f"new_{name}", type_=columns[name].type) for name in names})
        sent = [
            {**{f"key_{key}": row[key] for key in keys}, **{f"new_{name}": row[name] for name in names}} for row in rows
        ]
        return int(connection.execute(self._marked(statement), sent).rowcount)

    def _marked(self, statement: Any) -> Any:
        return statement.options(blind_update()) if self._blind else statement

    def _new_values(self, connection: TrackedConnection, rows: list[Row], keys: list[str]) -> Any:
        """Return the new values as a table of their own."""
        columns = self._target.table.columns
        selects = []
        for number, row in enumerate(rows):
            values: list[ColumnElement[Any]] = []
            for key in keys:
                value: ColumnElement[Any] = literal(row[key], columns[key].type)
                if connection.dialect.name == "postgresql" and not number:
                    value = cast(value, columns[key].type)
                values.append(value if number else value.label(f"new_{key}"))
            selects.append(select(*values))
        found = union_all(*selects) if len(selects) > 1 else selects[0]
        return found.subquery("dbkit_new")


class Deleter:
    """Deletes rows of one table, many with a statement; they are marked where the table says so."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._keys: tuple[Column[Any], ...] = tuple(target.table.primary_key.columns)

    def delete(self, connection: TrackedConnection, keys: Sequence[tuple[Any, ...]]) -> Written:
        """Delete the rows with these primary keys."""
        if not keys:
            return Written(way="DELETE")
        count = connection.execute(delete(self._target.table).where(self._among(keys))).rowcount
        return Written(rows=int(count), statements=1, way="DELETE")

    def delete_some(
        self, connection: TrackedConnection, criterion: Any, batch: int, after: tuple[Any, ...] | None
    ) -> tuple[Written, tuple[Any, ...] | None]:
        """Delete the first so many rows that meet a criterion, behind a key; return the last key, None if all are done.

        In the order of the key, so that rows that somebody adds meanwhile do not keep it going for ever.
        """
        wanted = select(*self._keys).where(criterion).order_by(*self._keys).limit(batch)
        if after is not None:
            wanted = wanted.where(self._behind(after))
        found = [tuple(row) for row in connection.execute(wanted)]
        if not found:
            return Written(way="DELETE"), None
        statement = delete(self._target.table).where(self._among(found), criterion)
        count = connection.execute(statement).rowcount
        return Written(rows=int(count), statements=2, way="DELETE"), found[-1]

    def _among(self, keys: Sequence[tuple[Any, ...]]) -> ColumnElement[bool]:
        if len(self._keys) == 1:
            return self._keys[0].in_([key[0] for key in keys])
        return tuple_(*self._keys).in_(keys)

    def _behind(self, key: tuple[Any, ...]) -> ColumnElement[bool]:
        found: ColumnElement[bool] = self._keys[-1] > key[-1]
        for column, value in zip(self._keys[-2::-1], key[-2::-1], strict=True):
            found = (column > value) | and_(column == value, found)
        return found
