"""The tables to which purged rows are moved: made where they are missing, and looked over before anything goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, Connection, MetaData, Select, Table, inspect

from dbkit.exceptions import UsageError


def make_archive(connection: Connection, table: Table, pattern: str) -> None:
    """Make the table to which rows of a table are moved, if it is missing.

    :param pattern: the name of the archive, with the place of the table's name as ``{}``.
    :raises UsageError: it is there and lacks a column, or wants more than the rows have.
    """
    archive = _archive_of(table, pattern)
    archive.create(connection, checkfirst=True)
    schema = connection.schema_for_object(archive)  # where the map of schemas, if there is one, has put it
    there = {each["name"]: each for each in inspect(connection).get_columns(archive.name, schema=schema)}
    here = {each.name: each for each in archive.columns}
    lacking = [name for name in here if name not in there]
    if lacking:
        raise UsageError(
            f"the table {archive.name}, to which rows of {table.name} are to be moved, lacks the column "
            f"{', '.join(lacking)}; add it in a migration"
        )
    needed = [
        name
        for name, each in there.items()
        if not each["nullable"] and (here[name].nullable if name in here else _is_needed(each))
    ]
    if needed:
        raise UsageError(
            f"the table {archive.name} wants a value in the column {', '.join(needed)}, and rows of {table.name}, "
            "which are to be moved there, may have none; let it be NULL in a migration"
        )


def move(connection: Connection, table: Table, pattern: str, rows: Select[Any], options: Any) -> None:
    """Copy rows into the table to which they are moved.

    :param rows: all columns of the table, in their order.
    """
    names = [each.name for each in table.columns]
    statement = _archive_of(table, pattern).insert().from_select(names, rows.options(options), include_defaults=False)
    connection.execute(statement.options(options))


def _archive_of(table: Table, pattern: str) -> Table:
    copies = [
        Column(each.name, each.type, primary_key=each.primary_key, nullable=each.nullable, autoincrement=False)
        for each in table.columns
    ]
    # what matters of a table's options is how MySQL stores its texts
    options: Any = {key: value for key, value in table.kwargs.items() if key.startswith(("mysql_", "mariadb_"))}
    return Table(pattern.replace("{}", table.name), MetaData(), *copies, schema=table.schema, **options)


def _is_needed(column: Mapping[str, Any]) -> bool:
    """Return whether a column, as the database describes it, makes no value by itself."""
    return column["default"] is None and not column.get("computed") and column.get("autoincrement") is not True
