"""Where the helpers of this room work, and on which table: what users pass as their first two arguments."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Inspector, Table, inspect
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import Session, scoped_session

from dbkit.exceptions import SchemaMismatch, UsageError

Where = Engine | Connection | Session


@contextmanager
def reading(where: Any) -> Iterator[Connection]:
    """Yield a connection to look at the database: an engine's own, or the one that is given."""
    found = _resolved(where)
    if isinstance(found, Engine):
        with found.connect() as connection:
            yield connection
    else:
        try:
            yield found
        finally:
            let_errors_be_told(found)


@contextmanager
def changing(where: Any) -> Iterator[Connection]:
    """Yield a connection to change the database: in a transaction of an engine's own, or in the caller's."""
    found = _resolved(where)
    if isinstance(found, Engine):
        with found.begin() as connection:
            yield connection
    else:
        yield found


def is_engine(where: Any) -> bool:
    """Return whether what is done has transactions of its own."""
    return isinstance(where, Engine)


def is_mysql(dialect: Dialect) -> bool:
    """Return whether it is MySQL or MariaDB, whichever the URL calls it."""
    return dialect.name in ("mysql", "mariadb")


def named(table: Any, schema: str | None = None) -> tuple[str, str | None]:
    """Return the name and the schema of a table, given as a name, a ``Table`` or a mapped class.

    :raises UsageError: it is nothing of the kind.
    """
    if isinstance(table, str):
        return table, schema
    found = getattr(table, "__table__", table)
    if isinstance(found, Table):
        return found.name, schema if schema is not None else found.schema
    raise UsageError(
        f"a table is given by its name, as a Table or as a mapped class; an object of class {type(table).__name__} is "
        "none of these"
    )


def shown(name: str, schema: str | None) -> str:
    """Return how a table is called in a text."""
    return repr(name) if schema is None else f"{name!r} of the schema {schema!r}"


def look(connection: Connection, name: str, schema: str | None) -> Inspector:
    """Return what reads a table's description from the database, without anything that was read before.

    :raises SchemaMismatch: there is no such table.
    """
    inspector = inspect(connection)
    if not inspector.has_table(name, schema=schema):
        raise missing_table(inspector, name, schema)
    return inspector


def let_errors_be_told(connection: Connection) -> None:
    """Undo what SQLAlchemy's MySQL dialect leaves on a plain connection that it has inspected.

    It wants the plain errors of its own probes, and takes the handlers of all later errors away with that.
    """
    if connection.get_execution_options().get("skip_user_error_events"):
        connection.execution_options(skip_user_error_events=False)


def missing_table(inspector: Inspector, name: str, schema: str | None) -> SchemaMismatch:
    """Return the error that there is no such table; it offers the nearest one."""
    where = "" if schema is None else f" in the schema {schema!r}"
    return SchemaMismatch(
        f"there is no table {name!r}{where}{nearest(name, inspector.get_table_names(schema=schema))}; give the name as "
        "it is stored, and a schema that is not the default one as schema=...",
        table=name,
    )


def missing_column(name: str, known: list[str], table: str) -> SchemaMismatch:
    """Return the error that a table has no such column; it offers the nearest one."""
    return SchemaMismatch(
        f"the table {table!r} has no column {name!r}{nearest(name, known)}; it has {', '.join(known) or 'none'}",
        table=table,
        columns=[name],
    )


def nearest(name: str, known: Any) -> str:
    """Return words that offer the nearest of the known names; none if there is none."""
    # by small letters: a wrong case is the commonest mistake
    by_small = {str(each).lower(): each for each in known}
    near = difflib.get_close_matches(str(name).lower(), by_small, n=1)
    return f" (did you mean {by_small[near[0]]!r}?)" if near else ""


def _resolved(where: Any) -> Engine | Connection:
    if isinstance(where, Engine | Connection):
        return where
    if isinstance(where, scoped_session):
        where = where()
    if isinstance(where, Session):
        return where.connection()
    kind = type(where).__name__
    if any(isinstance(getattr(where, each, None), Engine | Connection | Session) for each in _INSIDE):
        raise UsageError(
            f"the helpers of dbkit.schema are blocking, and an object of class {kind} was given; in asyncio write: "
            "await connection.run_sync(schema.add_index, ...)"
        )
    if isinstance(getattr(type(where), "engine", None), property):
        raise UsageError(
            f"the helpers of dbkit.schema take an Engine, a Connection or a Session, not an object of class {kind}; "
            "pass its .engine, or .connection inside a block"
        )
    raise UsageError(
        "the helpers of dbkit.schema take an Engine, a Connection or a Session as their first argument; an object of "
        f"class {kind} was given"
    )


_INSIDE = ("sync_engine", "sync_connection", "sync_session")
