"""The ways to write and to read many rows, by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from io import StringIO
from typing import Any

from sqlalchemy import Engine, insert, select
from sqlalchemy.orm import Session

from benchmarks.bulk.table import NAMES, Address
from benchmarks.places import Place
from benchmarks.subjects.catalogue import missing
from dbkit import Database
from dbkit.queries import insert_many, stream

Way = Callable[[list[dict[str, Any]]], Any]

RAW = "raw executemany"
DBKIT = "dbkit insert_many"
CURSOR = "raw cursor"
STREAM = "dbkit stream, rows"

#: By driver: what the driver's own COPY is called here.
COPIES = {
    "psycopg": "raw COPY (write_row)",
    "psycopg2": "raw COPY (copy_expert)",
    "asyncpg": "raw COPY (copy_records_to_table)",
}

_LISTED = ", ".join(NAMES)


def ways_to_write(place: Place, engine: Engine, database: Database) -> dict[str, Way]:
    """Return the ways to write; the first is what the others are compared with."""
    found: dict[str, Way] = {}
    if engine.dialect.driver in _COPIES:
        copy = _COPIES[engine.dialect.driver]
        found[COPIES[engine.dialect.driver]] = lambda rows: _raw(engine, lambda cursor: copy(cursor, rows))
    mark = "?" if engine.dialect.name == "sqlite" else "%s"
    text = f"INSERT INTO bulk_addresses ({_LISTED}) VALUES ({', '.join([mark] * len(NAMES))})"
    is_sqlite = engine.dialect.name == "sqlite"

    def values(row: dict[str, Any]) -> tuple[Any, ...]:
        if is_sqlite:  # what SQLAlchemy stores, which sqlite3 does not write any more by itself
            row = {**row, "created_at": row["created_at"].isoformat(" ", "microseconds")}
        return tuple(row.values())

    found[RAW] = lambda rows: _raw(engine, lambda cursor: cursor.executemany(text, [values(row) for row in rows]))
    found["sqlalchemy Core insert"] = lambda rows: _core(engine, rows)
    found["sqlalchemy unit of work"] = lambda rows: _unit_of_work(engine, rows)
    if not missing(("oslo_db",)):
        oslo = importlib.import_module("benchmarks.bulk.oslo_ways").ways(place)
        found["oslo.db, unit of work"] = oslo.write
    found[DBKIT] = lambda rows: insert_many(database, Address, iter(rows))
    return found


def ways_to_read(place: Place, engine: Engine, database: Database) -> dict[str, Callable[[], int]]:
    """Return the ways to read all rows; each returns how many there were."""
    server_side = {"psycopg": {"name": "bulk"}, "psycopg2": {"name": "bulk"}}.get(engine.dialect.driver, {})

    def raw() -> int:
        connection: Any = engine.raw_connection()
        try:
            if engine.dialect.driver == "pymysql":
                from pymysql.cursors import SSCursor

                cursor = connection.cursor(SSCursor)
            else:
                cursor = connection.driver_connection.cursor(**server_side)
            cursor.execute(f"SELECT {_LISTED} FROM bulk_addresses")
            count = 0
            while part := cursor.fetchmany(1000):
                for _ in part:
                    count += 1
            cursor.close()
            return count
        finally:
            connection.close()

    def streamed() -> int:
        count = 0
        with database.reader.connection() as connection:
            for _ in stream(connection, select(Address.__table__)):
                count += 1
        return count

    def entities() -> int:
        count = 0
        with database.reader() as session:
            for _ in stream(session, select(Address)):
                count += 1
        return count

    def core() -> int:
        count = 0
        with engine.connect() as connection:
            for _ in connection.execute(select(Address.__table__).execution_options(yield_per=1000)):
                count += 1
        return count

    def orm() -> int:
        count = 0
        with Session(engine) as session:
            for _ in session.scalars(select(Address).execution_options(yield_per=1000)):
                count += 1
        return count

    found = {CURSOR: raw, STREAM: streamed, "sqlalchemy Core, yield_per": core}
    found |= {"dbkit stream, objects": entities, "sqlalchemy ORM, yield_per": orm}
    if not missing(("oslo_db",)):
        found["oslo.db, yield_per"] = importlib.import_module("benchmarks.bulk.oslo_ways").ways(place).read
    return found


def _raw(engine: Engine, work: Callable[[Any], Any]) -> None:
    connection = engine.raw_connection()
    try:
        work(connection.cursor())
        connection.commit()
    finally:
        connection.close()


def _copy(cursor: Any, rows: list[dict[str, Any]]) -> None:
    with cursor.copy(f"COPY bulk_addresses ({_LISTED}) FROM STDIN") as pipe:
        for row in rows:
            pipe.write_row(tuple(row.values()))


def _copy_expert(cursor: Any, rows: list[dict[str, Any]]) -> None:
    """Do what a caller of psycopg2 has to write himself."""

    def cell(value: Any) -> str:
        if value is None:
            return "\\N"
        text = str(value)
        return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")

    lines = StringIO()
    for row in rows:
        lines.write("\t".join(map(cell, row.values())) + "\n")
    lines.seek(0)
    cursor.copy_expert(f"COPY bulk_addresses ({_LISTED}) FROM STDIN", lines)


_COPIES: dict[str, Callable[[Any, list[dict[str, Any]]], None]] = {"psycopg": _copy, "psycopg2": _copy_expert}


def _core(engine: Engine, rows: list[dict[str, Any]]) -> None:
    with engine.begin() as connection:
        connection.execute(insert(Address), rows)


def _unit_of_work(engine: Engine, rows: list[dict[str, Any]]) -> None:
    with Session(engine) as session:
        session.add_all([Address(**row) for row in rows])
        session.commit()
