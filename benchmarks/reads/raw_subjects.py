"""The drivers alone, in autocommit on one open connection; what the driver leaves as it is gets the model's types."""

from __future__ import annotations

import importlib
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import StaticPool, create_engine

from benchmarks.bayer.schema import TABLE
from benchmarks.places import Place
from benchmarks.reads.operations import MANY, ONE, by_place, checked, key_of
from benchmarks.subjects.raw_subjects import arguments_of
from benchmarks.subjects.subject import Opened

_ALL = f"SELECT {', '.join(column.name for column in TABLE.columns)} FROM floating_ips WHERE deleted = 0"


def open_raw(place: Place) -> Opened:
    """Open it."""
    connection = _connected(place)
    cursor = connection.cursor()
    one_by_key = f"{_ALL} AND id = {'?' if place.is_sqlite else '%s'}"
    converted = _CONVERTED[place.backend.server]

    def many(number: int) -> Any:
        cursor.execute(_ALL)
        return converted(cursor.fetchall())

    def one(number: int) -> Any:
        cursor.execute(one_by_key, (key_of(number, place.rows),))
        return converted((cursor.fetchone(),))[0]

    return checked(Opened({MANY: many, ONE: one}, connection.close), place.rows, by_place)


def _connected(place: Place) -> Any:
    if not place.is_sqlite:
        connection = importlib.import_module(place.backend.module).connect(**arguments_of(place.url))
        if place.backend.server == "postgresql":
            connection.autocommit = True
        else:
            connection.autocommit(True)
        return connection
    native = sqlite3.connect(place.url.database or ":memory:", isolation_level=None, check_same_thread=False)
    place.opened(native)
    place.fill(create_engine("sqlite://", creator=lambda: native, poolclass=StaticPool))
    return native


def _from_sqlite(rows: Sequence[Any]) -> list[Any]:
    time = datetime.fromisoformat
    return [
        (
            None if made is None else time(made),
            None if changed is None else time(changed),
            None if removed is None else time(removed),
            deleted, key, address, fixed, project, host,
            None if flag is None else bool(flag),
            pool, interface,
        )
        for made, changed, removed, deleted, key, address, fixed, project, host, flag, pool, interface in rows
    ]  # fmt: skip


def _from_mysql(rows: Sequence[Any]) -> list[Any]:
    return [(*row[:9], None if row[9] is None else bool(row[9]), *row[10:]) for row in rows]


_CONVERTED: dict[str | None, Callable[[Sequence[Any]], Any]] = {
    None: _from_sqlite,
    "mysql": _from_mysql,
    "postgresql": lambda rows: rows,
}
