"""Who listens to the sessions of blocks, and wants to be told what only a session tells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy.event.attr import _EmptyListener

from dbkit.transaction.session import BlockSession, before_flush


def _listeners_of_all(name: str) -> Sequence[Any]:
    """Return who listens to an event of all sessions of blocks; what is returned grows with them."""
    dispatch: Any = getattr(BlockSession.dispatch, name)
    dispatch.update_subclass(BlockSession)
    found: Sequence[Any] = dispatch._clslevel[BlockSession]
    return found


# Each by itself, so that it is looked at without a call.
BEFORE_FLUSH = _listeners_of_all("before_flush")
AFTER_FLUSH = _listeners_of_all("after_flush")
AFTER_POSTEXEC = _listeners_of_all("after_flush_postexec")
OUR_OWN = before_flush
"""dbkit's own listener, which looks at what is not there past a flush; nobody else listens if it is first and last."""
ORM_EXECUTE = _listeners_of_all("do_orm_execute")
AFTER_BEGIN = _listeners_of_all("after_begin")
OF_OBJECTS = tuple(
    _listeners_of_all(name)
    for name in ("before_attach", "after_attach", "transient_to_pending", "pending_to_persistent")
)
OF_ENDS = tuple(
    _listeners_of_all(name) for name in ("before_commit", "after_commit", "after_rollback", "after_soft_rollback")
)


def is_watched(session: Any) -> bool:
    """Return whether somebody listens to what this very session does with objects."""
    if "dispatch" not in session.__dict__:
        return False
    events = session.dispatch
    flushes = (events.before_flush, events.after_flush, events.after_flush_postexec)
    lives = (
        events.before_attach,
        events.after_attach,
        events.transient_to_pending,
        events.pending_to_persistent,
    )
    return _has_any((*flushes, *lives))


def is_overheard(session: Any) -> bool:
    """Return whether somebody listens to the statements of this very session."""
    if "dispatch" not in session.__dict__:
        return False
    events = session.dispatch
    return _has_any((events.do_orm_execute, events.after_begin))


def _has_any(collections: Iterable[Any]) -> bool:
    for each in collections:
        if each.__class__ is not _EmptyListener and each:
            return True
    return False
