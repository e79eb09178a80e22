"""One physical transaction: its connection, its session and its end."""

from __future__ import annotations

import logging
from _thread import get_ident
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import ref

from sqlalchemy.exc import PendingRollbackError, SQLAlchemyError

from dbkit.backends.base import SessionFacts
from dbkit.engines.connection import FACTS, TrackedConnection
from dbkit.engines.gate import Gate
from dbkit.engines.refusals import lost_to, refuse_ended
from dbkit.engines.translate import raise_typed
from dbkit.engines.watch import Watch
from dbkit.exceptions import DBError, DBReadOnly, TransactionDoomed
from dbkit.filters.options import checked
from dbkit.spec import Colour, Mode, TransactionSpec
from dbkit.tokens import new_token
from dbkit.transaction.factory import Factory
from dbkit.transaction.greenlets import asyncio_faces
from dbkit.transaction.hooks import Hooks
from dbkit.transaction.session import BlockSession
from dbkit.transaction.state import State, moved

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

LOG = logging.getLogger(__name__)


class Transaction:
    """A transaction from its first use to its end.

    It is written for blocking code; asyncio runs the parts that reach the database inside SQLAlchemy's greenlet.

    :param factory: gives the engines.
    :param owner: the thread's ident or the asyncio task it serves.
    :ivar source: the factory.
    :ivar is_over: its end has been carried out.
    :ivar outcome: how it ended: COMMITTED, ROLLED_BACK or UNKNOWN; None while it has not.
    """

    __slots__ = (
        "_async_connection", "_async_session", "_committing", "_gate", "_id", "_lane", "_stamps",
        "colour", "connection", "doom", "hooks", "owner",
        "is_over", "outcome", "reading", "session", "source", "spec", "state",
    )  # fmt: skip

    def __init__(self, factory: Factory, spec: TransactionSpec, owner: Any, colour: Colour) -> None:
        self.source = factory
        self.spec = spec
        self.owner = owner
        self.colour = colour
        self.state = State.NEW
        self.outcome: State | None = None
        self.is_over = False
        self._id = ""
        self._stamps = 0
        self.connection: TrackedConnection | None = None
        self.session: BlockSession | None = None
        self.hooks: Hooks | None = None
        self.doom: DBError | None = None
        """What the transaction was lost to before it had a connection that could know."""
        self._committing = False
        self.reading = False
        """A reader block uses it now, and it is a writer's."""
        self._gate: Gate | None = None
        self._async_session: AsyncSession | None = None
        self._async_connection: AsyncConnection | None = None

    # -- handles: none of them reaches the database before a statement does ------------------------------------------

    def connect(self) -> TrackedConnection:
        """Return the connection, on which a statement can be executed.

        :raises TransactionDoomed: nothing can be executed any more.
        :raises NoTransaction: the block has ended.
        """
        connection = self.connection
        if connection is None or self.is_over:
            return self.make_connection()
        if connection.doom is not None:
            raise connection.doomed()
        if self.doom is not None:
            raise lost_to(self.doom)
        if connection.has_begun:
            connection.adopt()
        return connection

    def open_session(self) -> BlockSession:
        """Return the session, made on the first call."""
        session = self.session
        if session is None:
            factory = self.source
            session = self.session = BlockSession(self, factory.expires)
            if self.connection is not None:
                self.connection.on_hidden = session.rows_changed
            if self.reading:
                session.may_write = False
        return session

    def open_async_session(self) -> AsyncSession:
        """Return the asyncio face of the session."""
        face = self._async_session
        if face is None:
            faces = asyncio_faces()
            session = self.open_session()
            face = self._async_session = faces.AsyncSession(sync_session_class=_always(session))
        return face

    def open_async_connection(self) -> AsyncConnection:
        """Return the asyncio face of the connection."""
        face = self._async_connection
        if face is None:
            connection = self.connection or self.make_connection()
            assert self._lane.async_engine is not None
            face = self._async_connection = asyncio_faces().AsyncConnection(self._lane.async_engine, connection)
        return face

    def make_connection(self) -> TrackedConnection:
        """Make the connection, which the transaction has not yet; raises what :meth:`connect` does."""
        if self.doom is not None:
            raise lost_to(self.doom)
        if self.state is not State.NEW:
            refuse_ended()
        lane = self._lane = self.source.lane(self.spec.mode is Mode.WRITER, self.colour)
        connection = self.connection = TrackedConnection(lane.engine, lane.backend, self._checkout)
        connection.block = self
        connection.isolation = self.spec.isolation
        connection.may_commit = self._committing
        if self.spec.without:
            connection.off = checked(self.spec.without)
        if self.session is not None:
            connection.on_hidden = self.session.rows_changed
        if self.reading:
            connection.watch |= Watch.READING
        self.state = State.ACTIVE
        return connection

    def _checkout(self) -> tuple[Any, SessionFacts | None]:
        lane = self._lane
        gate = lane.gate
        if gate is not None:
            if self.colour is Colour.BLOCKING:
                gate.acquire(self.owner)
            else:
                gate.acquire_in_task(self.owner, get_ident())
            self._gate = gate
        factory = self.source
        try:
            if factory.has_stale and self.colour is Colour.ASYNCIO:
                factory.dispose_stale()
            pool: Any = lane.engine.pool
            fairy = pool.lend() if factory.reached else factory.reach(lane, self.colour)
            # weakly: a task whose event loop was closed under it is collected only if nobody else holds it
            blocking = self.colour is Colour.BLOCKING
            record = fairy._connection_record
            record.holder = self.owner if blocking else ref(self.owner)
            if self.is_over:  # a task wanted it that nobody has waited for
                fairy.close()
                refuse_ended()
        except BaseException as error:
            self._leave_gate()
            raise_typed(lane.backend, lane.engine, error)
        return fairy, record.info.get(FACTS) if lane.backend.keeps_facts else None

    def _leave_gate(self) -> None:
        gate = self._gate
        if gate is not None:
            self._gate = None
            gate.release(self.owner)

    def look_past(self, names: frozenset[str], then: Callable[[], None]) -> Callable[[], None]:
        """Let rules not count until the returned function is called; objects that are hidden by then leave the session.

        :param then: is called when what was changed is flushed, before it is asked what is hidden.
        :raises UnknownRule: no table has a rule of such a name.
        """
        connection, session = self.connect(), self.open_session()
        known = set(session.identity_map.keys())
        back = connection.look_past(checked(names) if names else names)

        def look_again() -> None:
            try:
                if session.may_write and session.is_active and connection.doom is None:
                    session.flush()  # what was changed in the block is changed by its rules
            finally:
                back()
                then()
            if session.is_active and connection.doom is None and not self.is_over:
                session.forget_hidden(known)

        return look_again

    # -- what a reader block inside a writer's transaction changes ----------------------------------------------------

    def begin_reading(self) -> None:
        """Refuse writes until :meth:`end_reading`; what the writer has pending is flushed first."""
        session = self.session
        if session is not None:
            if session.autoflush and session.may_write:
                session.flush()
            session.pending_before = session.pending()
            session.may_write = False
        self.reading = True
        if self.connection is not None:
            self.connection.watch |= Watch.READING

    def end_reading(self) -> None:
        """Allow writes again.

        :raises DBReadOnly: the reader has left changed objects in the session; the transaction is lost by that.
        """
        self.reading = False
        if self.connection is not None:
            self.connection.watch &= ~Watch.READING
        session = self.session
        if session is None:
            return
        session.may_write = True
        if session.pending() - session.pending_before:
            self.doom = DBReadOnly(
                message="a reader block has left changed objects in the session; make the function a writer"
            )
            if self.connection is not None:
                self.connection.condemn(self.doom)
            raise self.doom

    def stamp(self) -> tuple[str, int]:
        """Return the transaction's own id, which no other has, and a number that was not told before."""
        if not self._id:
            self._id = new_token().hex
        self._stamps += 1
        return self._id, self._stamps

    @property
    def token(self) -> str | None:
        """By what any process can ask for its outcome later; None where nothing of the kind was written."""
        return None

    @property
    def commit_token(self) -> str | None:
        """The token that COMMIT will carry, known before it is sent; None where it carries none."""
        return None

    @property
    def patience_s(self) -> float:
        """Seconds for which the end of the transaction holds a cancellation back, until the outcome is known."""
        return self.source.settings.commit_fence_timeout

    def cut_off(self) -> None:
        """Let what the transaction waits for at its server fail at once: nobody waits for the answer any longer."""
        connection = self.connection
        if connection is not None and connection.is_taken and not connection.invalidated:
            cord = self._lane.backend.cord(connection.driver_level, connection.engine.dialect.driver)
            if cord is not None:
                cord.cut()
                cord.let_go()

    @property
    def ends_silently(self) -> bool:
        """Whether nothing has to be sent at the end: no transaction was opened, and nothing is pending."""
        connection = self.connection
        opened = connection is not None and not connection.watch & (Watch.UNOPENED | Watch.AUTOCOMMIT)
        return not opened and (self.session is None or not self.session.pending())

    # -- the end ------------------------------------------------------------------------------------------------------

    def commit(self) -> None:
        """Commit; return only if the server has committed all of it.

        :raises TransactionDoomed: an earlier error had lost the transaction.
        :raises CommitUnknown: the reply to COMMIT was lost.
        :raises DBError: COMMIT or the flush before it failed; all is rolled back.
        """
        if self.spec.mode is not Mode.WRITER and self.source.rolls_back_readers:
            self.rollback()
            return
        session = self.session
        self._committing = True
        if self.doom is not None:
            self.rollback()
            raise lost_to(self.doom)
        try:
            if self.connection is not None and self.connection.doom is not None:
                raise self.connection.doomed()
            if session is not None:
                if self.connection is not None:
                    self.connection.may_commit = True
                if (self.connection is None or not self.connection.used) and not session.is_active:
                    raise PendingRollbackError(_FLUSH_FAILED)
                session.end_with_commit()
            if self.connection is not None:
                self.connection.end_with_commit()
        except PendingRollbackError as error:
            self._discard(State.ROLLED_BACK)
            lost = self._lost_in_a_flush(error)
            raise lost from lost.__cause__
        except BaseException as error:
            if self.connection is not None and self.connection.committed:
                self._committed_but(error)
                return
            in_doubt = self.connection is not None and self.connection.in_doubt
            self._discard(State.UNKNOWN if in_doubt else State.ROLLED_BACK)
            raise
        self._ended(State.COMMITTED)

    def _committed_but(self, error: BaseException) -> None:
        """End a transaction after whose COMMIT something has failed, such as a listener of its session.

        :raises BaseException: what failed is an interrupt; any other error would look like one of the block.
        """
        if isinstance(error, Exception):
            LOG.warning("the transaction is committed; what followed COMMIT failed: %s", error, exc_info=error)
        assert self.connection is not None
        self.connection.drop()
        self._ended(State.COMMITTED)
        if not isinstance(error, Exception):
            raise error

    def rollback(self, error: BaseException | None = None) -> None:
        """Roll back. An error on the way is logged, not raised: it would hide the one that made this necessary.

        :param error: what ends the block.
        :raises TransactionDoomed: that is SQLAlchemy's, about a Session that was rolled back before, and says nothing
            of the error that did it.
        """
        pending = error if isinstance(error, PendingRollbackError) else None
        is_ours = pending is not None and self.session is not None and not self.session.is_active
        self._discard(State.ROLLED_BACK)
        if pending is not None:
            if self.connection is not None and self.connection.doom is not None:
                raise self.connection.doomed()
            if is_ours:
                raise self._lost_in_a_flush(pending)

    def _lost_in_a_flush(self, pending: PendingRollbackError) -> TransactionDoomed:
        cause = None if self.connection is None else self.connection.last_error
        if cause is None:
            cause = DBError(pending, message=_FLUSH_FAILED)
            cause.__cause__ = pending
        return lost_to(cause)

    def _discard(self, state: State) -> None:
        connection = self.connection
        try:
            if connection is not None and connection.is_taken:
                connection.ending = True
                if self.session is not None:
                    self.session.end_with_rollback()
                connection.end_with_rollback()
                if state is State.UNKNOWN and not connection.invalidated:
                    connection.invalidate()  # a driver that lost the reply may not have noticed that it lost the peer
        except (DBError, SQLAlchemyError) as error:
            LOG.debug("ROLLBACK failed, the connection is dropped: %s", error)
            assert connection is not None
            connection.drop()
        finally:
            self._ended(state)

    def _ended(self, state: State) -> None:
        self.state = state if state in self.state.next else moved(self.state, state)  # the call is for its error
        self.outcome = state
        self.is_over = True
        try:
            try:
                if self.session is not None:
                    self.session.let_go()
            finally:
                if self.connection is not None:
                    self.connection.give_back()
        except Exception as error:  # the transaction has ended, and how is known: this must not look like its failure
            LOG.warning(
                "the transaction is %s; what it held could not be given back: %s", state.value, error, exc_info=True
            )
            if self.connection is not None:
                self.connection.drop()
        finally:
            gate = self._gate
            if gate is not None:
                self._gate = None
                gate.release(self.owner)
            self.state = State.CLOSED  # legal from each state that a transaction ends in


_FLUSH_FAILED = "a flush failed and its error was caught; what it was to write is forgotten"


def _always(session: BlockSession) -> Any:
    """Return what AsyncSession calls to make the Session that it is a face of."""
    return lambda **kw: session
