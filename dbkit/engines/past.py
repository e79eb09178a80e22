"""Statements that SQLAlchemy cannot carry out, such as COPY: sent past it, and guarded as any other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dbkit.engines.connection import TrackedConnection
from dbkit.engines.guarded import GuardedConnection
from dbkit.engines.view import Sent


def send_past(connection: TrackedConnection, statement: str, call: Callable[[Any], object]) -> None:
    """Carry out what the driver does by a method of its own; errors become what they are elsewhere.

    A block that replays is told of the statement, as any guard is.

    :param statement: its text, for the guards and for errors.
    :param call: does it, with a new cursor of the driver.
    :raises TransactionDoomed: the transaction is lost.
    :raises DBReadOnly: a reader block uses the connection.
    """
    if connection.watch:
        connection._look_at(statement, None)
    if connection._transaction is None:
        connection._autobegin()
    cursor: Any = None
    try:
        cursor = connection.driver_level.cursor()
        # parameters of many rows: no guard puts anything before a statement that has them
        sent = Sent(lambda cursor, statement, parameters, context: call(cursor), cursor, statement, [], None)
        if isinstance(connection, GuardedConnection):
            connection.send(sent)
        else:
            sent.carry_out()
        cursor.close()
    except BaseException as error:
        connection._handle_dbapi_exception(error, statement, None, cursor, None)
    connection.used = True
