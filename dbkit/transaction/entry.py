"""How a block enters: the whole policy, as a pure function and a table."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from dbkit.exceptions import ModeConflict, TransactionOwnedElsewhere
from dbkit.spec import Colour, Isolation, Mode, Propagation, TransactionSpec


class Entry(enum.Enum):
    """What entering a block does."""

    BEGIN = "begin"
    """Open a transaction."""
    JOIN = "join"
    """Take part in the open one."""
    SAVEPOINT = "savepoint"
    """Take part in it behind a savepoint."""


@dataclass(frozen=True, slots=True)
class Enclosing:
    """The open block that a new one meets.

    :ivar isolation: the level that it asked for, if it did.
    """

    mode: Mode
    owner: Any
    colour: Colour
    isolation: Isolation | None = None


#: Which modes an open block of each mode takes in.
GRANTS: dict[Mode, frozenset[Mode]] = {
    Mode.WRITER: frozenset({Mode.WRITER, Mode.READER, Mode.REPLICA}),
    Mode.READER: frozenset({Mode.READER, Mode.REPLICA}),
    Mode.REPLICA: frozenset({Mode.REPLICA}),
}


def decide(spec: TransactionSpec, outer: Enclosing | None, me: Any, colour: Colour) -> Entry:
    """Return how a block enters.

    :param outer: the nearest open block of the same context and the same source of connections, or None.
    :param me: the thread's ident, or the asyncio task.
    :raises TransactionOwnedElsewhere: the open block was entered in another task or thread.
    :raises ModeConflict: the open block can't take this one in.
    """
    if outer is None or spec.propagation is Propagation.REQUIRES_NEW:
        return Entry.BEGIN
    if outer.colour is not colour:
        raise ModeConflict(_OTHER_COLOUR[outer.colour])
    if outer.owner != me:
        raise TransactionOwnedElsewhere(
            f"a {spec.mode.value} block was entered in another task or thread than the open {outer.mode.value} block "
            "around it, and a transaction serves one of them at a time; open this one with .independent, or enter it "
            "in the task or thread that owns the transaction (asyncio.wait_for makes a task on Python 3.11; "
            "asyncio.timeout does not)"
        )
    if spec.mode not in GRANTS[outer.mode] and not (spec.accept_replica and spec.mode is Mode.READER):
        raise ModeConflict(_REFUSALS[outer.mode, spec.mode])
    if spec.isolation is not None and (outer.isolation is None or outer.isolation < spec.isolation):
        have = "the server's default level" if outer.isolation is None else outer.isolation.sql
        raise ModeConflict(
            f"a block that asks for {spec.isolation.sql} cannot join a transaction that runs at {have}; "
            "ask for the level on the outermost block, or open this one with .independent"
        )
    return Entry.SAVEPOINT if spec.propagation is Propagation.NESTED else Entry.JOIN


_OTHER_COLOUR = {
    Colour.ASYNCIO: (
        "a blocking block cannot join the open asyncio transaction; call its function through the open block's "
        "session, `await session.run_sync(lambda _: function(...))`, or open it with .independent"
    ),
    Colour.BLOCKING: (
        "an asyncio block cannot join the open blocking transaction; open the outer one with async with, or in a "
        "coroutine function, or open this one with .independent"
    ),
}

_REFUSALS = {
    (Mode.READER, Mode.WRITER): (
        "Can't upgrade a READER transaction to a WRITER mid-transaction: a writer block cannot run inside a reader "
        "block; make the outer one a writer, or open this one with .independent"
    ),
    (Mode.REPLICA, Mode.WRITER): (
        "Can't upgrade an ASYNC_READER transaction to a WRITER mid-transaction: a writer block cannot run inside a "
        "reader block; make the outer one a writer, or open this one with .independent"
    ),
    (Mode.REPLICA, Mode.READER): (
        "Can't upgrade an ASYNC_READER transaction to a READER mid-transaction: a reader that must see the newest "
        "rows cannot join one that reads from a replica; use .replica on this one too, or open it with .independent"
    ),
}
