"""A program that is killed between its COMMIT and the reply: it says its token first, and then commits."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from sqlalchemy import text

import dbkit
from dbkit import tokens
from dbkit.transaction import fence

_APPEND = text("INSERT INTO elements (element) VALUES (:element)")


def _say(made: Any) -> Any:
    def new_token() -> Any:
        token = made()
        print(token, flush=True)
        return token

    return new_token


async def _append(database: dbkit.Database, number: int) -> None:
    async with database.writer.exactly_once() as session:
        await session.execute(_APPEND, {"element": number})


def main(url: str, number: str, colour: str) -> None:
    """Append an element, exactly once."""
    # a service would write its token down before it commits; this one tells it to who is going to ask
    fence.new_token = _say(tokens.new_token)
    database = dbkit.Database(url)
    if colour == "asyncio":
        asyncio.run(_append(database, int(number)))
        return
    with database.writer.exactly_once() as session:
        session.execute(_APPEND, {"element": int(number)})


if __name__ == "__main__":
    main(*sys.argv[1:])
