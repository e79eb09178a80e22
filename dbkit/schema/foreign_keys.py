"""Foreign keys out of the way while a column that they are over is altered."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Column, Connection, ForeignKeyConstraint, Integer, MetaData, Table
from sqlalchemy.schema import AddConstraint, DropConstraint

from dbkit.exceptions import UsageError
from dbkit.schema.places import Where, changing, is_engine, let_errors_be_told, look, missing_column, named

LOG = logging.getLogger(__name__)

_OPTIONS = ("ondelete", "onupdate", "deferrable", "initially", "match")


@contextmanager
def foreign_keys_suspended(
    where: Where, table: Any, column: str, *, referents: Iterable[str] | None = None, schema: str | None = None
) -> Iterator[list[str]]:
    """Drop the foreign keys that are over a column or refer to it, and make them again at the end; yields their names.

    .. code-block:: python

        with foreign_keys_suspended(engine, "users", "id"):
            ...    # alter the type of users.id, and of the columns that refer to it

    PostgreSQL, MySQL and MariaDB; SQLite alters no column that a key is over. With an engine the keys are made again
    whatever happens inside. With a connection of PostgreSQL all of it is one savepoint.

    :param referents: the tables of which keys may refer to the column; None looks at all tables of the schema.
    :raises SchemaMismatch: there is no such table or column.
    :raises UsageError: the database is SQLite.

    .. versionadded:: 0.1
    """
    name, schema = named(table, schema)
    with changing(where) as connection:
        if connection.dialect.name == "sqlite":
            raise UsageError(
                "SQLite neither drops a foreign key nor alters the type of a column; make the table anew, with foreign "
                "keys switched off: PRAGMA foreign_keys = OFF"
            )
        keys = list(_keys_on(connection, name, column, referents, schema))
    names = [str(key.name) for key in keys]
    if not is_engine(where):
        with changing(where) as connection, _as_one(connection):
            _send(connection, DropConstraint, keys)
            try:
                yield names
            except BaseException:
                if connection.dialect.name != "postgresql":  # there the savepoint brings them back
                    _send(connection, AddConstraint, keys)
                raise
            _send(connection, AddConstraint, keys)
        return
    with changing(where) as connection:
        LOG.info("foreign keys around %s.%s are dropped for a while: %s", name, column, ", ".join(names) or "none")
        _send(connection, DropConstraint, keys)
    try:
        yield names
    finally:
        with changing(where) as connection:
            _send(connection, AddConstraint, keys)


@contextmanager
def suspend_fk_constraints_for_col_alter(
    engine: Where, table_name: Any, column_name: str, referents: Iterable[str] = ()
) -> Iterator[None]:
    """Do what :func:`foreign_keys_suspended` does, with the parameters of oslo.db's older function.

    .. versionadded:: 0.1
    """
    with foreign_keys_suspended(engine, table_name, column_name, referents=list(referents) or None):
        yield


@contextmanager
def _as_one(connection: Connection) -> Iterator[None]:
    if connection.dialect.name == "postgresql":
        with connection.begin_nested():
            yield
    else:
        yield


def _keys_on(
    connection: Connection, name: str, column: str, referents: Iterable[str] | None, schema: str | None
) -> Iterator[ForeignKeyConstraint]:
    inspector = look(connection, name, schema)
    known = [each["name"] for each in inspector.get_columns(name, schema=schema)]
    if column not in known:
        raise missing_column(column, known, name)
    default = schema or inspector.default_schema_name
    for owner in inspector.get_table_names(schema=schema) if referents is None else {name, *referents}:
        for key in inspector.get_foreign_keys(owner, schema=schema):
            is_over = owner == name and column in key["constrained_columns"]
            refers = key["referred_table"] == name and column in key["referred_columns"]
            if is_over or (refers and (key["referred_schema"] or default) == default):
                yield _constraint(owner, schema, key)
    let_errors_be_told(connection)


def _constraint(owner: str, schema: str | None, key: Any) -> ForeignKeyConstraint:
    """Return a foreign key between tables of which no more is known than its columns."""
    data, columns = MetaData(), {(owner, schema): dict.fromkeys(key["constrained_columns"])}
    there = (key["referred_table"], key["referred_schema"])
    columns.setdefault(there, {}).update(dict.fromkeys(key["referred_columns"]))
    tables = {
        (name, of): Table(name, data, *(Column(each, Integer) for each in names), schema=of)
        for (name, of), names in columns.items()
    }
    options = {option: value for option, value in key.get("options", {}).items() if option in _OPTIONS}
    made = ForeignKeyConstraint(
        key["constrained_columns"],
        [tables[there].c[each] for each in key["referred_columns"]],
        name=key["name"],
        **options,
    )
    tables[owner, schema].append_constraint(made)
    return made


def _send(connection: Connection, statement: Any, keys: list[ForeignKeyConstraint]) -> None:
    for key in keys:
        connection.execute(statement(key))
