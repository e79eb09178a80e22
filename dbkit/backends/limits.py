"""What tells a server how long it may work for a block."""

from __future__ import annotations

from typing import Any, Protocol


class Limits(Protocol):
    """Bounds on the server's side; one object serves one block on one connection.

    Connections are those of SQLAlchemy's pool, as for :class:`~dbkit.backends.base.Backend`.

    :ivar needs_transaction: they hold inside a transaction only, so that an autocommitting reader must open one.
    """

    needs_transaction: bool

    def taken(self, connection: Any, left_s: float) -> None:
        """Bound what begins on a connection that was just taken from the pool, BEGIN included."""

    def sending(self, connection: Any, statement: str, is_many: bool, left_s: float) -> str:
        """Return the statement as it is to be sent, so that it ends in time.

        :param is_many: it is sent by the driver's ``executemany``.
        """

    def change(self) -> None:
        """Another time is left than was said before; what is told next is true again."""

    def let_go(self, connection: Any, goes_on: bool) -> None:
        """Take the bounds off a connection that goes back to its pool.

        :param goes_on: the transaction goes on without them; else it has ended, and what ends with it is gone.
        """


class NoLimits:
    """For a server that cannot be told; the watchdog is all there is."""

    needs_transaction = False

    def taken(self, connection: Any, left_s: float) -> None:
        """Nothing is told."""

    def sending(self, connection: Any, statement: str, is_many: bool, left_s: float) -> str:
        """The statement stays as it is."""
        return statement

    def change(self) -> None:
        """Nothing was told."""

    def let_go(self, connection: Any, goes_on: bool) -> None:
        """Nothing was told."""


def milliseconds(left_s: float) -> int:
    """Return seconds in whole milliseconds, at least one: 0 sets no limit with most servers."""
    return max(1, round(left_s * 1000))


def run(connection: Any, statement: str, parameters: Any = None) -> Any:
    """Execute a statement of our own on a DBAPI connection; return its first row, or None."""
    cursor = connection.cursor()
    try:
        if parameters is None:
            cursor.execute(statement)
        else:
            cursor.execute(statement, parameters)
        return cursor.fetchone() if cursor.description else None
    finally:
        cursor.close()
