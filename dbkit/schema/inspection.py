"""What there is: tables, columns, and by which names constraints are known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Column, Connection, MetaData, Table, column, inspect, select, table
from sqlalchemy.exc import NoSuchTableError

from dbkit.schema.places import Where, is_mysql, let_errors_be_told, look, missing_column, missing_table, named, reading


def get_table(engine: Where, name: str, schema: str | None = None) -> Table:
    """Return a table as it is in the database, in a ``MetaData`` of its own with the tables that it refers to.

    What models say does not count there, nor do the rules of filters: a migration sees all rows.

    :raises SchemaMismatch: there is no such table.

    .. versionadded:: 0.1
    """
    name, schema = named(name, schema)
    with reading(engine) as connection:
        try:
            return Table(name, MetaData(), schema=schema, autoload_with=connection)
        except NoSuchTableError as missing:
            raise missing_table(inspect(connection), name, schema) from missing


def columns_alone(connection: Connection, name: str, schema: str | None) -> Table:
    """Return a table with its columns and its primary key only: no other table is looked at for it.

    :raises SchemaMismatch: there is no such table.
    """
    inspector = look(connection, name, schema)
    keys = inspector.get_pk_constraint(name, schema=schema)["constrained_columns"]
    columns = [
        Column(each["name"], each["type"], primary_key=each["name"] in keys, nullable=each["nullable"])
        for each in inspector.get_columns(name, schema=schema)
    ]
    let_errors_be_told(connection)
    return Table(name, MetaData(), *columns, schema=schema)


def table_exists(where: Where, name: Any, schema: str | None = None) -> bool:
    """Return whether there is such a table or view.

    .. versionadded:: 0.1
    """
    name, schema = named(name, schema)
    with reading(where) as connection:
        return inspect(connection).has_table(name, schema=schema)


def column_exists(engine: Where, table_name: Any, column: str, schema: str | None = None) -> bool:
    """Return whether a table has a column of this name.

    :raises SchemaMismatch: there is no such table.

    .. versionadded:: 0.1
    """
    name, schema = named(table_name, schema)
    with reading(engine) as connection:
        return column in [each["name"] for each in look(connection, name, schema).get_columns(name, schema=schema)]


def get_foreign_key_constraint_name(
    engine: Where, table_name: Any, column_name: str, schema: str | None = None
) -> str | None:
    """Return the name of the first foreign key that constrains a column; None if none does, or it has no name.

    :raises SchemaMismatch: there is no such table or column.

    .. versionadded:: 0.1
    """
    name, schema = named(table_name, schema)
    with reading(engine) as connection:
        inspector = look(connection, name, schema)
        _require(inspector, name, schema, [column_name])
        for key in inspector.get_foreign_keys(name, schema=schema):
            if column_name in key["constrained_columns"]:
                return key["name"]
    return None


def get_unique_constraint_name(where: Where, table_name: Any, *columns: str, schema: str | None = None) -> str | None:
    """Return the name of the unique constraint over these columns, in any order; None if there is none with a name.

    :raises SchemaMismatch: there is no such table or column.

    .. versionadded:: 0.1
    """
    name, schema = named(table_name, schema)
    with reading(where) as connection:
        inspector = look(connection, name, schema)
        _require(inspector, name, schema, columns)
        for each in inspector.get_unique_constraints(name, schema=schema):
            if set(each["column_names"]) == set(columns):
                return each["name"]
    return None


def constraint_exists(where: Where, table_name: Any, constraint: str, schema: str | None = None) -> bool:
    """Return whether a table has a constraint of this name: a primary or foreign key, UNIQUE or CHECK.

    :raises SchemaMismatch: there is no such table.

    .. versionadded:: 0.1
    """
    name, schema = named(table_name, schema)
    with reading(where) as connection:
        inspector = look(connection, name, schema)
        return constraint in {
            inspector.get_pk_constraint(name, schema=schema).get("name"),
            *(each["name"] for each in inspector.get_foreign_keys(name, schema=schema)),
            *(each["name"] for each in inspector.get_unique_constraints(name, schema=schema)),
            *(each["name"] for each in inspector.get_check_constraints(name, schema=schema)),
        }


def storage_engines(where: Where, schema: str | None = None) -> dict[str, str]:
    """Return the storage engine of each table of MySQL and MariaDB; nothing on other products, which have none.

    :param schema: the database to look at; None for the one of the connection.

    .. versionadded:: 0.1
    """
    with reading(where) as connection:
        if not is_mysql(connection.dialect):
            return {}
        tables = table(
            "tables",
            *(column(each) for each in ("table_schema", "table_name", "table_type", "engine")),
            schema="information_schema",
        )
        # the inspector knows what a connection without a database in its URL is in
        schema = schema or inspect(connection).default_schema_name
        query = select(tables.c.table_name, tables.c.engine).where(
            tables.c.table_schema == schema, tables.c.table_type == "BASE TABLE"
        )
        return {name: engine for name, engine in connection.execute(query) if engine is not None}


def get_non_innodb_tables(
    connectable: Where,
    skip_tables: Iterable[str] | None = ("migrate_version", "alembic_version"),
    schema: str | None = None,
) -> list[str]:
    """Return the tables of MySQL and MariaDB that have another storage engine than InnoDB; none on other products.

    .. versionadded:: 0.1
    """
    skipped = set(skip_tables or ())
    engines = storage_engines(connectable, schema)
    return [name for name, engine in engines.items() if engine.lower() != "innodb" and name not in skipped]


def _require(inspector: Any, name: str, schema: str | None, columns: Iterable[str]) -> None:
    known = [each["name"] for each in inspector.get_columns(name, schema=schema)]
    for each in columns:
        if each not in known:
            raise missing_column(each, known, name)
