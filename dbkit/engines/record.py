"""A pooled connection, with what its pool knows of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy.pool.base import _ConnectionRecord

from dbkit.backends.base import SessionFacts

_SEVERAL = 3
_KEPT = 20


class Record(_ConnectionRecord):
    """A connection of a pool.

    :ivar opened_at: when it was opened, in the seconds of the pool's clock.
    :ivar expires_at: from when on it is replaced when it is next asked for.
    :ivar proven_at: until when its server was what it is used as: a writer's the primary.
    :ivar taken_at: when it was last taken from the pool.
    :ivar holder: who has it in use: a thread's ident, or a weak reference to an asyncio task; None where the code that
        took it did not say.
    :ivar alone: a statement that is no part of a block can be sent by itself.
    :ivar autocommit: what lets the connection take such statements, and returns what goes back; None: nothing does.
    :ivar back: what goes back; None: it takes none, or always does.
    :ivar singles: how many such statements have come since the last block, where they want something to be switched.
    :ivar kept: by their statements, cursors that are free for whoever sends these past SQLAlchemy; those that were used
        last.
    """

    opened_at = 0.0
    proven_at = 0.0
    expires_at = float("inf")
    taken_at = 0.0
    holder: Any = None
    alone = False
    autocommit: Callable[[Any], Callable[[], None]] | None = None
    back: Callable[[], None] | None = None
    singles = 0

    def __init__(self, pool: Any, connect: bool = True) -> None:
        self.kept: dict[str, Any] = {}
        super().__init__(pool, connect)

    def stand(self, facts: SessionFacts) -> None:
        """Take note of what a connection that was just opened can do."""
        self.alone, self.autocommit, self.back, self.singles = facts.alone, facts.autocommit, None, 0
        self.kept.clear()

    def keep(self, sql: str, kept: Any) -> None:
        """Keep a cursor for its statement."""
        self.kept[sql] = kept
        if len(self.kept) > _KEPT:
            del self.kept[next(iter(self.kept))]

    def take_singles(self) -> bool:
        """Let it take statements by themselves, once several have come with no block between; return whether it does.

        Switching is a round trip, which only pays where more of them follow.
        """
        if self.autocommit is None:
            return False
        self.singles += 1
        if self.singles < _SEVERAL:
            return False
        self.back = self.autocommit(self.dbapi_connection)
        self.alone = True
        return True

    def take_blocks(self) -> Callable[[], None] | None:
        """Let it take a block again; return what is to be done with the connection for that, if anything is."""
        self.singles = 0
        back, self.back = self.back, None
        if back is not None:
            self.alone = False
        return back
