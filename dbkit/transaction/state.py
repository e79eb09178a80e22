"""The states of a transaction and the moves between them."""

from __future__ import annotations

import enum


class State(enum.Enum):
    """Where a transaction stands."""

    NEW = "new"
    """Nothing was sent yet, and no connection is held."""
    ACTIVE = "active"
    """A connection is held."""
    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    UNKNOWN = "unknown"
    """COMMIT was sent and no reply came: not known, and so never tried again."""
    CLOSED = "closed"
    """The connection is back in its pool."""

    next: tuple[State, ...]
    """The states that it can go to, see :data:`MOVES`."""


#: The legal moves.
MOVES: dict[State, tuple[State, ...]] = {
    State.NEW: (State.ACTIVE, State.COMMITTED, State.ROLLED_BACK),
    State.ACTIVE: (State.COMMITTED, State.ROLLED_BACK, State.UNKNOWN),
    State.COMMITTED: (State.CLOSED,),
    State.ROLLED_BACK: (State.CLOSED,),
    State.UNKNOWN: (State.CLOSED,),
    State.CLOSED: (),
}
for _state, _next in MOVES.items():
    _state.next = _next  # read at every move; hashing an enum's member for a dict costs two calls


class IllegalMove(AssertionError):
    """A transaction was asked to make a move that its state does not have: a defect of dbkit."""


def moved(old: State, new: State) -> State:
    """Return the new state if the move is legal.

    :raises IllegalMove: it is not.
    """
    if new not in old.next:
        raise IllegalMove(f"a transaction cannot go from {old.value!r} to {new.value!r}")
    return new
