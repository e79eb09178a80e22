"""PostgreSQL connections: how they are opened, and how their transactions stand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy.engine import URL

from dbkit.backends.base import Role, SessionFacts, SessionSettings, Standing
from dbkit.spec import Isolation

_MAKE_READ_ONLY = (
    "SELECT set_config('default_transaction_read_only', 'on', false), current_setting('default_transaction_isolation')"
)
# libpq's PGTransactionStatusType, as psycopg and psycopg2 show it
_STANDINGS = {0: Standing.NONE, 1: Standing.OPEN, 2: Standing.OPEN, 3: Standing.FAILED}


def engine_arguments(url: URL, driver: str, role: Role, settings: SessionSettings) -> dict[str, Any]:
    """Return the connect arguments of a driver."""
    if driver == "asyncpg":
        return _asyncpg_arguments(settings)
    arguments: dict[str, Any] = {}
    if "client_encoding" not in url.query:
        arguments["client_encoding"] = "utf8"
    if settings.connect_timeout is not None and "connect_timeout" not in url.query:
        arguments["connect_timeout"] = settings.connect_timeout
    if settings.transaction_pooling and driver.startswith("psycopg") and driver != "psycopg2":
        arguments["prepare_threshold"] = None
    return {"connect_args": arguments}


def _asyncpg_arguments(settings: SessionSettings) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    if settings.connect_timeout is not None:
        arguments["timeout"] = settings.connect_timeout
    if settings.transaction_pooling:
        # a proxy gives the next transaction another session, where no prepared statement is found again
        arguments["statement_cache_size"] = 0
        arguments["prepared_statement_cache_size"] = 0
    return {"connect_args": arguments}


def open_session(connection: Any, driver: str, role: Role, settings: SessionSettings) -> SessionFacts:
    """Make a reader's connection read-only, and autocommitting where that loses no promise.

    The server is told, so that not even a statement outside any transaction writes. At READ COMMITTED each statement
    has a snapshot of its own anyway, so a reader needs no BEGIN.
    """
    if role is not Role.READER:
        return SessionFacts()
    level = None
    if not settings.transaction_pooling:
        cursor = connection.cursor()
        try:
            cursor.execute(_MAKE_READ_ONLY)
            _, level = cursor.fetchone()
        finally:
            cursor.close()
        connection.commit()
    if driver == "psycopg2":
        connection.set_session(readonly=True)
    elif driver == "asyncpg":
        connection.readonly = True
    else:
        connection.set_read_only(True)
    if level is None:
        return SessionFacts()
    if Isolation.of(level) > Isolation.READ_COMMITTED:
        return SessionFacts(autocommit=partial(_enter_autocommit, driver))
    connection.autocommit = True
    return SessionFacts(autocommits=True, alone=True)


def isolate(connection: Any, driver: str, dialect: Any, level: Isolation) -> Callable[[], None]:
    """Set the level of the next transaction; the driver sends it with BEGIN."""
    was_autocommit = bool(connection.autocommit)
    if level is Isolation.READ_UNCOMMITTED:
        level = Isolation.READ_COMMITTED  # the server gives it for both, and SQLAlchemy's asyncpg knows only this name
    dialect.set_isolation_level(connection, level.sql)

    def restore() -> None:
        dialect.reset_isolation_level(connection)
        if was_autocommit:
            _autocommit(connection, driver)

    return restore


def leave_autocommit(connection: Any, driver: str) -> Callable[[], None]:
    """Let the driver open a transaction with the next statement; it is READ ONLY by the connection's own setting."""
    connection.autocommit = False
    return partial(_autocommit, connection, driver)


def _enter_autocommit(driver: str, connection: Any) -> Callable[[], None]:
    _autocommit(connection, driver)
    return partial(setattr, connection, "autocommit", False)


def _autocommit(connection: Any, driver: str) -> None:
    if driver == "psycopg2":
        # it has reset the server's default to read-write when it left autocommit, and must set it again
        connection.set_session(readonly=True, autocommit=True)
    else:
        connection.autocommit = True


def standing(connection: Any, driver: str) -> Standing:
    """Read the status that the server sent with its last reply."""
    if driver == "psycopg":
        native = getattr(connection, "driver_connection", connection)
        return _STANDINGS.get(native.pgconn.transaction_status, Standing.NOT_KNOWN)
    if driver == "psycopg2":
        return _STANDINGS.get(connection.info.transaction_status, Standing.NOT_KNOWN)
    # asyncpg tells a transaction from none, but not a failed one from one that can go on
    return Standing.NOT_KNOWN if connection.driver_connection.is_in_transaction() else Standing.NONE


def ask_standing(connection: Any, driver: str) -> Standing:
    """Send a statement that does nothing: in a failed transaction it is refused."""
    if driver != "asyncpg":
        return standing(connection, driver)
    if not connection.driver_connection.is_in_transaction():
        return Standing.NONE
    cursor = connection.cursor()
    try:
        cursor.execute("SELECT 1")
    except connection.dbapi.Error:
        return Standing.FAILED
    finally:
        cursor.close()
    return Standing.OPEN
