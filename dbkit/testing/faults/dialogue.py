"""What a proxy must know of a protocol: where messages end, what they ask for, and when that has been answered.

A parser does no I/O. It is fed what has come from either side, in pieces of any size, and tells it apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from dbkit.testing.faults.sql import STATEMENT, Dialect, names_of

#: The name of the whole exchange before a client can send its first statement.
CONNECT = "connect"

#: The name of the message with which a client says farewell.
QUIT = "quit"

#: The name of the message that asks the server to cancel another connection's statement.
CANCEL = "cancel"


class Unreadable(Exception):
    """What has come is not of this protocol, or is encrypted; the text says which."""


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One thing that a client asks of a server; each is equal to itself alone.

    :ivar names: what rules can call it by.
    :ivar text: the SQL, with what the client has written into it.
    """

    names: frozenset[str]
    text: str = ""

    @property
    def is_statement(self) -> bool:
        """Whether it is SQL that is executed."""
        return STATEMENT in self.names


def named(name: str) -> Operation:
    """Return an operation that is no SQL."""
    return Operation(frozenset((name,)))


def statement(text: str, dialect: Dialect) -> Operation:
    """Return an operation that executes this text."""
    return Operation(names_of(text, dialect), text)


@dataclass(frozen=True, slots=True)
class Frame:
    """Some of what a client has sent: whole messages, of which the first may ask for something.

    :ivar data: what goes on to the server.
    :ivar operation: what it asks for.
    :ivar answer: what the client gets from the proxy itself.
    :ivar completes: operations that have nothing to wait for once this is forwarded.
    """

    data: bytes
    operation: Operation | None = None
    answer: bytes = b""
    completes: tuple[Operation, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of what a server has sent: whole messages that belong to one answer.

    :ivar operation: the one that it answers.
    :ivar is_question: the client must see it for the answer to go on.
    :ivar completes: operations whose answer is now whole.
    """

    data: bytes
    operation: Operation | None = None
    is_question: bool = False
    completes: tuple[Operation, ...] = ()


class Dialogue(Protocol):
    """The parser of one connection."""

    dialect: Dialect

    def opening(self) -> Operation | None:
        """Return what a new connection asks for before it says anything; None if it speaks first."""

    def from_client(self, data: bytes) -> Iterator[Frame]:
        """Yield the messages that have come whole.

        :raises Unreadable: it is not of this protocol.
        """

    def from_server(self, data: bytes) -> Iterator[Piece]:
        """Yield the messages that have come whole.

        :raises Unreadable: it is not of this protocol.
        """
