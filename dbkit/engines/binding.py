"""A deadline for a part of a transaction."""

from __future__ import annotations

from collections.abc import Callable

from dbkit.deadline import Deadline
from dbkit.engines.connection import TrackedConnection
from dbkit.engines.guarded import guarded
from dbkit.engines.timekeeper import TimeKeeper


def bind(connection: TrackedConnection, deadline: Deadline) -> Callable[[], None]:
    """Let a deadline bound what a connection does, until the returned function is called.

    When it passes meanwhile, the transaction is lost, and not only the part that it was set for.
    """
    watched = guarded(connection)
    if watched.time is not None:
        return watched.time.bound(deadline)
    keeper = watched.time = TimeKeeper(deadline, whole=False)
    if watched.is_taken:
        keeper.taken(watched)

    def unbind() -> None:
        watched.time = None
        keeper.leave(watched)

    return unbind
