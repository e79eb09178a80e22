"""What the commit fence asks of a product: how COMMIT carries a token, and how a token decides.

A backend that has one offers it as ``fencing()``, and as ``status_fencing()`` where the server itself remembers; see
:func:`fence_of`.
"""

from __future__ import annotations

import enum
import uuid
from typing import Any, Protocol, cast

from sqlalchemy.engine import Connection, Dialect

from dbkit.backends.base import Backend
from dbkit.exceptions import InvalidSetting


class Verdict(enum.Enum):
    """What became of a transaction."""

    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    """It is not stored, and never will be."""
    OPEN = "open"
    """It is under way still; ask again."""
    PURGED = "purged"
    """It is so old that its row may have been removed: nobody can tell any more."""


class Fencing(Protocol):
    """The commit fence of one product. SQL goes to the driver as text, without parameters; a token is no secret."""

    def literal(self, token: uuid.UUID) -> str:
        """Return a token as SQL writes it."""

    def insert(self, token: uuid.UUID) -> str:
        """Return the statement that writes the token of a transaction, last of all."""

    def commit_with(self, dialect: Dialect, insert: str) -> str | None:
        """Return one message that inserts and commits, for drivers that can send it; None for the others."""

    def send(self, connection: Any, driver: str, text: str) -> None:
        """Send a message without parameters on a DBAPI connection, in one round trip."""

    def fence(self, connection: Connection, token: uuid.UUID, wait_s: float) -> Verdict:
        """Make sure that the transaction is stored or never will be, and say which.

        :param connection: in a transaction of its own, which the caller commits; only then does the answer hold.
        :param wait_s: how long to wait for a transaction that holds the token and is open still.
        """

    def end_original(self, connection: Connection, token: uuid.UUID) -> None:
        """End the session whose open transaction holds the token: nobody listens to it any more."""


StatusText = str
"""What :class:`StatusFencing` gives as a token: the text says of which server, and which transaction there."""


class StatusFencing(Protocol):
    """Another fence, without a table, where the server remembers what became of a transaction."""

    def identify(self, connection: Any, driver: str) -> StatusText | None:
        """Return what the open transaction is known by; None: it has written nothing."""

    def verdict(self, connection: Connection, token: StatusText) -> Verdict:
        """Return what became of the transaction."""

    def end_original(self, connection: Connection, token: StatusText) -> None:
        """End the session in which the transaction is open still."""


def fence_of(backend: Backend) -> Fencing:
    """Return the fence of a product by the token table.

    :raises InvalidSetting: it has none.
    """
    made = getattr(backend, "fencing", None)
    if made is None:
        raise InvalidSetting(f"{backend.name} has no commit fence, so its blocks can't be exactly_once")
    fencing: Fencing = made()
    return fencing


def status_fence_of(backend: Backend) -> StatusFencing:
    """Return the fence of a product that needs no table.

    :raises InvalidSetting: it has none.
    """
    made = getattr(backend, "status_fencing", None)
    fence = None if made is None else made()
    if fence is None:
        raise InvalidSetting(
            f"{backend.name} does not remember what became of its transactions; use commit_fence = table"
        )
    return cast(StatusFencing, fence)
