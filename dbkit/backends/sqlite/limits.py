"""How SQLite is told of a deadline, and how what it does is interrupted."""

from __future__ import annotations

from typing import Any

from dbkit.backends.cord import CallCord, Cord
from dbkit.backends.limits import milliseconds, run


class SQLiteLimits:
    """``busy_timeout`` for the time that is left: while it waits for another process, it cannot be interrupted."""

    needs_transaction = False

    def __init__(self) -> None:
        self._before: int | None = None

    def taken(self, connection: Any, left_s: float) -> None:
        """Bound the wait for the write lock."""
        (before,) = run(connection, "PRAGMA busy_timeout")
        told = min(int(before), milliseconds(left_s))
        if told < int(before):
            self._before = int(before)
            run(connection, f"PRAGMA busy_timeout = {told}")

    def sending(self, connection: Any, statement: str, is_many: bool, left_s: float) -> str:
        """The lock is taken by BEGIN already; what runs long is interrupted."""
        return statement

    def change(self) -> None:
        """Nothing waits for a lock any more once the transaction has begun."""

    def let_go(self, connection: Any, goes_on: bool) -> None:
        """Wait again as long as the settings say."""
        if self._before is not None:
            run(connection, f"PRAGMA busy_timeout = {self._before}")
            self._before = None


def cord(connection: Any, driver: str) -> Cord | None:
    """Return what interrupts the statement that runs, which leaves the connection whole."""
    native = connection.driver_connection if driver == "aiosqlite" else connection
    if driver == "aiosqlite":
        native = native._conn  # its own interrupt() is a coroutine; the method below it is for any thread
    return CallCord(native.interrupt)
