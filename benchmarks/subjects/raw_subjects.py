"""The drivers alone, on one open connection: nothing can be cheaper."""

from __future__ import annotations

import importlib
import sqlite3
from typing import Any

from sqlalchemy import StaticPool, create_engine
from sqlalchemy.engine import URL

from benchmarks import scenarios as names
from benchmarks import schema
from benchmarks.places import Place
from benchmarks.subjects.subject import Opened, Operation

_COLUMNS = ", ".join(column.name for column in schema.TABLE.columns)
_FIND = f"SELECT {_COLUMNS} FROM floating_ips WHERE address = ? AND deleted = 0"
_CHANGE = "UPDATE floating_ips SET host = ?, project_id = ?, updated_at = ? WHERE id = ?"
_CHANGE_HOST = "UPDATE floating_ips SET host = ?, updated_at = ? WHERE id = ?"
_ID = list(schema.TABLE.columns.keys()).index("id")


def open_sqlite(place: Place) -> Opened:
    """Open the sqlite3 module, which sends BEGIN and COMMIT when it is told."""
    path = place.url.database or ":memory:"
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    place.opened(connection)
    place.fill(create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool))
    execute = connection.execute

    def empty(number: int) -> None:
        execute("BEGIN")
        execute("COMMIT")

    def select(number: int) -> Any:
        execute("BEGIN")
        (value,) = execute("SELECT 1").fetchone()
        execute("COMMIT")
        return value

    def update(number: int) -> None:
        execute("BEGIN")
        execute(_CHANGE_HOST, (f"host-{number}", schema.now().isoformat(" "), number % schema.ROWS + 1))
        execute("COMMIT")

    def floating_ip_update(number: int) -> Any:
        execute("BEGIN")
        found = execute(_FIND, (schema.ADDRESSES[number % schema.ROWS],)).fetchone()
        changes = (f"host-{number}", f"project-{number}", schema.now().isoformat(" "), found[_ID])
        execute(_CHANGE, changes)
        execute("COMMIT")
        return found

    return Opened({**_empty(empty), **_working(select, update, floating_ip_update)}, connection.close)


def open_driver(place: Place) -> Opened:
    """Open a server's driver, which sends BEGIN when it sees fit."""
    module = importlib.import_module(place.backend.module)
    connection = module.connect(**arguments_of(place.url))
    cursor = connection.cursor()
    find, change, change_host = (text.replace("?", "%s") for text in (_FIND, _CHANGE, _CHANGE_HOST))

    def select(number: int) -> Any:
        cursor.execute("SELECT 1")
        (value,) = cursor.fetchone()
        connection.commit()
        return value

    def update(number: int) -> None:
        cursor.execute(change_host, (f"host-{number}", schema.now(), number % schema.ROWS + 1))
        connection.commit()

    def floating_ip_update(number: int) -> Any:
        cursor.execute(find, (schema.ADDRESSES[number % schema.ROWS],))
        found = cursor.fetchone()
        cursor.execute(change, (f"host-{number}", f"project-{number}", schema.now(), found[_ID]))
        connection.commit()
        return found

    # a block without a statement is nothing at all here, and so nothing to compare with
    return Opened(_working(select, update, floating_ip_update), connection.close)


def arguments_of(url: URL) -> dict[str, Any]:
    """Return what a server's driver connects with."""
    name = "dbname" if url.get_backend_name() == "postgresql" else "database"
    arguments = {"host": url.host, "port": url.port, "user": url.username, "password": url.password, name: url.database}
    return {key: value for key, value in arguments.items() if value is not None}


def _empty(empty: Operation) -> dict[str, Operation]:
    def nested_empty(number: int) -> None:
        middle_empty(number)

    def middle_empty(number: int) -> None:
        empty(number)

    return {names.EMPTY_WRITER: empty, names.EMPTY_READER: empty, names.NESTED_EMPTY: nested_empty}


def _working(select: Operation, update: Operation, floating_ip_update: Operation) -> dict[str, Operation]:
    def nested_select(number: int) -> Any:
        return middle_select(number)

    def middle_select(number: int) -> Any:
        return select(number)

    return {
        names.SELECT_WRITER: select,
        names.SELECT_READER: select,
        names.NESTED_SELECT: nested_select,
        names.UPDATE: update,
        names.FLOATING_IP_UPDATE: floating_ip_update,
    }
