"""The protocol behind which each database product stands."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy.engine import URL

from dbkit.backends.cord import Cord
from dbkit.backends.limits import Limits
from dbkit.backends.rules import RuleSet
from dbkit.exceptions import DBReadOnly
from dbkit.spec import Colour, Isolation


class Role(enum.Enum):
    """What the connections of a pool are opened for."""

    WRITER = "writer"
    READER = "reader"


class Standing(enum.Enum):
    """How the transaction on a connection stands."""

    OPEN = "open"
    NONE = "none"
    """No transaction is open: none was begun, or it has ended."""
    FAILED = "failed"
    """It can only be rolled back."""
    NOT_KNOWN = "not known"
    """The driver doesn't tell."""


@dataclass(frozen=True, slots=True)
class Driver:
    """A DBAPI driver, as a URL names it after the ``+``.

    :param module: what is imported.
    :param package: what is installed, as ``pip install`` takes it.
    :param partner: the driver of the other colour that the same URL uses there.
    :param arguments: returns the names that the driver accepts in the URL's query.
    :param translations: the partner's name of an argument, and this driver's name for it.
    :param keepalive_arguments: those by which the driver itself is told of TCP keepalive.
    """

    name: str
    colours: frozenset[Colour]
    module: str
    package: str
    partner: str
    arguments: Callable[[], frozenset[str]]
    translations: Mapping[str, str] = field(default_factory=dict)
    keepalive_arguments: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """The settings that a backend applies to a connection when it is opened; the names are those of ``[database]``."""

    sqlite_fk: bool = True
    sqlite_synchronous: bool = True
    sqlite_wal: bool = True
    sqlite_busy_timeout: float = 5.0
    mysql_sql_mode: str | None = "TRADITIONAL"
    mysql_wsrep_sync_wait: int | None = None
    transaction_pooling: bool = False
    """The server is reached through a proxy that gives a connection for one transaction only."""
    connect_timeout: int | None = None


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What was learned and settled when a connection was opened.

    :param autocommits: each statement is a transaction of its own, until the block needs one.
    :param alone: a statement that is no part of a block can be sent by itself, without BEGIN and COMMIT.
    :param autocommit: where it can't, what lets the DBAPI connection take such statements; it returns what goes back.
    :param lock_timeout_rolls_back: a lock timeout discards the whole transaction, not the statement alone.
    :param warning: what the operator should know of the server's configuration.
    """

    autocommits: bool = False
    alone: bool = False
    autocommit: Callable[[Any], Callable[[], None]] | None = None
    lock_timeout_rolls_back: bool = False
    warning: str = ""


class Backend(Protocol):
    """All that dbkit asks of a database product.

    DBAPI connections are those of SQLAlchemy's pool: blocking ones as the driver made them, asyncio ones in
    SQLAlchemy's adapter, which behaves like a blocking one inside SQLAlchemy's greenlet. ``driver`` is the name of the
    driver as SQLAlchemy knows it.
    """

    name: str
    schemes: tuple[str, ...]
    """The names of the SQLAlchemy dialects that it serves."""
    rules: RuleSet
    drivers: Mapping[str, Driver]
    defaults: Mapping[Colour, str]
    """The driver of each colour for a URL that names none."""
    ends_only_when_told: bool
    """No statement but COMMIT and ROLLBACK ends a transaction; False where DDL commits it."""

    is_remote: bool
    """A server of its own answers, so that a connection to it can be lost; False for a file."""

    begins_at_once: bool
    """BEGIN is sent before the first statement, and not with it."""
    keeps_facts: bool
    """:meth:`open_session` returns something worth remembering."""

    def vet(self, url: URL) -> URL:
        """Return the URL completed with what the product needs, the same for both colours.

        :raises InvalidURL: the URL can't be used; the text says what to write.
        """

    def gate(self, url: URL) -> tuple[str, frozenset[Role]] | None:
        """Return what must be used by one block at a time, and by which roles; None: nothing.

        The first of the pair names the thing, the same for the same thing in the whole process.
        """

    def one_connection(self, url: URL) -> bool:
        """Return whether the database has a single connection, so that its roles share a pool of one."""

    def is_unnamed(self, url: URL) -> bool:
        """Return whether the database has no name but the one that :meth:`vet` has made up for it."""

    def anchor(self, url: URL) -> object | None:
        """Return what keeps the database in being while no connection is open; None: it does so by itself."""

    def engine_arguments(self, url: URL, driver: str, role: Role, settings: SessionSettings) -> dict[str, Any]:
        """Return arguments of ``create_engine`` that the product needs for this role."""

    def open_session(self, connection: Any, driver: str, role: Role, settings: SessionSettings) -> SessionFacts:
        """Prepare a DBAPI connection that was just opened."""

    def begin(self, driver: str, role: Role, url: URL, settings: SessionSettings) -> Callable[[Any], None] | None:
        """Return what sends BEGIN on a DBAPI connection, or None where the driver does so by itself."""

    def isolate(self, connection: Any, dialect: Any, level: Isolation) -> Callable[[], None] | None:
        """Set the level of the next transaction; return what restores the default after it, if that is needed."""

    def leave_autocommit(self, connection: Any, dialect: Any) -> Callable[[], None]:
        """Let the next statement on an autocommitting reader open a READ ONLY transaction; return what goes back."""

    def abandon(self, connection: Any, driver: str) -> None:
        """Let go of an idle asyncio connection whose event loop is closed, so that nothing can be sent any more."""

    def takes_writes(self, connection: Any, driver: str) -> bool:
        """Ask the server whether it takes writes, on a writer's connection that is in no transaction."""

    def is_not_primary(self, connection: Any, driver: str, error: DBReadOnly) -> bool:
        """Return whether a writer got this error because its server takes no writes, without asking the server.

        False where the transaction or the table alone is read-only.
        """

    def before_close(self, connection: Any) -> None:
        """Release what closing alone would not, on a connection that is dropped in the middle of its work."""

    def standing(self, connection: Any, driver: str) -> Standing:
        """Return how the transaction stands, from what the driver knows without asking the server."""

    def ask_standing(self, connection: Any, driver: str) -> Standing:
        """Ask the server how the transaction stands; used after an error only."""

    def cord(self, connection: Any, driver: str) -> Cord | None:
        """Return what cuts a DBAPI connection off from another thread; None if it has ended already."""

    def limits(self, dialect: Any, *, whole: bool) -> Limits:
        """Return what tells the server of a block's deadline; made anew for each block.

        :param whole: the deadline is the whole transaction's.

        :param dialect: SQLAlchemy's, which has seen its first connection.
        """

    def hurried(self, driver: str, parameters: dict[str, Any], seconds: float) -> Callable[[Any], None] | None:
        """Change a driver's connect arguments so that it gives up by itself, soon after those seconds.

        :returns: what undoes on the connection, once it is there, what was meant for the connect alone; or None.
        """
