"""How MariaDB and MySQL are told of a deadline, and how their connections are cut off."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from dbkit.backends.cord import Cord, socket_cord, transport_cord
from dbkit.backends.limits import milliseconds, run

# What MariaDB's SET STATEMENT accepts, and what can take long. Source: MariaDB documentation, "SET STATEMENT".
_CAN_TAKE_LONG = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|REPLACE|WITH|CALL|LOAD|ALTER|CREATE|DROP)\b", re.I)

# A limit of the session's own stays where it is shorter; 0 means that there is none.
_SHORTER = (
    "SET STATEMENT max_statement_time=IF(@@SESSION.max_statement_time BETWEEN 0.000001 AND {told:.3f}, "
    "@@SESSION.max_statement_time, {told:.3f}) FOR "
)


class MariaDBLimits:
    """``SET STATEMENT ... FOR`` before each statement: exact, without a round trip, and nothing is left behind.

    ``executemany`` is the exception: drivers make one INSERT of it only where they see the verb at its beginning. Then
    the session is told, and told anew that it is free when the block ends. A wait for a lock ends with the statement.
    """

    needs_transaction = False

    def __init__(self) -> None:
        self._before: float | None = None
        self._is_outdated = False

    def taken(self, connection: Any, left_s: float) -> None:
        """Each statement is told for itself."""

    def sending(self, connection: Any, statement: str, is_many: bool, left_s: float) -> str:
        """Return the statement with its limit before it."""
        if self._is_outdated:
            self.let_go(connection, goes_on=True)
        if _CAN_TAKE_LONG.match(statement) is None:
            return statement
        told = max(0.001, left_s)
        if not is_many:
            return _SHORTER.format(told=told) + statement
        if self._before is None:
            self._before = float(run(connection, "SELECT @@SESSION.max_statement_time")[0])
        run(connection, f"SET SESSION max_statement_time={min(self._before or told, told):.3f}")
        return statement

    def change(self) -> None:
        """Free the session before the next statement, which is told for itself."""
        self._is_outdated = self._before is not None

    def let_go(self, connection: Any, goes_on: bool) -> None:
        """Free the session if it was told."""
        if self._before is not None:
            run(connection, f"SET SESSION max_statement_time={self._before:.6f}")
            self._before = None
        self._is_outdated = False


class MySQLLimits:
    """Variables of the session, given back at the end of the block.

    MySQL bounds SELECT in milliseconds and waits for row locks in whole seconds; everything else is the watchdog's.
    Not tested against a MySQL server: none could be had.
    """

    needs_transaction = False

    def __init__(self) -> None:
        self._before: tuple[int, int] | None = None
        self._is_told = False

    def taken(self, connection: Any, left_s: float) -> None:
        """It is told with the first statement."""

    def sending(self, connection: Any, statement: str, is_many: bool, left_s: float) -> str:
        """Tell the session, if it does not know."""
        if not self._is_told:
            if self._before is None:
                row = run(connection, "SELECT @@SESSION.max_execution_time, @@SESSION.innodb_lock_wait_timeout")
                self._before = (int(row[0]), int(row[1]))
            time_ms, lock_s = self._before
            told = milliseconds(left_s)
            self._set(connection, min(time_ms or told, told), min(lock_s, int(left_s) + 1))
            self._is_told = True
        return statement

    def change(self) -> None:
        """Tell the session anew."""
        self._is_told = False

    def let_go(self, connection: Any, goes_on: bool) -> None:
        """Give the session its own values again."""
        if self._before is not None:
            self._set(connection, *self._before)
            self._before = None

    @staticmethod
    def _set(connection: Any, time_ms: int, lock_s: int) -> None:
        run(connection, f"SET SESSION max_execution_time={time_ms}, SESSION innodb_lock_wait_timeout={lock_s}")


def cord(connection: Any, driver: str) -> Cord | None:
    """Return what cuts the connection off."""
    native = getattr(connection, "driver_connection", connection)
    if driver == "pymysql":
        found = getattr(native, "_sock", None)
        return None if found is None else socket_cord(found.fileno())
    if driver == "mysqldb":
        return socket_cord(native.fileno()) if native.open else None
    writer = getattr(native, "_writer", None)
    return transport_cord(getattr(native, "_transport", None) or getattr(writer, "transport", None))


def hurried(driver: str, parameters: dict[str, Any], seconds: float) -> Callable[[Any], None] | None:
    """Let a connect that nobody waits for any more end by itself; return what undoes that on the connection."""
    bound = int(seconds) + 1
    given = parameters.get("connect_timeout")
    if given is None or given > bound:
        parameters["connect_timeout"] = bound
    if driver != "pymysql":
        return None
    # its connect_timeout covers neither the server's greeting nor the login, which are read like any answer
    before = {f"_{name}": parameters.get(name) for name in ("read_timeout", "write_timeout")}
    parameters.update(read_timeout=bound, write_timeout=bound)

    def restore(connection: Any) -> None:
        for name, value in before.items():
            setattr(connection, name, value)

    return restore
