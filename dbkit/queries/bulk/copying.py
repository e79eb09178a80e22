"""COPY on PostgreSQL: whether a table and its rows can take it, and how each driver does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Column, Table, text
from sqlalchemy.engine import Dialect
from sqlalchemy.util import await_only

from dbkit.engines.connection import TrackedConnection
from dbkit.engines.past import send_past
from dbkit.filters.tenants import refuse_foreign
from dbkit.queries.bulk.copytext import Cells, LaterSource, Source, lines
from dbkit.queries.bulk.copytypes import Unwritable, type_for
from dbkit.queries.bulk.grid import Grid, Row
from dbkit.queries.target import Target

_RELATION = text(
    "SELECT relkind, relrowsecurity, relhasrules, ARRAY(SELECT CAST(attname AS text) FROM pg_attribute"
    " WHERE attrelid = pg_class.oid AND attidentity = 'a') AS always FROM pg_class WHERE oid = CAST(:name AS regclass)"
)


class Defaults:
    """What functions that make the default of a column are given: SQLAlchemy's execution context, row after row.

    :ivar number: which row it is.
    """

    def __init__(self, connection: TrackedConnection, grid: Grid) -> None:
        self.connection = self.root_connection = connection
        self.engine, self.dialect = connection.engine, connection.dialect
        self.isinsert, self.isupdate = True, False
        self.number = 0
        self._grid = grid

    @property
    def current_parameters(self) -> Row:
        """The values of the row, with defaults that were made before."""
        return self._grid.row(self.number)

    def get_current_parameters(self, isolate_multiinsert_groups: bool = True) -> Row:
        """Return the same."""
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
    raw: Any = dialect.get_driver_connection(connection.driver_level)
    encoding = getattr(raw, "encoding", None) or getattr(getattr(raw, "info", None), "encoding", "utf-8")
    if str(encoding).lower().replace("-", "").replace("_", "") not in ("utf8", "unicode"):
        return f"the client's encoding is {encoding}, not UTF-8"
    return None


def reason_against_columns(dialect: Dialect, target: Target, given: Sequence[str]) -> str | None:
    """Return why rows with values for these columns cannot go by COPY; None if they can."""
    some = False
    for column in target.table.columns:
        kind: Any = column.type
        default = column.default
        if column.key in given:
            if kind._has_bind_expression:
                return f"the column {column.name!r} is written by an SQL expression"
        elif default is None:
            continue
        elif not (default.is_scalar or default.is_callable):
            return f"the default of the column {column.name!r} is an SQL expression"
        if type_for(kind, dialect) is None:
            return f"nothing is known of how COPY reads the type of the column {column.name!r}"
        some = True
    return None if some else "there is a value for no column"


def reason_against_table(connection: TrackedConnection, target: Target, given: Sequence[str]) -> str | None:
    """Ask the server why a table cannot take rows with values for these columns by COPY; None if it can.

    It also lets the transaction begin, which SQLAlchemy does for asyncpg with the first statement.
    """
    name = connection.dialect.identifier_preparer.format_table(target.table)
    found = connection.execute(_RELATION, {"name": name}).one_or_none()
    if found is None or found.relkind not in ("r", "p", b"r", b"p"):
        return "it is no table"
    if found.relrowsecurity:
        return "the table has row-level security"
    made = next((key for key in given if target.table.columns[key].name in found.always), None)
    if made is not None:
        return f"an INSERT is refused that has a value for the column {made!r}, and COPY takes it"
    return "the table has rules" if found.relhasrules else None


def copy(connection: TrackedConnection, target: Target, grid: Grid) -> None:
    """Insert rows by one COPY; what they are is looked at before anything is sent.

    :raises Unwritable: a value among them is none that COPY is known to understand.
    """
    by_key = target.table.columns
    given = grid
    for column in by_key:
        if column.key not in grid.keys and column.default is not None:
            grid = grid.filled({str(column.key): _made(connection, column, grid)})
    if grid is not given:  # what was given was looked at before; a default may be another tenant's
        refuse_foreign(target.table, grid, connection.off)
    columns = [by_key[key] for key in grid.keys]
    cells = [_cells(connection.dialect, *each) for each in zip(columns, grid.columns, grid.classes, strict=True)]
    order = _Order(connection, target.table, columns, lines(cells, len(grid)))
    send_past(connection, order.statement, partial(_DRIVERS[_driver_of(connection)], order))


def _made(connection: TrackedConnection, column: Column[Any], grid: Grid) -> Sequence[Any]:
    default: Any = column.default
    if default.is_scalar:
        return [default.arg] * len(grid)
    context, values = Defaults(connection, grid), []
    for context.number in range(len(grid)):
        values.append(default.arg(context))
    return values


def _cells(dialect: Dialect, column: Column[Any], values: Sequence[Any], classes: set[type] | None) -> Cells:
    kind: Any = column.type
    known = type_for(kind, dialect)
    if known is None:
        raise Unwritable(f"the type of the column {column.name!r} is not known")
    process = None if known.is_given else kind._cached_bind_processor(dialect)
    if process is None:
        return Cells(column.name, known, values, classes)
    return Cells(column.name, known, list(map(process, values)))


def _driver_of(connection: TrackedConnection) -> str:
    dialect = connection.dialect
    return f"{dialect.driver.removesuffix('_async')}, asyncio" if dialect.is_async else dialect.driver


@dataclass(frozen=True, slots=True)
class _Order:
    """What a driver is to do."""

    connection: TrackedConnection
    table: Table
    columns: Sequence[Column[Any]]
    parts: Iterator[bytes]

    @property
    def statement(self) -> str:
        preparer = self.connection.dialect.identifier_preparer
        listed = ", ".join(preparer.format_column(column) for column in self.columns)
        return f"COPY {preparer.format_table(self.table)} ({listed}) FROM STDIN"

    @property
    def driver(self) -> Any:
        return self.connection.dialect.get_driver_connection(self.connection.driver_level)


def _psycopg(order: _Order, cursor: Any) -> None:
    with cursor.copy(order.statement) as pipe:
        for part in order.parts:
            pipe.write(part)


def _psycopg2(order: _Order, cursor: Any) -> None:
    cursor.copy_expert(order.statement, Source(order.parts))


def _psycopg_in_asyncio(order: _Order, cursor: Any) -> None:
    real = order.driver.cursor()  # SQLAlchemy's has no copy()
    manager = real.copy(order.statement)
    pipe = await_only(manager.__aenter__())
    try:
        for part in order.parts:
            await_only(pipe.write(part))
    except BaseException as error:
        await_only(manager.__aexit__(type(error), error, error.__traceback__))
        raise
    await_only(manager.__aexit__(None, None, None))
    await_only(real.close())


def _asyncpg(order: _Order, cursor: Any) -> None:
    table = order.table
    names = [column.name for column in order.columns]
    try:
        await_only(
            order.driver.copy_to_table(
                str(table.name),
                source=LaterSource(order.parts),
                columns=names,
                schema_name=table.schema,
                format="text",
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
