"""Who listens to the sessions of blocks, and wants to be told what only a flush tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.event.attr import _EmptyListener

from dbkit.transaction.session import BlockSession

_OF_A_FLUSH = ("before_flush", "after_flush", "after_flush_postexec")
_OF_ITS_OBJECTS = ("before_attach", "after_attach", "transient_to_pending", "pending_to_persistent")


def _listeners_of_all(name: str) -> Sequence[Any]:
    """Return who listens to an event of all sessions of blocks; what is returned grows with them."""
    dispatch: Any = getattr(BlockSession.dispatch, name)
    dispatch.update_subclass(BlockSession)
    found: Sequence[Any] = dispatch._clslevel[BlockSession]
    return found


BEFORE_FLUSH, AFTER_FLUSH, AFTER_POSTEXEC = (_listeners_of_all(name) for name in _OF_A_FLUSH)
OUR_OWN = BEFORE_FLUSH[0]
"""dbkit's own listener, which looks at what is not there past a flush."""
OF_OBJECTS = tuple(_listeners_of_all(name) for name in _OF_ITS_OBJECTS)


def is_watched(session: Any) -> bool:
    """Return whether somebody listens to what this very session does with objects."""
    if "dispatch" not in session.__dict__:
        return False
    events = session.dispatch
    for name in (*_OF_A_FLUSH, *_OF_ITS_OBJECTS):
        listeners = getattr(events, name)
        if listeners.__class__ is not _EmptyListener and listeners:
            return True
    return False
