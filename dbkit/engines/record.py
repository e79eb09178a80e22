"""A pooled connection, with what its pool knows of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy.pool.base import _ConnectionRecord


class Record(_ConnectionRecord):
    """A connection of a pool.

    :ivar opened_at: when it was opened, in the seconds of the pool's clock.
    :ivar expires_at: from when on it is replaced when it is next asked for.
    :ivar proven_at: until when its server was what it is used as: a writer's the primary.
    :ivar taken_at: when it was last taken from the pool.
    :ivar holder: who has it in use: a thread's ident, or a weak reference to an asyncio task; None where the code that
        took it did not say.
    :ivar cursor: a DBAPI connection, and a cursor of it that is free for whoever sends a statement by itself.
    """

    opened_at = 0.0
    proven_at = 0.0
    expires_at = float("inf")
    taken_at = 0.0
    holder: Any = None
    cursor: tuple[Any, Any] = (None, None)
