"""The ways to write and to read many rows in asyncio, with asyncpg: each a function that runs a loop of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks.bulk.table import NAMES, Address
from benchmarks.bulk.ways import COPIES, CURSOR, DBKIT, STREAM, Way
from benchmarks.places import Place
from dbkit import Database
from dbkit.queries import ainsert_many, astream


class Loop:
    """One loop for all ways, so that their connections stay open between rounds."""

    def __init__(self, place: Place) -> None:
        self._runner = asyncio.Runner()
        self._engine: AsyncEngine = create_async_engine(place.url)
        self._database = Database(place.text)

    def close(self) -> None:
        """Close what was opened."""
        self._run(self._engine.dispose())
        self._run(self._database.adispose())
        self._runner.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)

    def ways_to_write(self) -> dict[str, Way]:
        """Return the ways to write; the first is what the others are compared with."""
        return {
            COPIES["asyncpg"]: lambda rows: self._run(self._copy(rows)),
            "sqlalchemy Core insert": lambda rows: self._run(self._core(rows)),
            DBKIT: lambda rows: self._run(ainsert_many(self._database, Address, iter(rows))),
        }

    def ways_to_read(self) -> dict[str, Callable[[], int]]:
        """Return the ways to read all rows; each returns how many there were."""
        return {CURSOR: lambda: self._run(self._cursor()), STREAM: lambda: self._run(self._stream())}

    async def _copy(self, rows: list[dict[str, Any]]) -> None:
        async with self._engine.connect() as connection:
            raw: Any = (await connection.get_raw_connection()).driver_connection
            async with raw.transaction():
                records = (tuple(row.values()) for row in rows)
                await raw.copy_records_to_table("bulk_addresses", records=records, columns=NAMES)

    async def _core(self, rows: list[dict[str, Any]]) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(insert(Address), rows)

    async def _cursor(self) -> int:
        count = 0
        async with self._engine.connect() as connection:
            raw: Any = (await connection.get_raw_connection()).driver_connection
            async with raw.transaction():
                async for _ in raw.cursor(f"SELECT {', '.join(NAMES)} FROM bulk_addresses", prefetch=1000):
                    count += 1
        return count

    async def _stream(self) -> int:
        count = 0
        async with self._database.reader.connection() as connection:
            async for _ in astream(connection, select(Address.__table__)):
                count += 1
        return count
