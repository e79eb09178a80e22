"""Deadlines for what is less than a block: a part of a transaction, and a question outside any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy.engine import Connection

from dbkit.backends.base import Backend
from dbkit.deadline import Deadline
from dbkit.engines.arriving import arriving
from dbkit.engines.connection import TrackedConnection
from dbkit.engines.guarded import guarded
from dbkit.engines.timekeeper import GRACE_S, TimeKeeper
from dbkit.engines.watchdog import WATCHDOG


def bind(connection: TrackedConnection, deadline: Deadline) -> Callable[[], None]:
    """Let a deadline bound what a connection does, until the returned function is called.

    When it passes meanwhile, the transaction is lost, and not only the part that it was set for.

    :raises DeadlineExceeded: it has passed already; the transaction goes on without it.
    """
    watched = guarded(connection)
    if watched.time is not None:
        return watched.time.bound(deadline)
    keeper = watched.time = TimeKeeper(deadline, whole=False)

    def unbind() -> None:
        watched.time = None
        keeper.leave(watched)

    if watched.is_taken:
        try:
            keeper.taken(watched)
        except BaseException:
            unbind()
            raise
    return unbind


@contextmanager
def connected(connect: Callable[[], Connection], backend: Backend, deadline: Deadline) -> Iterator[Connection]:
    """Give a connection outside any block, on which all ends soon after the deadline.

    :param connect: takes it from its pool.
    :raises DeadlineExceeded: there was none in time.
    """
    with arriving(deadline):
        connection = connect()
    with connection:
        cord = backend.cord(connection.connection.dbapi_connection, connection.dialect.driver.removesuffix("_async"))
        guard = None if cord is None else WATCHDOG.arm(deadline.left_s + GRACE_S, cord.cut)
        try:
            yield connection
        finally:
            if guard is not None and cord is not None:
                if guard.disarm() and not connection.invalidated:
                    connection.invalidate()
                cord.let_go()
