"""The ways to write and to read many rows, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, insert, select
from sqlalchemy.orm import Session

from benchmarks.bulk.table import NAMES, Address
from dbkit import Database
from dbkit.queries import insert_many, stream

Way = Callable[[list[dict[str, Any]]], Any]

RAW = "raw executemany"
COPY = "raw COPY (write_row)"
DBKIT = "dbkit insert_many"
CURSOR = "raw cursor"
STREAM = "dbkit stream, rows"

_LISTED = ", ".join(NAMES)


def ways_to_write(engine: Engine, database: Database) -> dict[str, Way]:
    """Return the ways to write; the first is what the others are compared with."""
    found: dict[str, Way] = {}
    if engine.dialect.driver == "psycopg":
        found[COPY] = lambda rows: _raw(engine, lambda cursor: _copy(cursor, rows))
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
    found[DBKIT] = lambda rows: insert_many(database, Address, iter(rows))
    return found


def ways_to_read(engine: Engine, database: Database) -> dict[str, Callable[[], int]]:
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

    return {CURSOR: raw, STREAM: streamed, "dbkit stream, objects": entities}


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


def _core(engine: Engine, rows: list[dict[str, Any]]) -> None:
    with engine.begin() as connection:
        connection.execute(insert(Address), rows)


def _unit_of_work(engine: Engine, rows: list[dict[str, Any]]) -> None:
    with Session(engine) as session:
        session.add_all([Address(**row) for row in rows])
        session.commit()
