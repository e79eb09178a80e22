"""What a block asks for: its mode, its relation to an open block, its handle, its isolation."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Mode(enum.Enum):
    """What a block may do."""

    WRITER = "writer"
    READER = "reader"
    REPLICA = "replica"
    """A reader that may be served by a replica that lags."""


class Propagation(enum.Enum):
    """What a block does when one is open already."""

    REQUIRED = "required"
    """Join it."""
    REQUIRES_NEW = "requires new"
    """Open a transaction of its own beside it (``.independent``)."""
    NESTED = "nested"
    """Open a savepoint in it (``.savepoint``)."""


class Handle(enum.Enum):
    """What a block hands to the code inside it."""

    SESSION = "session"
    CONNECTION = "connection"


class Colour(enum.Enum):
    """How the code inside a block runs."""

    BLOCKING = "blocking"
    ASYNCIO = "asyncio"


class Isolation(enum.IntEnum):
    """Isolation levels of the SQL standard, weakest first."""

    READ_UNCOMMITTED = 1
    READ_COMMITTED = 2
    REPEATABLE_READ = 3
    SERIALIZABLE = 4

    @property
    def sql(self) -> str:
        """The level as SQL writes it."""
        return self.name.replace("_", " ")

    @classmethod
    def of(cls, text: str) -> Isolation:
        """Return the level that a text such as ``"repeatable read"`` names.

        :raises KeyError: there is no such level.
        """
        return cls[text.strip().upper().replace(" ", "_").replace("-", "_")]


@dataclass(frozen=True, slots=True)
class TransactionSpec:
    """What one block asks for. Each modifier is one ``dataclasses.replace``, so their order cannot matter."""

    mode: Mode = Mode.READER
    propagation: Propagation = Propagation.REQUIRED
    handle: Handle = Handle.SESSION
    isolation: Isolation | None = None
    accept_replica: bool = False
    """A reader that may join an open block which reads from a replica."""
