"""COPY on PostgreSQL: whether a table and its rows can take it, and how each driver does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any

from sqlalchemy import Column, Table, text
from sqlalchemy.util import await_only

from dbkit.engines.connection import TrackedConnection
from dbkit.engines.past import send_past
from dbkit.queries.copytext import Unwritable, as_copy_text, column_text, writers_for
from dbkit.queries.target import Target

_RELATION = text("SELECT relkind, relrowsecurity, relhasrules FROM pg_class WHERE oid = CAST(:name AS regclass)")

Row = Mapping[str, Any]


class Defaults:
    """What functions that make the default of a column are given: SQLAlchemy's execution context for one row."""

    def __init__(self, connection: TrackedConnection, row: Row) -> None:
        self.connection = self.root_connection = connection
        self.engine, self.dialect = connection.engine, connection.dialect
        self.current_parameters = row
        self.isinsert, self.isupdate = True, False

    def get_current_parameters(self, isolate_multiinsert_groups: bool = True) -> Row:
        """Return the values of the row."""
        return self.current_parameters


def reason_against_driver(connection: TrackedConnection) -> str | None:
    """Return why a connection cannot COPY; None if it can."""
    dialect = connection.dialect
    if dialect.name != "postgresql":
        return f"{dialect.name} has no COPY"
    if _driver_of(connection) not in _DRIVERS:
        return f"the driver {dialect.driver} has no COPY"
    if connection.get_execution_options().get("schema_translate_map"):
        return "the schemas of the connection are translated"
    raw = connection.connection.driver_connection
    encoding = getattr(raw, "encoding", None) or getattr(getattr(raw, "info", None), "encoding", "utf-8")
    if str(encoding).lower().replace("-", "").replace("_", "") not in ("utf8", "unicode"):
        return f"the client's encoding is {encoding}, not UTF-8"
    return None


def reason_against_columns(target: Target, given: Sequence[str]) -> str | None:
    """Return why rows with values for these columns cannot go by COPY; None if they can."""
    for column in target.table.columns:
        kind: Any = column.type
        if column.key in given:
            if kind._has_bind_expression:
                return f"the column {column.name!r} is written by an SQL expression"
            if not writers_for(kind):
                return f"nothing is known of how COPY reads the type of the column {column.name!r}"
        elif column.default is not None and not (column.default.is_scalar or column.default.is_callable):
            return f"the default of the column {column.name!r} is an SQL expression"
        elif column.default is not None and not writers_for(kind):
            return f"nothing is known of how COPY reads the type of the column {column.name!r}"
    return None


def reason_against_table(connection: TrackedConnection, target: Target) -> str | None:
    """Ask the server why a table cannot take COPY; None if it can.

    It also lets the transaction begin, which SQLAlchemy does for asyncpg with the first statement.
    """
    name = connection.dialect.identifier_preparer.format_table(target.table)
    found = connection.execute(_RELATION, {"name": name}).one_or_none()
    if found is None or found.relkind not in ("r", "p", b"r", b"p"):
        return "it is no table"
    if found.relrowsecurity:
        return "the table has row-level security"
    return "the table has rules" if found.relhasrules else None


def copy(connection: TrackedConnection, target: Target, rows: Sequence[Row]) -> None:
    """Insert rows, which all have values for the same columns, by one COPY.

    :raises Unwritable: a value among them is none that COPY is known to understand.
    """
    keys = list(rows[0])
    by_key = target.table.columns
    columns: list[Column[Any]] = [by_key[key] for key in keys]
    values: list[Sequence[Any]] = [[row[key] for row in rows] for key in keys]
    made = [column for column in target.table.columns if column.key not in rows[0] and column.default is not None]
    for column in made:
        columns.append(column)
        values.append(_made(connection, column, rows))
    texts = []
    for column, each in zip(columns, values, strict=True):
        kind: Any = column.type
        process = kind._cached_bind_processor(connection.dialect)
        texts.append(column_text(column.name, kind, each if process is None else list(map(process, each))))
    order = _Order(connection, target.table, columns, as_copy_text(texts))
    send_past(connection, order.statement, partial(_DRIVERS[_driver_of(connection)], order))


def _made(connection: TrackedConnection, column: Column[Any], rows: Sequence[Row]) -> Sequence[Any]:
    default: Any = column.default
    if default.is_scalar:
        return [default.arg] * len(rows)
    return [default.arg(Defaults(connection, row)) for row in rows]


def _driver_of(connection: TrackedConnection) -> str:
    dialect = connection.dialect
    return f"{dialect.driver.removesuffix('_async')}, asyncio" if dialect.is_async else dialect.driver


@dataclass(frozen=True, slots=True)
class _Order:
    """What a driver is to do."""

    connection: TrackedConnection
    table: Table
    columns: Sequence[Column[Any]]
    data: bytes

    @property
    def statement(self) -> str:
        preparer = self.connection.dialect.identifier_preparer
        listed = ", ".join(preparer.format_column(column) for column in self.columns)
        return f"COPY {preparer.format_table(self.table)} ({listed}) FROM STDIN"

    @property
    def driver(self) -> Any:
        return self.connection.connection.driver_connection


def _psycopg(order: _Order, cursor: Any) -> None:
    with cursor.copy(order.statement) as pipe:
        pipe.write(order.data)


def _psycopg2(order: _Order, cursor: Any) -> None:
    cursor.copy_expert(order.statement, BytesIO(order.data))


def _psycopg_in_asyncio(order: _Order, cursor: Any) -> None:
    real = order.driver.cursor()  # SQLAlchemy's has no copy()
    manager = real.copy(order.statement)
    pipe = await_only(manager.__aenter__())
    try:
        await_only(pipe.write(order.data))
    except BaseException as error:
        await_only(manager.__aexit__(type(error), error, error.__traceback__))
        raise
    await_only(manager.__aexit__(None, None, None))
    await_only(real.close())


def _asyncpg(order: _Order, cursor: Any) -> None:
    table = order.table
    names = [column.name for column in order.columns]
    source = BytesIO(order.data)
    try:
        await_only(
            order.driver.copy_to_table(
                str(table.name), source=source, columns=names, schema_name=table.schema, format="text"
            )
        )
    except Exception as error:
        order.connection.driver_level._handle_exception(error)  # SQLAlchemy makes a DBAPI's error of it there


_DRIVERS: dict[str, Callable[[_Order, Any], None]] = {
    "psycopg": _psycopg,
    "psycopg, asyncio": _psycopg_in_asyncio,
    "psycopg2": _psycopg2,
    "asyncpg, asyncio": _asyncpg,
}

__all__ = ["Unwritable", "copy", "reason_against_columns", "reason_against_driver", "reason_against_table"]
