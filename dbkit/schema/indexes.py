"""Indexes: whether they are there, making, dropping and changing them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Index,
    MetaData,
    Table,
    UnaryExpression,
    asc,
    desc,
    inspect,
    literal_column,
    nulls_first,
    nulls_last,
    select,
)
from sqlalchemy.schema import CreateIndex, DropIndex
from sqlalchemy.sql import operators

from dbkit.exceptions import SchemaMismatch, UsageError
from dbkit.schema.facts import IndexFacts, index_facts
from dbkit.schema.inspection import columns_alone
from dbkit.schema.places import Where, changing, is_mysql, look, missing_column, named, nearest, reading, shown

Part = str | Callable[[Table], ColumnElement[Any]]
"""What an index is over: the name of a column, or what returns an expression of the table."""


_SORTED: dict[str, Callable[[Any], Any]] = {
    "asc": asc, "desc": desc, "nulls_first": nulls_first, "nulls_last": nulls_last,
}  # fmt: skip

_MODIFIERS = (operators.asc_op, operators.desc_op, operators.nulls_first_op, operators.nulls_last_op)

# Options of which each column has its own.
_OF_COLUMNS = ("_ops", "_length")


# -- looking -----------------------------------------------------------------------------------------------------------


def get_indexes(engine: Where, table_name: Any, schema: str | None = None) -> list[Any]:
    """Return a table's indexes as SQLAlchemy's inspector describes them.

    On SQLite the inspector leaves out indexes over expressions; :func:`describe_indexes` doesn't.

    :raises SchemaMismatch: there is no such table.

    .. versionadded:: 0.1
    """
    name, schema = named(table_name, schema)
    with reading(engine) as connection:
        return list(look(connection, name, schema).get_indexes(name, schema=schema))


def describe_indexes(where: Where, table: Any, schema: str | None = None) -> list[IndexFacts]:
    """Return a table's indexes, those of its UNIQUE constraints too, in one form for all products.

    :raises SchemaMismatch: there is no such table.

    .. versionadded:: 0.1
    """
    name, schema = named(table, schema)
    with reading(where) as connection:
        return index_facts(connection, name, schema)


def index_exists(engine: Where, table_name: Any, index_name: str, schema: str | None = None) -> bool:
    """Return whether a table has an index of this name; one over expressions or some rows counts too.

    :raises SchemaMismatch: there is no such table.

    .. versionadded:: 0.1
    """
    return any(each.name == index_name for each in describe_indexes(engine, table_name, schema))


def index_exists_on_columns(engine: Where, table_name: Any, columns: Sequence[str], schema: str | None = None) -> bool:
    """Return whether an index of all rows is over these columns and no others, in this order.

    :raises SchemaMismatch: there is no such table.

    .. versionadded:: 0.1
    """
    wanted = tuple(columns)
    return any(each.is_whole and each.columns == wanted for each in describe_indexes(engine, table_name, schema))


# -- making ------------------------------------------------------------------------------------------------------------


def add_index(
    engine: Where, table_name: Any, index_name: str, idx_columns: Sequence[str], schema: str | None = None
) -> None:
    """Make an index over columns.

    :raises SchemaMismatch: there is no such table or column, or an index of this name is there already.

    .. versionadded:: 0.1
    """
    create_index(engine, table_name, index_name, *idx_columns, schema=schema)


def create_index(
    where: Where,
    table: Any,
    name: str,
    *parts: Part,
    unique: bool = False,
    condition: Callable[[Table], ColumnElement[bool]] | None = None,
    schema: str | None = None,
    **options: Any,
) -> None:
    """Make an index over columns and expressions, of all rows or of some.

    ``create_index(engine, "users", "ix_mail", lambda t: func.lower(t.c.mail), condition=lambda t: t.c.deleted == 0)``

    :param parts: names of columns, or functions that are given the table and return an expression of it.
    :param condition: is given the table and returns which rows the index holds.
    :param options: as ``sqlalchemy.Index`` takes them: ``postgresql_using="gin"``, ``mysql_length={"body": 50}`` ...
    :raises SchemaMismatch: there is no such table or column, or an index of this name is there already.
    :raises UsageError: the product has no such indexes.

    .. versionadded:: 0.1
    """
    table_name, schema = named(table, schema)
    with changing(where) as connection:
        _refuse_what_is_there(connection, table_name, name, schema)
        _create(connection, table_name, name, parts, unique, condition, schema, options)


def ensure_index(
    where: Where,
    table: Any,
    name: str,
    *parts: Part,
    unique: bool = False,
    condition: Callable[[Table], ColumnElement[bool]] | None = None,
    schema: str | None = None,
    **options: Any,
) -> bool:
    """Make an index if it is not there; return whether it was made.

    Takes what :func:`create_index` does. One that is there must have the same columns, and be unique or of some rows
    if the wanted one is; the texts of expressions and conditions are not compared, since databases rewrite them.

    :raises SchemaMismatch: an index of this name is there and is another one; or as :func:`create_index`.

    .. versionadded:: 0.1
    """
    table_name, schema = named(table, schema)
    with changing(where) as connection:
        there = _found(index_facts(connection, table_name, schema), name)
        if there is None:
            _refuse_what_is_there(connection, table_name, name, schema)
            _create(connection, table_name, name, parts, unique, condition, schema, options)
            return True
        bare = columns_alone(connection, table_name, schema)
        columns = tuple(_column_name(_expression(bare, each)) for each in parts)
    if (there.columns, there.unique, there.condition is None) != (columns, unique, condition is None):
        raise SchemaMismatch(
            f"the table {shown(table_name, schema)} has an {there}, which is not the one that was wanted: drop it, or "
            "let change_index_columns() change it",
            table=table_name,
            constraint=name,
        )
    return False


def _create(
    connection: Connection,
    table_name: str,
    name: str,
    parts: Sequence[Part],
    unique: bool,
    condition: Any,
    schema: str | None,
    options: dict[str, Any],
) -> None:
    if not parts:
        raise UsageError(f"the index {name!r} is over nothing; name its columns")
    table = columns_alone(connection, table_name, schema)
    expressions = [_expression(table, each) for each in parts]
    dialect = connection.dialect
    if is_mysql(dialect):
        if condition is not None:
            raise UsageError(
                f"the index {name!r} is to hold some rows only, and MySQL and MariaDB have no such indexes; make it "
                "over a generated column that is NULL in all other rows"
            )
        if getattr(dialect, "is_mariadb", False) and None in map(_column_name, expressions):
            raise UsageError(
                f"the index {name!r} is to be over an expression, and MariaDB has no such indexes; make it over a "
                "generated column"
            )
    if condition is not None:
        options = {**options, f"{dialect.name}_where": condition(table)}
    index = Index(name, *expressions, unique=unique, **options)
    connection.execute(CreateIndex(index))


def _column_name(expression: Any) -> str | None:
    """Return the name of a column, however it is sorted; None for what is none."""
    while isinstance(expression, UnaryExpression) and expression.modifier in _MODIFIERS:
        expression = expression.element
    return expression.name if isinstance(expression, Column) else None


def _expression(table: Table, part: Part) -> Any:
    if not isinstance(part, str):
        return part(table)
    if part not in table.columns:
        raise missing_column(part, list(table.columns.keys()), table.name)
    return table.columns[part]


def _refuse_what_is_there(connection: Connection, table: str, name: str, schema: str | None) -> None:
    there = _found(index_facts(connection, table, schema), name)
    if there is not None:
        raise SchemaMismatch(
            f"the table {shown(table, schema)} has an {there} already; drop it first, or use ensure_index()",
            table=table,
            constraint=name,
        )
    owner = _owner(connection, name, schema)
    if owner is not None:
        raise SchemaMismatch(
            f"an index {name!r} is there already, on the table {owner!r}; on {connection.dialect.name} the names of "
            "indexes differ within a schema, so choose another one",
            table=owner,
            constraint=name,
        )


def _owner(connection: Connection, name: str, schema: str | None) -> str | None:
    """Return the table of an index of this name, where indexes of different tables may not have the same."""
    if connection.dialect.name == "sqlite":
        quote = connection.dialect.identifier_preparer.quote_identifier
        place = "" if schema is None else f"{quote(schema)}."
        found = f"SELECT tbl_name FROM {place}sqlite_master WHERE type = 'index' AND name = ? COLLATE NOCASE"
        return connection.exec_driver_sql(found, (name,)).scalar()
    if connection.dialect.name == "postgresql":
        catalog = Table("pg_indexes", MetaData(), *(Column(each) for each in ("schemaname", "tablename", "indexname")))
        query = select(catalog.c.tablename).where(
            catalog.c.indexname == name,
            catalog.c.schemaname == (schema or inspect(connection).default_schema_name),
        )
        return connection.execute(query).scalar()
    return None


# -- dropping and changing ---------------------------------------------------------------------------------------------


def drop_index(engine: Where, table_name: Any, index_name: str, schema: str | None = None) -> None:
    """Drop an index.

    :raises SchemaMismatch: there is no such table or index, or the index belongs to a constraint.

    .. versionadded:: 0.1
    """
    name, schema = named(table_name, schema)
    with changing(engine) as connection:
        there = _existing(connection, name, index_name, schema)
        connection.execute(DropIndex(_stub(name, there, schema)))


def change_index_columns(
    engine: Where, table_name: Any, index_name: str, new_columns: Sequence[str], schema: str | None = None
) -> None:
    """Let an index be over other columns; it stays unique, and of some rows only, if it is.

    If that fails, the old index is still there, on each product.

    :raises SchemaMismatch: there is no such table, index or column, or the index belongs to a constraint.

    .. versionadded:: 0.1
    """
    name, schema = named(table_name, schema)
    with changing(engine) as connection:
        there = _existing(connection, name, index_name, schema)
        table = columns_alone(connection, name, schema)
        columns = [_expression(table, each) for each in new_columns]
        if not columns:
            raise UsageError(f"the index {index_name!r} would be over nothing; name its columns")
        if is_mysql(connection.dialect):
            _replace_on_mysql(connection, table, there, columns)
            return
        # one or the other, on PostgreSQL and SQLite alike, whose transactions hold DDL
        with connection.begin_nested():
            connection.execute(DropIndex(_stub(name, there, schema)))
            connection.execute(CreateIndex(_changed(connection, there, columns)))


def _changed(connection: Connection, there: IndexFacts, columns: list[Any]) -> Index:
    options = _kept(there, columns)
    if there.condition is not None:
        options[f"{connection.dialect.name}_where"] = literal_column(there.condition)
    if there.included:
        options["postgresql_include"] = list(there.included)
    expressions = []
    for each in columns:
        expression = each
        for way in there.sorting.get(each.name, ()):
            expression = _SORTED[way](expression)
        expressions.append(expression)
    return Index(there.name, *expressions, unique=there.unique, **options)


def _kept(there: IndexFacts, columns: list[Any]) -> dict[str, Any]:
    """Return the options of an index, of its columns those that stay."""
    names = {each.name for each in columns}
    return {
        key: {name: one for name, one in value.items() if name in names} if key.endswith(_OF_COLUMNS) else value
        for key, value in there.options.items()
        if not key.endswith(_OF_COLUMNS) or isinstance(value, dict)
    }


def _replace_on_mysql(connection: Connection, table: Table, there: IndexFacts, columns: list[Any]) -> None:
    """Change an index by one statement, since DDL is not undone there; a foreign key keeps the index that it needs."""
    quote = connection.dialect.identifier_preparer
    # by what they are called for mysql:// and for mariadb://
    options = {key.partition("_")[2]: value for key, value in _kept(there, columns).items()}
    lengths = options.get("length", {})
    parts = []
    for each in columns:
        length = f"({lengths[each.name]})" if each.name in lengths else ""
        parts.append(quote.quote(each.name) + length + " DESC" * ("desc" in there.sorting.get(each.name, ())))
    kind = "UNIQUE" if there.unique else options.get("prefix", "")
    parser = f" WITH PARSER {options['with_parser']}" if "with_parser" in options else ""
    name = quote.quote(there.name)
    made = f"{kind} INDEX {name} ({', '.join(parts)}){parser}"
    connection.exec_driver_sql(f"ALTER TABLE {quote.format_table(table)} DROP INDEX {name}, ADD {made}")


def _existing(connection: Connection, table: str, name: str, schema: str | None) -> IndexFacts:
    indexes = index_facts(connection, table, schema)
    there = _found(indexes, name)
    if there is None:
        known = [each.name for each in indexes]
        raise SchemaMismatch(
            f"the table {shown(table, schema)} has no index {name!r}{nearest(name, known)}; it has "
            f"{', '.join(known) or 'none'}",
            table=table,
            constraint=name,
        )
    # on MySQL a UNIQUE constraint is an index and nothing else
    if there.constraint is not None and not is_mysql(connection.dialect):
        raise SchemaMismatch(
            f"the index {name!r} of the table {shown(table, schema)} belongs to the constraint {there.constraint!r}, "
            "and comes and goes with it; change the constraint",
            table=table,
            constraint=there.constraint,
        )
    return there


def _found(indexes: list[IndexFacts], name: str) -> IndexFacts | None:
    return next((each for each in indexes if each.name == name), None)


def _stub(table: str, index: IndexFacts, schema: str | None) -> Index:
    """Return an index of which no more is known than what DROP INDEX needs."""
    return Index(index.name, Table(table, MetaData(), Column("x"), schema=schema).c.x)
