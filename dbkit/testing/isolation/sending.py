"""How the sandbox sends its own statements: with as few trips as each driver allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy.util import await_only

from dbkit.spec import Colour

Send = Callable[[Any, tuple[str, ...]], None]
"""Sends statements that return nothing on a DBAPI connection, or on the pool's proxy of one."""


def _one_by_one(connection: Any, statements: tuple[str, ...]) -> None:
    cursor = connection.cursor()
    try:
        for statement in statements:
            cursor.execute(statement)
    finally:
        cursor.close()


def _together(connection: Any, statements: tuple[str, ...]) -> None:
    _one_by_one(connection, ("; ".join(statements),))


# psycopg prepares what it sees often, and two statements at once cannot be prepared


def _together_unprepared(connection: Any, statements: tuple[str, ...]) -> None:
    connection.execute("; ".join(statements), prepare=False).close()


def _together_unprepared_in_task(connection: Any, statements: tuple[str, ...]) -> None:
    await_only(connection.driver_connection.execute("; ".join(statements), prepare=False))


def _through_the_thread_once(connection: Any, statements: tuple[str, ...]) -> None:
    # a cursor goes to aiosqlite's thread and back three times for a statement
    native = connection.driver_connection
    for statement in statements:
        await_only(native.execute_fetchall(statement))


_SENDERS: Mapping[tuple[str, str, Colour], Send] = MappingProxyType(
    {
        ("postgresql", "psycopg", Colour.BLOCKING): _together_unprepared,
        ("postgresql", "psycopg", Colour.ASYNCIO): _together_unprepared_in_task,
        ("postgresql", "psycopg2", Colour.BLOCKING): _together,
        ("sqlite", "aiosqlite", Colour.ASYNCIO): _through_the_thread_once,
    }
)


def sender_for(product: str, driver: str, colour: Colour) -> Send:
    """Return what sends the sandbox's statements through a driver."""
    return _SENDERS.get((product, driver, colour), _one_by_one)
