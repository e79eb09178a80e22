"""What a block asks for: its mode, its relation to an open block, its handle, its isolation, its protection."""

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
class Retrying:
    """How often and when a function is run again; what is None is read from the settings.

    :param max_retries: runs after the first one; -1 sets no limit.
    :param interval_s: seconds from which waits grow after a lost connection or an overload.
    :param max_interval_s: seconds that no wait exceeds.
    :param also: classes of errors that are worth another run here, though they are not anywhere else.
    """

    max_retries: int | None = None
    interval_s: float | None = None
    max_interval_s: float | None = None
    also: tuple[type[Exception], ...] = ()


@dataclass(frozen=True, slots=True)
class Protection:
    """What an outermost block asks for beyond a transaction; None leaves it to the settings.

    :param retrying: the function may be run again.
    :param exactly_once: COMMIT carries a token, so that a lost reply can be decided.
    :param replays: after a lost connection the statements may be repeated on another one and compared.
    :param deadline_s: seconds that the block may take with everything under it.
    """

    retrying: Retrying | None = None
    exactly_once: bool | None = None
    replays: bool | None = None
    deadline_s: float | None = None


@dataclass(frozen=True, slots=True)
class TransactionSpec:
    """What one block asks for. Each modifier is one ``dataclasses.replace``, so their order cannot matter."""

    mode: Mode = Mode.READER
    propagation: Propagation = Propagation.REQUIRED
    handle: Handle = Handle.SESSION
    isolation: Isolation | None = None
    accept_replica: bool = False
    """A reader that may join an open block which reads from a replica."""
    protection: Protection | None = None
    """None where nothing is asked for, so that a plain block has one thing to look at."""
    without: frozenset[str] = frozenset()
    """The names of the rules of tables that do not count in it."""
