"""Unique among the living: what a deleted row held may be taken again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import DDL, Connection, Index, Table, UniqueConstraint, event
from sqlalchemy.schema import SchemaItem

from dbkit.exceptions import InvalidModel
from dbkit.models.columns import column_of
from dbkit.models.marking import Flavour, Marking, marking_of
from dbkit.models.naming import shortened

_WAITING = "dbkit.unique_alive"
_UNIQUE = "dbkit.unique_among_living"
_PARTIAL: Any = ("postgresql", "sqlite")
_GENERATED: Any = ("mysql", "mariadb")


class UniqueAlive(SchemaItem):
    """For ``__table_args__`` or a Table: no two living rows have the same values in these columns.

    * Of the flavour ``"key"`` it is a unique constraint over the columns and the mark.
    * Otherwise it is a unique index over the living rows on PostgreSQL and SQLite; on MySQL and MariaDB, which have
      none of the kind, one over the columns and a generated column that is NULL in a deleted row, made right after the
      table.

    :param name: of the constraint or index; made from the table and the columns if it is not given.

    .. versionadded:: 0.1
    """

    __visit_name__ = "unique_alive"

    def __init__(self, *columns: str, name: str | None = None) -> None:
        if not columns:
            raise InvalidModel("UniqueAlive() needs the names of columns")
        self.columns = columns
        self.name = name

    def _set_parent(self, parent: Any, **kw: Any) -> None:
        waiting: list[UniqueAlive] = parent.info.setdefault(_WAITING, [])
        waiting.append(self)
        if marking_of(parent) is not None:
            complete_waiting(parent)

    def put_on(self, table: Table) -> None:
        """Put the constraint or the index on a table that is marked."""
        unique_among_living(table, *self.columns, name=self.name)


def unique_among_living(table: Table, *columns: str, name: str | None = None) -> Table:
    """Do what :class:`UniqueAlive` does, for a table that is there already and is marked.

    :raises InvalidModel: its rows are not marked when they are deleted, or it has no such column.

    .. versionadded:: 0.1
    """
    marking = _marking(table)
    held = [column_of(table, each) for each in columns]
    chosen = name or _name(table.name, columns)
    table.info[_UNIQUE] = (*table.info.get(_UNIQUE, ()), (chosen, tuple(columns)))
    if marking.flavour is Flavour.KEY:
        UniqueConstraint(*held, column_of(table, marking.mark), name=chosen)
        return table
    partial = marking.is_alive(table)
    index = Index(chosen, *held, unique=True, postgresql_where=partial, sqlite_where=partial)
    index.ddl_if(dialect=_PARTIAL)
    # not a column of the Table, which would be one on every backend
    for ddl in _additions(table.name, columns, marking, chosen, table.schema):
        event.listen(table, "after_create", _ddl(ddl).execute_if(dialect=_GENERATED))
    return table


def living_keys(table: Table) -> list[tuple[str, tuple[str, ...]]]:
    """Return what is unique among the living rows of a table: the name of each constraint and its columns."""
    found: list[tuple[str, tuple[str, ...]]] = list(table.info.get(_UNIQUE, ()))
    marking = marking_of(table)
    known = {columns for _, columns in found}
    for each in table.constraints:  # oslo.db's way to say the same
        if marking is not None and marking.flavour is Flavour.KEY and isinstance(each, UniqueConstraint):
            names = [column.name for column in each.columns]
            rest = tuple(name for name in names if name != marking.mark)
            if marking.mark in names and rest not in known:
                found.append((str(each.name or "_".join(names)), rest))
    return found


def complete_waiting(table: Table) -> None:
    """Put on a table what its arguments asked for before it was marked."""
    for each in table.info.pop(_WAITING, ()):
        each.put_on(table)


def create_unique_alive(connection: Connection, table: Table, *columns: str, name: str | None = None) -> None:
    """Let an existing table be unique among its living rows.

    In a migration: ``create_unique_alive(op.get_bind(), table, "name")``.

    :param table: the model's table, or one with the columns that matter, on which ``soft_deletable`` was called.
    :raises DBDuplicateEntry: two living rows have the same values.

    .. versionadded:: 0.1
    """
    marking = _marking(table)
    chosen = name or _name(table.name, columns)
    if marking.flavour is not Flavour.KEY and connection.dialect.name in _GENERATED:
        for statement in _additions(table.name, columns, marking, chosen, table.schema):
            connection.execute(_ddl(statement))
        return
    copy = table.to_metadata(sa.MetaData())
    held = [column_of(copy, each) for each in columns]
    if marking.flavour is Flavour.KEY:
        index = Index(f"{chosen}", *held, column_of(copy, marking.mark), unique=True)
    else:
        alive = marking.is_alive(copy)
        index = Index(chosen, *held, unique=True, postgresql_where=alive, sqlite_where=alive)
    index.create(connection)


def drop_unique_alive(connection: Connection, table: Table, *columns: str, name: str | None = None) -> None:
    """Undo :func:`create_unique_alive`.

    .. versionadded:: 0.1
    """
    marking = _marking(table)
    chosen = name or _name(table.name, columns)
    if connection.dialect.name in _GENERATED:
        place = _quoted(table.name, table.schema)
        also = "" if marking.flavour is Flavour.KEY else f", DROP COLUMN {_quoted(_generated_name(chosen))}"
        connection.execute(_ddl(f"ALTER TABLE {place} DROP INDEX {_quoted(chosen)}{also}"))
        return
    copy = table.to_metadata(sa.MetaData())
    Index(chosen, *(column_of(copy, each) for each in columns)).drop(connection)


def _marking(table: Table) -> Marking:
    marking = marking_of(table)
    if marking is None:
        raise InvalidModel(
            f"the rows of the table {table.name} are not marked when they are deleted, so that it has no living ones; "
            "use a mixin of soft delete or soft_deletable(table, ...), or a plain UniqueConstraint"
        )
    return marking


def _name(table: str, columns: Sequence[str]) -> str:
    return shortened("_".join(("uq", table, *columns, "alive")))


def _generated_name(index: str) -> str:
    return shortened(f"{index}_is")


def _additions(table: str, columns: Sequence[str], marking: Marking, name: str, schema: str | None) -> tuple[str, ...]:
    """Return the statements that make the generated column and its index on MySQL and MariaDB."""
    mark, generated = _quoted(marking.mark), _quoted(_generated_name(name))
    alive = f"{mark} IS NULL" if marking.flavour is Flavour.TIME else f"{mark} = 0"
    listed = ", ".join(_quoted(each) for each in (*columns, _generated_name(name)))
    return (
        f"ALTER TABLE {_quoted(table, schema)} "
        f"ADD COLUMN {generated} TINYINT GENERATED ALWAYS AS (CASE WHEN {alive} THEN 1 END) VIRTUAL, "
        f"ADD UNIQUE INDEX {_quoted(name)} ({listed})",
    )


def _quoted(name: str, schema: str | None = None) -> str:
    plain = "`" + name.replace("`", "``") + "`"
    return plain if schema is None else f"{_quoted(schema)}.{plain}"


def _ddl(statement: str) -> Any:
    make: Any = DDL
    return make(statement.replace("%", "%%"))
