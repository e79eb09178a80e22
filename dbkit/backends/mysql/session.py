"""MySQL and MariaDB connections: how they are opened, and how their transactions stand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy.engine import URL

from dbkit.backends.base import Role, SessionFacts, SessionSettings, Standing
from dbkit.spec import Isolation

# SERVER_STATUS_IN_TRANS of the client protocol's OK packet
_IN_TRANSACTION = 0x0001
_STRICT_MODES = ("TRADITIONAL", "STRICT_ALL_TABLES")
_VARIABLES = (
    "SHOW VARIABLES WHERE Variable_name IN "
    "('sql_mode', 'tx_isolation', 'transaction_isolation', 'innodb_rollback_on_timeout')"
)


def vet(url: URL) -> URL:
    """Ask for utf8mb4 unless the URL asks for something else: MySQL's ``utf8`` refuses four-byte characters."""
    return url if "charset" in url.query else url.update_query_dict({"charset": "utf8mb4"})


def engine_arguments(url: URL, driver: str, role: Role, settings: SessionSettings) -> dict[str, Any]:
    """Return the connect arguments of a driver."""
    arguments: dict[str, Any] = {}
    if settings.connect_timeout is not None and "connect_timeout" not in url.query:
        arguments["connect_timeout"] = settings.connect_timeout
    return {"connect_args": arguments}


def open_session(connection: Any, driver: str, role: Role, settings: SessionSettings) -> SessionFacts:
    """Set the session's variables, and look at the modes that are in force then."""
    wanted = {"sql_mode": settings.mysql_sql_mode, "wsrep_sync_wait": settings.mysql_wsrep_sync_wait}
    values = {name: value for name, value in wanted.items() if value is not None}
    cursor = connection.cursor()
    try:
        if values:
            cursor.execute("SET " + ", ".join(f"SESSION {name} = %s" for name in values), tuple(values.values()))
        cursor.execute(_VARIABLES)
        variables = {str(name): str(value) for name, value in cursor.fetchall()}
        reads = role is Role.READER and not settings.transaction_pooling
        autocommits = reads and _has_no_snapshot(variables)
        facts = SessionFacts(
            autocommits=autocommits,
            alone=autocommits,
            autocommit=_autocommit if reads and not autocommits else None,
            lock_timeout_rolls_back=variables.get("innodb_rollback_on_timeout") == "ON",
            warning=_fault_of(variables.get("sql_mode")),
        )
        connection.rollback()
        if reads:
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
    finally:
        cursor.close()
    if autocommits:
        _send(connection, "SET SESSION autocommit = 1")
    return facts


def _has_no_snapshot(variables: dict[str, str]) -> bool:
    level = variables.get("transaction_isolation") or variables.get("tx_isolation") or "REPEATABLE-READ"
    return Isolation.of(level) <= Isolation.READ_COMMITTED


def _autocommit(connection: Any) -> Callable[[], None]:
    """Let each statement be a transaction of its own; return what ends that."""
    _send(connection, "SET SESSION autocommit = 1")
    return partial(_send, connection, "SET SESSION autocommit = 0")


def _fault_of(mode: str | None) -> str:
    if mode is None:
        return "the server does not tell its sql_mode; data that does not fit may be stored cut off"
    if any(name in mode.upper().split(",") for name in _STRICT_MODES):
        return ""
    return (
        f"the server's sql_mode is {mode!r}, so data that does not fit is stored cut off without an error; set "
        "[database] mysql_sql_mode to TRADITIONAL or STRICT_ALL_TABLES"
    )


def begin(role: Role, settings: SessionSettings) -> Callable[[Any], None] | None:
    """A transaction opens with its first statement, and a reader's session makes it READ ONLY.

    Behind a proxy the session is another one each time, so that a reader has to say it each time.
    """
    if role is Role.WRITER or not settings.transaction_pooling:
        return None
    return partial(_send, statement="START TRANSACTION READ ONLY")


def isolate(connection: Any, level: Isolation) -> None:
    """Set the level of the next transaction only; the server goes back to its default by itself."""
    _send(connection, f"SET TRANSACTION ISOLATION LEVEL {level.sql}")


def _send(connection: Any, statement: str) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute(statement)
    finally:
        cursor.close()


def standing(connection: Any, driver: str) -> Standing:
    """Read the status of the last OK packet, where the driver keeps it; an error packet carries none."""
    native = getattr(connection, "driver_connection", connection)
    status = getattr(native, "server_status", None)
    if not isinstance(status, int):
        return Standing.NOT_KNOWN
    return Standing.OPEN if status & _IN_TRANSACTION else Standing.NONE


def ask_standing(connection: Any, driver: str) -> Standing:
    """Ask MariaDB; MySQL has no such variable."""
    cursor = connection.cursor()
    try:
        cursor.execute("SELECT @@in_transaction")
        (inside,) = cursor.fetchone()
    except connection_errors(connection):
        return Standing.NOT_KNOWN
    finally:
        cursor.close()
    return Standing.OPEN if int(inside) else Standing.NONE


def connection_errors(connection: Any) -> type[Exception]:
    """Return the base class of the errors that the connection's driver raises."""
    for owner in (connection, getattr(connection, "dbapi", None)):
        found = getattr(owner, "Error", None)
        if isinstance(found, type) and issubclass(found, Exception):
            return found
    return Exception


def leave_autocommit(connection: Any) -> Callable[[], None]:
    """Open a READ ONLY transaction by name; COMMIT ends it and the session autocommits again."""
    _send(connection, "START TRANSACTION READ ONLY")
    return lambda: None
