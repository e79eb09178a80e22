"""Django: a database under a name of its own, and the models of the measured tables.

Django has one set of settings and one of databases a process. Each place becomes one more database there; the models
are made once, since they find their database at each query.
"""

# Django ships no types.
# mypy: disable-error-code="import-untyped,no-any-unimported"

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import django
from django.conf import settings
from django.db import connections, models
from sqlalchemy import Column, StaticPool, Table, create_engine

from benchmarks.peers.columns import class_name_of, kind_of, relation_of, target_of
from benchmarks.places import Place

_ENGINES = {None: "sqlite3", "postgresql": "postgresql", "mysql": "mysql"}
_NUMBERS = itertools.count(1)
_MODELS: dict[str, Any] = {}


def open_database(place: Place) -> str:
    """Connect to a place and return the name that Django's functions take for it; what is in memory is filled."""
    _set_up()
    alias = f"place{next(_NUMBERS)}"
    connections.settings.update(connections.configure_settings({"default": {}, alias: _settings(place)}))
    with _pymysql_by_its_other_name(place):
        connection = connections[alias]
    connection.ensure_connection()
    if place.is_sqlite:
        native = connection.connection
        place.opened(native)
        place.fill(create_engine("sqlite://", creator=lambda: native, poolclass=StaticPool))
    return alias


def close_database(alias: str) -> None:
    """Close the connection and forget the name."""
    connection = connections[alias]
    native = connection.connection
    connection.close()
    if connection.vendor == "sqlite":
        native.close()  # Django keeps a database in memory
    del connections[alias]
    del connections.settings[alias]


def models_of(tables: Sequence[Table]) -> dict[str, Any]:
    """Return a model for each table, by the table's name; a table stands after those that it points to."""
    _set_up()
    for table in tables:
        if table.name not in _MODELS:
            fields = dict(_field(column) for column in table.columns)
            meta = type("Meta", (), {"app_label": "benchmarks", "db_table": table.name, "managed": False})
            content = {**fields, "Meta": meta, "__module__": __name__}
            _MODELS[table.name] = type(class_name_of(table.name), (models.Model,), content)
    return {table.name: _MODELS[table.name] for table in tables}


def _set_up() -> None:
    if not settings.configured:
        # nothing is set up that others would notice: no logging, no time zone of the process
        settings.configure(DATABASES={}, INSTALLED_APPS=[], LOGGING_CONFIG=None, USE_TZ=False)
        django.setup()


def _settings(place: Place) -> dict[str, Any]:
    url = place.url
    engine = f"django.db.backends.{_ENGINES[place.backend.server]}"
    if place.is_sqlite:
        return {"ENGINE": engine, "NAME": url.database or ":memory:"}
    return {
        "ENGINE": engine,
        "NAME": url.database,
        "HOST": url.host or "",
        "PORT": url.port or "",
        "USER": url.username or "",
        "PASSWORD": url.password or "",
    }


@contextmanager
def _pymysql_by_its_other_name(place: Place) -> Iterator[None]:
    """Let Django find PyMySQL where it looks for mysqlclient, and nobody else."""
    if place.backend.module != "pymysql":
        yield
        return
    names = ("", ".converters", ".constants", ".constants.CLIENT", ".constants.FIELD_TYPE")
    found = {f"MySQLdb{name}": importlib.import_module(f"pymysql{name}") for name in names}
    kept = {name: sys.modules.get(name) for name in found}
    sys.modules.update(found)
    try:
        yield
    finally:
        for name, module in kept.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


_FIELDS = {
    "boolean": models.BooleanField,
    "datetime": models.DateTimeField,
    "integer": models.IntegerField,
    "text": models.TextField,
    "string": models.CharField,
}


def _field(column: Column[Any]) -> tuple[str, Any]:
    if column.primary_key:
        return column.name, models.AutoField(primary_key=True)
    target = target_of(column)
    if target is not None:
        return relation_of(column), models.ForeignKey(
            _MODELS[target.table.name],
            models.DO_NOTHING,
            to_field=target.name,
            db_column=column.name,
            null=True,
            related_name="+",
        )
    arguments: dict[str, Any] = {"null": True, "unique": bool(column.unique)}
    if kind_of(column) == "string":
        arguments["max_length"] = column.type.length  # type: ignore[attr-defined]
    if column.onupdate is not None:
        arguments["auto_now"] = True
    return column.name, _FIELDS[kind_of(column)](**arguments)
