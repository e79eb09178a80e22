"""Nova's floating addresses, as many as are asked for."""

from __future__ import annotations

import functools
import sqlite3
from typing import Any

from sqlalchemy import Engine, StaticPool, create_engine, insert

from benchmarks.bayer.schema import TABLE, Base

ROWS = 100_000


def populate(engine: Engine, rows: int = ROWS) -> None:
    """Make the tables anew and fill the one that is read."""
    if engine.dialect.name == "sqlite" and not engine.url.database:
        with engine.connect() as connection:
            # each subject has a database of its own there
            _template(rows).backup(connection.connection.driver_connection)  # type: ignore[arg-type]
        return
    _fill(engine, rows)


@functools.cache
def _template(rows: int) -> sqlite3.Connection:
    template = sqlite3.connect(":memory:", check_same_thread=False)
    _fill(create_engine("sqlite://", creator=lambda: template, poolclass=StaticPool), rows)
    return template


def _fill(engine: Engine, rows: int) -> None:
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(TABLE), [_row(number) for number in range(rows)])


def _row(number: int) -> dict[str, Any]:
    address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    return {"id": number + 1, "address": address, "project_id": "project", "host": f"host-{number}", "pool": "public"}
