"""A program that is killed between its COMMIT and the reply: it says its token first, and then commits."""

from __future__ import annotations

import asyncio
import sys

from sqlalchemy import text

import dbkit

_APPEND = text("INSERT INTO elements (element) VALUES (:element)")


def _say_token(database: dbkit.Database) -> None:
    # a service would write its token down before it commits; this one tells it to who is going to ask
    print(database.commit_token, flush=True)


async def _append(database: dbkit.Database, number: int) -> None:
    async with database.writer.exactly_once() as session:
        _say_token(database)
        await session.execute(_APPEND, {"element": number})


def main(url: str, number: str, colour: str) -> None:
    """Append an element, exactly once."""
    database = dbkit.Database(url)
    if colour == "asyncio":
        asyncio.run(_append(database, int(number)))
        return
    with database.writer.exactly_once() as session:
        _say_token(database)
        session.execute(_APPEND, {"element": int(number)})


if __name__ == "__main__":
    main(*sys.argv[1:])
