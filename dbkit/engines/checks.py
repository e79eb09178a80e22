"""What a pool asks of a connection before it trusts it again, each question within a bound."""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from typing import Any

from dbkit.backends.base import Backend, Role
from dbkit.backends.build import build_error
from dbkit.deadline import LIMIT, Deadline
from dbkit.engines.watchdog import WATCHDOG
from dbkit.exceptions import DBConnectionError, DBNotPrimary, DBTooManyConnections, Outcome

LOG = logging.getLogger(__name__)


class Finding(enum.Enum):
    """How a connection was found."""

    GOOD = "good"
    DEAD = "dead"
    """It did not answer, or not in time."""
    DEMOTED = "demoted"
    """It answers, and leads to a server that takes no writes."""


class Refusal(enum.Enum):
    """What an error says of the server that could not be connected to."""

    NONE = "none"
    """Nothing: the server was reached, and was asked for the wrong thing."""
    FULL = "full"
    """It is there, and takes no more connections now."""
    AWAY = "away"
    """It is out of reach, or not what it was."""


class Checks:
    """Asks connections of one role how they are.

    :param ping_timeout_s: how long an answer may take; a caller's deadline may be sooner.
    """

    def __init__(self, backend: Backend, driver: str, role: Role, ping_timeout_s: float) -> None:
        self._backend = backend
        self._driver = driver
        self.role = role
        self._timeout_s = ping_timeout_s

    def look(self, connection: Any, dialect: Any, *, at_role: bool) -> Finding:
        """Ask a connection whether it is alive and, if that is in doubt, whether its server takes writes.

        :raises DeadlineExceeded: the caller has no time to wait for the answer.
        """
        ask = self._asks_for_role(connection) if at_role else lambda: bool(dialect.do_ping(connection))
        answer = self._answer(connection, dialect, ask)
        if answer is None:
            return Finding.DEAD
        if answer:
            return Finding.GOOD
        return Finding.DEMOTED if at_role else Finding.DEAD

    def do(self, connection: Any, dialect: Any, work: Callable[[], None]) -> bool:
        """Do what the server must answer to; return whether it did, and in time.

        :raises DeadlineExceeded: the caller has no time to wait for the answer.
        """

        def done() -> bool:
            work()
            return True

        return self._answer(connection, dialect, done) is True

    def prove(self, connection: Any, dialect: Any) -> None:
        """Make sure that a connection that was just opened leads to a server that takes writes.

        :raises DBNotPrimary: it does not.
        """
        answer = self._answer(connection, dialect, self._asks_for_role(connection))
        if answer is None:
            raise DBConnectionError(message=_NO_ANSWER, outcome=Outcome.NOT_STARTED)
        if not answer:
            raise DBNotPrimary(message=_NOT_PRIMARY, outcome=Outcome.NOT_STARTED)

    def refusal(self, error: BaseException) -> Refusal:
        """Return what an error that came while connecting says of the server."""
        if not isinstance(error, Exception):
            return Refusal.NONE
        typed = build_error(self._backend.rules, error, in_transaction=False)
        if isinstance(typed, DBTooManyConnections):
            return Refusal.FULL
        return Refusal.AWAY if isinstance(typed, DBConnectionError | DBNotPrimary) else Refusal.NONE

    def cut(self, connection: Any) -> None:
        """Shut a connection that is not to be trusted, so that its close waits for nobody."""
        try:
            cord = self._backend.cord(connection, self._driver)
            if cord is not None:
                cord.cut()
                cord.let_go()
        except Exception as error:  # it is closed after this in any case, and how it has ended is nobody's business
            LOG.debug("a connection that is dropped could not be cut off: %s", error)

    def _asks_for_role(self, connection: Any) -> Callable[[], bool]:
        return lambda: self._backend.takes_writes(connection, self._driver)

    def _answer(self, connection: Any, dialect: Any, ask: Callable[[], bool]) -> bool | None:
        """Return the answer, or None if there was none in time."""
        limit, bound_s = _sooner(LIMIT.get(), self._timeout_s)
        cord = self._backend.cord(connection, self._driver)
        if cord is None:
            return None
        guard = WATCHDOG.arm(bound_s, cord.cut)
        try:
            answer = ask()
            if not guard.disarm():
                return answer
        except Exception as error:
            if guard.disarm():
                if limit is not None:
                    raise limit.exceeded(_TEST) from error
                return None
            if isinstance(error, (dialect.loaded_dbapi.Error, OSError)):
                return None
            raise
        finally:
            guard.disarm()
            cord.let_go()
        # it answered in the moment in which it was cut, and is of no use
        if limit is not None:
            raise limit.exceeded(_TEST)
        return None


def _sooner(limit: Deadline | None, bound_s: float) -> tuple[Deadline | None, float]:
    """Return how long to wait, and the deadline if it is what bounds the wait."""
    if limit is None or limit.left_s >= bound_s:
        return None, bound_s
    return limit, limit.check(_TEST)


_TEST = "the test of a connection"
_NO_ANSWER = "the connection to the database was lost: it was just opened, and did not tell whether it takes writes"
_NOT_PRIMARY = (
    "the server that the URL leads to takes no writes: it is a replica, or was made read-only; wait until the URL "
    "leads to the primary, or check it"
)
