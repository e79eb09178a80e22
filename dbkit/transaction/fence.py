"""The commit fence: by the token that COMMIT carried, a lost reply is decided, for good."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from functools import partial
from typing import Protocol

from sqlalchemy.engine import Connection

from dbkit.backends.base import Backend
from dbkit.backends.fencing import Fencing, StatusFencing, Verdict, fence_of, status_fence_of
from dbkit.deadline import Deadline, sooner
from dbkit.engines.binding import connected
from dbkit.engines.create import Lane
from dbkit.engines.guarded import GuardedConnection
from dbkit.engines.statements import may_store
from dbkit.engines.translate import raise_typed
from dbkit.engines.view import Sent
from dbkit.exceptions import (
    CommitUnknown,
    DBAccessDenied,
    DBConnectionError,
    DBDuplicateEntry,
    DBError,
    DBNonExistentTable,
    DeadlineExceeded,
    Outcome,
    UsageError,
)
from dbkit.spec import Colour
from dbkit.tokens import new_token
from dbkit.transaction.factory import Factory

LOG = logging.getLogger(__name__)

_WAIT_S = 1.0
"""How long one attempt waits for a transaction that holds the token, before its session is ended."""
_SHORTEST_WAIT_S = 0.02
_SHORTEST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 1.0


class Way(Protocol):
    """One of the two ways to decide: by the table, or by what the server remembers."""

    def before_commit(self, connection: GuardedConnection) -> bool:
        """Send what COMMIT needs before it; return whether COMMIT itself was sent along."""

    token: str | None
    """What the transaction is known by; None: there is nothing to decide."""

    announced: str | None
    """What the transaction will be known by, if that was asked for before COMMIT."""

    def announce(self) -> str | None:
        """Return what the transaction will be known by; None where that is not known before COMMIT."""

    def verdict(self, connection: Connection, token: str, wait_s: float) -> Verdict:
        """Return what became of a transaction; :attr:`Verdict.OPEN` if it is under way still."""

    def end_original(self, connection: Connection, token: str) -> None:
        """End the session of a transaction that is open still."""


class TableWay:
    """By a row of the token table, which the transaction writes last of all."""

    def __init__(self, fencing: Fencing) -> None:
        self._fencing = fencing
        self.token: str | None = None
        self.announced: str | None = None

    def announce(self) -> str | None:
        if self.announced is None:
            self.announced = str(new_token())
        return self.announced

    def before_commit(self, connection: GuardedConnection) -> bool:
        token = new_token() if self.announced is None else uuid.UUID(self.announced)
        insert = self._fencing.insert(token)
        dialect = connection.engine.dialect
        # where someone stands in for the driver's COMMIT, as a test's sandbox does, it must be called
        message = None if "do_commit" in vars(dialect) else self._fencing.commit_with(dialect, insert)
        try:
            if message is not None:
                self.token = str(token)
                connection.hand_over(lambda: self._send(connection, message))
                return True
            connection.committing = connection.in_doubt = False
            connection.hand_over(lambda: self._send(connection, insert), insert)
        except (DBNonExistentTable, DBAccessDenied) as error:
            # only the insert can fail so, and COMMIT comes after it
            connection.in_doubt = False
            error.outcome = Outcome.ROLLED_BACK
            hint_at_token_table(error)
            raise
        except DBDuplicateEntry as error:
            connection.in_doubt = False
            raise _shut_out(error) from error
        connection.committing = connection.in_doubt = True
        self.token = str(token)
        return False

    def _send(self, connection: GuardedConnection, text: str) -> None:
        self._fencing.send(connection.driver_level, connection.engine.dialect.driver, text)

    def verdict(self, connection: Connection, token: str, wait_s: float) -> Verdict:
        return self._fencing.fence(connection, uuid.UUID(token), wait_s)

    def end_original(self, connection: Connection, token: str) -> None:
        self._fencing.end_original(connection, uuid.UUID(token))


def _shut_out(error: DBError) -> DBError:
    return DBError(
        error.orig,
        message=(
            "the transaction was shut out and rolled back: somebody has asked for the outcome of its token before it "
            "was stored, and was told that it never will be; ask only when nobody works on it any more"
        ),
        outcome=Outcome.ROLLED_BACK,
        transient=True,
    )


class StatusWay:
    """By the number that the server has given the transaction."""

    def __init__(self, fencing: StatusFencing) -> None:
        self._fencing = fencing
        self.token: str | None = None
        self.announced: str | None = None

    def announce(self) -> str | None:
        return None  # the server gives the number with the first write

    def before_commit(self, connection: GuardedConnection) -> bool:
        def ask() -> None:
            self.token = self._fencing.identify(connection.driver_level, connection.engine.dialect.driver)

        connection.committing = connection.in_doubt = False
        connection.hand_over(ask, "the number of the transaction")
        connection.committing = connection.in_doubt = True
        return False

    def verdict(self, connection: Connection, token: str, wait_s: float) -> Verdict:
        return self._fencing.verdict(connection, token)

    def end_original(self, connection: Connection, token: str) -> None:
        self._fencing.end_original(connection, token)


def way_of(backend: Backend, by_status: bool) -> Way:
    """Return the way to decide.

    :raises InvalidSetting: the product has no such way.
    """
    return StatusWay(status_fence_of(backend)) if by_status else TableWay(fence_of(backend))


class CommitFence:
    """The fence of one transaction.

    :param deadline: of the block, if it has one.
    """

    def __init__(self, factory: Factory, lane: Lane, colour: Colour, deadline: Deadline | None) -> None:
        settings = factory.settings
        self._factory = factory
        self._lane = lane
        self._colour = colour
        self._deadline = deadline
        self._bound_s = settings.commit_fence_timeout
        self._way = way_of(lane.backend, settings.commit_fence == "status")
        self._stores = False

    @property
    def token(self) -> str | None:
        """What the transaction is known by, once COMMIT is on its way."""
        return self._way.token

    def announce(self) -> str | None:
        """Return what the transaction will be known by; None where that is not known before COMMIT."""
        return self._way.announce()

    @property
    def is_announced(self) -> bool:
        """Whether somebody may know the token already: no other one can stand for the transaction then."""
        return self._way.announced is not None

    def saw(self, sent: Sent) -> None:
        """Remember whether the transaction has anything to store."""
        if not self._stores and may_store(sent.statement):
            self._stores = True

    def commit(self, connection: GuardedConnection) -> bool:
        """Send what COMMIT needs before it; return whether COMMIT itself was sent along."""
        self._way.token = None
        # what was done with the driver's connection itself has passed by here unseen
        return (self._stores or connection.is_exposed) and self._way.before_commit(connection)

    def decides(self, connection: GuardedConnection, error: BaseException) -> bool:
        """Return whether the transaction is stored; if not, it never will be.

        :raises CommitUnknown: that could not be found out in time.
        """
        token = self._way.token
        connection.give_up()
        if token is None:
            return False  # it has written nothing
        bound = sooner(Deadline.after(self._bound_s, self._factory.clock), self._deadline)
        assert bound is not None
        try:
            return decide(self._factory, self._lane, self._colour, self._way, token, bound)
        except CommitUnknown as unknown:
            if isinstance(error, DBError):
                raise unknown from error
            raise error from unknown  # an interrupt; how the block ends will say what is known


def decide(factory: Factory, lane: Lane, colour: Colour, way: Way, token: str, bound: Deadline) -> bool:
    """Return whether a transaction is stored; if not, it never will be. It is asked until it is known.

    :raises CommitUnknown: it was not known in time, or nobody can tell any more.
    """
    pause = _SHORTEST_PAUSE_S
    asked_before = False
    while True:
        # a part of what is left: a transaction that holds the token may have to be ended, and the question asked again
        wait_s = min(_WAIT_S, max(bound.left_s / 4, _SHORTEST_WAIT_S))
        try:
            verdict = _ask(lane, partial(way.verdict, token=token, wait_s=wait_s), bound)
        except UsageError:
            raise
        except DeadlineExceeded as error:
            raise _unknown(token, _SILENT.format(bound.seconds)) from error
        except DBError as error:
            if not error.transient and error.outcome is not Outcome.UNKNOWN:
                unknown = _unknown(token, f"the database refused to say: {error}")
                if isinstance(error, (DBNonExistentTable, DBAccessDenied)):
                    hint_at_token_table(unknown)
                raise unknown from error
            LOG.debug("it is not known yet what became of a COMMIT: %s", error)
            failed: DBError | None = error
            held = not isinstance(error, DBConnectionError)
        else:
            if verdict is Verdict.PURGED:
                raise _unknown(token, _FORGOTTEN)
            if verdict is not Verdict.OPEN:
                return verdict is Verdict.COMMITTED
            failed, held = None, True
        if held and (asked_before or bound.left_s < _WAIT_S):
            _end_original(lane, way, token, bound)
        asked_before = True
        pause = min(_LONGEST_PAUSE_S, factory.clock.uniform(_SHORTEST_PAUSE_S, 3 * pause))
        if bound.left_s <= pause:
            raise _unknown(token, _SILENT.format(bound.seconds)) from failed
        factory.pause(pause, colour)


def hint_at_token_table(error: DBError) -> None:
    """Add to an error of a statement on the token table how to have one."""
    error.add_note(
        "dbkit: a block that is exactly_once writes a row to the token table; create it with "
        "database.create_token_table(), enginefacade.writer.create_token_table() or in a migration (dbkit.tokens), "
        "and grant INSERT and SELECT on it, and DELETE to who purges it"
    )


def connect(lane: Lane) -> Connection:
    """Return a connection outside of any block; raises :class:`.DBError` where SQLAlchemy lets others through."""
    try:
        return lane.engine.connect()
    except Exception as error:  # asyncpg lets errors of the network out as they are
        raise_typed(lane.backend, lane.engine, error)


def _ask(lane: Lane, question: Callable[[Connection], Verdict], bound: Deadline) -> Verdict:
    verdict = Verdict.OPEN
    try:
        with connected(partial(connect, lane), lane.backend, bound) as connection, connection.begin() as transaction:
            verdict = question(connection)
            if verdict is Verdict.PURGED:
                transaction.rollback()  # nothing is to be learned from the row that the question has left
    except DBError as error:
        if verdict is not Verdict.COMMITTED:
            raise
        # it was read, and is true whatever became of the transaction that has read it
        LOG.debug("a question for the outcome of a COMMIT was answered, and could not be ended: %s", error)
    return verdict


def _end_original(lane: Lane, way: Way, token: str, bound: Deadline) -> None:
    def end(connection: Connection) -> Verdict:
        way.end_original(connection, token)
        return Verdict.OPEN

    try:
        _ask(lane, end, bound)
    except DBError as error:
        LOG.debug("the session of a transaction in doubt could not be ended: %s", error)


_SILENT = "the database did not say within {0:g} s"
_FORGOTTEN = "it is too long ago, or the server is not the one that it was, so nobody knows any more; look at the data"
_LATER = "; ask database.outcome(error.token) later, from any process"


def _unknown(token: str, why: str) -> CommitUnknown:
    error = CommitUnknown(
        message=f"the reply to COMMIT was lost, and what became of the transaction could not be decided: {why}"
        + ("" if why is _FORGOTTEN else _LATER)
    )
    error.token = token
    return error
