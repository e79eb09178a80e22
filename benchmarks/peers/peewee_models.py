"""peewee: a database that is open, and its models of the measured tables."""

# peewee ships no types.
# mypy: disable-error-code="import-untyped,no-any-unimported"

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import peewee
from sqlalchemy import Column, StaticPool, Table, create_engine

from benchmarks.peers.columns import class_name_of, kind_of, relation_of, target_of
from benchmarks.places import Place

_FIELDS = {
    "boolean": peewee.BooleanField,
    "datetime": peewee.DateTimeField,
    "integer": peewee.IntegerField,
    "text": peewee.TextField,
    "string": peewee.CharField,
}


def open_database(place: Place) -> Any:
    """Connect to a place; what is in memory is filled."""
    database = _database(place)
    database.connect()
    if place.is_sqlite:
        native = database.connection()
        place.opened(native)
        place.fill(create_engine("sqlite://", creator=lambda: native, poolclass=StaticPool))
    return database


def models_of(database: Any, tables: Sequence[Table]) -> dict[str, Any]:
    """Return a model for each table, by the table's name; a table stands after those that it points to."""
    models: dict[str, Any] = {}
    for table in tables:
        fields = dict(_field(column, models) for column in table.columns)
        meta = type("Meta", (), {"database": database, "table_name": table.name})
        models[table.name] = type(class_name_of(table.name), (peewee.Model,), {**fields, "Meta": meta})
    return models


def _field(column: Column[Any], models: dict[str, Any]) -> tuple[str, Any]:
    if column.primary_key:
        return column.name, peewee.AutoField()
    target = target_of(column)
    if target is None:
        return column.name, _FIELDS[kind_of(column)](null=True)
    model = models[target.table.name]
    return relation_of(column), peewee.ForeignKeyField(
        model, field=getattr(model, target.name), column_name=column.name, null=True, backref="+"
    )


def _database(place: Place) -> Any:
    url = place.url
    if place.is_sqlite:
        return peewee.SqliteDatabase(url.database or ":memory:")
    reached: dict[str, Any] = {"host": url.host, "port": url.port, "user": url.username, "password": url.password}
    reached = {name: value for name, value in reached.items() if value is not None}
    if place.backend.server == "postgresql":
        return peewee.PostgresqlDatabase(url.database, prefer_psycopg3=True, **reached)
    return peewee.MySQLDatabase(url.database, **reached)
