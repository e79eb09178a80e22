"""Whether a PostgreSQL server takes writes: asked of it, or read from what it tells its clients by itself."""

from __future__ import annotations

from typing import Any

_TAKES_WRITES = "SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'"

_TELLING = ("in_hot_standby", "default_transaction_read_only")
"""What the server reports whenever it changes, since PostgreSQL 14. Source: documentation, "Asynchronous Operations"
of the protocol."""


def takes_writes(connection: Any) -> bool:
    """Ask the server, and end the transaction in which it was asked."""
    cursor = connection.cursor()
    try:
        cursor.execute(_TAKES_WRITES)
        (answer,) = cursor.fetchone()
    finally:
        cursor.close()
    connection.rollback()
    return bool(answer)


def is_not_primary(connection: Any, driver: str) -> bool:
    """Read what the server has reported of itself; where it reports nothing, take it for the server's doing.

    Otherwise the block has made its own transaction read-only.
    """
    reported = [_reported(connection, driver, name) for name in _TELLING]
    return "on" in reported or None in reported


def _reported(connection: Any, driver: str, name: str) -> str | None:
    native = getattr(connection, "driver_connection", connection)
    if driver == "asyncpg":
        value = getattr(native.get_settings(), name, None)
    elif driver == "psycopg2":
        value = native.get_parameter_status(name)
    else:
        found = native.pgconn.parameter_status(name.encode())
        value = None if found is None else found.decode()
    return value if isinstance(value, str) else None
