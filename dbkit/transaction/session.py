"""The Session of a block: an ordinary SQLAlchemy Session that leaves the transaction to the block."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NoReturn, Protocol

from sqlalchemy import Table, event
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import InstanceState, Session
from sqlalchemy.orm.attributes import instance_state as object_state
from sqlalchemy.orm.exc import StaleDataError

from dbkit.engines.connection import TrackedConnection
from dbkit.engines.refusals import refuse_ended
from dbkit.exceptions import DBReadOnly, TransactionManaged
from dbkit.models.dying import MARKED, condemn
from dbkit.models.marking import RULE
from dbkit.transaction.dying import prepare
from dbkit.transaction.gone import gone_row
from dbkit.transaction.seen import forget_hidden, guarded_objects
from dbkit.transaction.stale_flush import stale_flush, versions_of

_FLUSH = Session.flush


class Connected(Protocol):
    """What the session asks of its transaction."""

    connection: TrackedConnection | None
    is_over: bool

    def connect(self) -> TrackedConnection:
        """Return the connection, or say why there is none."""


class BlockSession(Session):
    """A Session that finds its connection when the first statement needs one.

    :ivar block: the transaction that it belongs to.
    """

    may_write = True
    """False while a reader block uses it."""
    pending_before: frozenset[int] = frozenset()
    """What was pending when the reader block began."""
    _hiding: set[Table] | None = None
    """The tables of which the flush that runs has hidden rows; None until one does."""
    versions: Sequence[tuple[InstanceState[Any], Any]] = ()
    """With which versions the objects were loaded that the last flush has written."""

    def __init__(self, transaction: Connected, expire_on_commit: bool = False, **kw: Any) -> None:
        # control_fully: the Session ends the very transaction that a connection handle of the same block has begun
        super().__init__(expire_on_commit=expire_on_commit, join_transaction_mode="control_fully", **kw)
        self.block = transaction

    def get_bind(self, *args: Any, **kw: Any) -> TrackedConnection:
        """Return the connection of the block."""
        block = self.block
        connection = block.connection
        if connection is None or block.is_over or connection.doom is not None or connection.has_begun:
            return block.connect()
        return connection

    def begin(self, nested: bool = False) -> Any:
        """Open a savepoint if ``nested``; the transaction itself is the block's."""
        if nested:
            return super().begin(nested=True)
        _refuse("begin()", "it has begun: use the session, or session.begin_nested() for a savepoint")

    def commit(self) -> None:
        """Refused: the block commits when it ends without an error."""
        _refuse("commit()", "let the block end; what must be stored by itself belongs into an .independent block")

    def rollback(self) -> None:
        """Refused: the block rolls back when it ends with an error."""
        _refuse("rollback()", "raise an error; what may fail by itself belongs into a .savepoint block")

    def close(self) -> None:
        """Refused: the block closes its session."""
        _refuse("close()", "let the block end, or use session.expunge_all() to forget the loaded objects")

    def reset(self) -> None:
        """Refused: the block closes its session."""
        _refuse("reset()", "let the block end, or use session.expunge_all() to forget the loaded objects")

    def delete(self, instance: object) -> None:
        """Delete an object with the next flush.

        One whose class is marked when it is deleted is marked, with what dies with it by the cascade "delete" and is
        marked itself; it leaves the session all the same. With the rule ``soft_delete`` switched off it is deleted.
        """
        manager = getattr(instance, "_sa_class_manager", None)
        if manager is None or MARKED not in manager.info or RULE in self._off():
            super().delete(instance)
            return
        if not object_state(instance).persistent:
            if object_state(instance).key is None:
                super().delete(instance)  # says what is wrong
            self.add(instance)  # a detached one
        condemn(self, instance)

    def refresh(self, instance: object, attribute_names: Any = None, with_for_update: Any = None) -> None:
        """Read an object anew.

        :raises StaleRow: its row is marked as deleted, or is not there any more for this session; SQLAlchemy's
            ``ObjectDeletedError`` is a class of that error too.
        """
        try:
            super().refresh(instance, attribute_names, with_for_update)
        except InvalidRequestError as error:
            self.explain(object_state(instance), error)
            raise

    def explain(self, state: InstanceState[Any], error: InvalidRequestError) -> None:
        """Raise the typed error for an object that could not be read anew, if there is one."""
        gone = gone_row(self, state, error)
        if gone is not None:
            raise gone from error

    def _off(self) -> frozenset[str]:
        """Return the names of the rules that do not count now."""
        return self.get_bind().off

    def rows_changed(self, table: Table, deletes: bool) -> None:
        """Let objects go whose rows a statement has hidden from this session.

        :param deletes: it was a DELETE; a flush sees to the objects that it deletes itself.
        """
        if not self._flushing:
            forget_hidden(self, guarded_objects(self, table))
        elif not deletes:
            if self._hiding is None:
                self._hiding = set()
                event.listen(self, "after_flush_postexec", _forget_after_flush)
            self._hiding.add(table)

    def forget_hidden(self, known: Collection[Any]) -> None:
        """Let objects go whose rows are hidden, unless they were there before, under one of these keys."""
        forget_hidden(self, [each for each in guarded_objects(self) if object_state(each).key not in known])

    def pending(self) -> frozenset[int]:
        """Return which objects wait to be written, by their identity."""
        changed = (each for each in self.dirty if self.is_modified(each))
        return frozenset(id(each) for each in (*self.new, *self.deleted, *changed))

    def flush(self, objects: Any = None) -> None:
        """Write what has changed.

        :raises StaleRow: a row is not any more as it was read.
        """
        try:
            _FLUSH(self, objects)
        except StaleDataError as error:
            raise stale_flush(error, self.block.connection, self.versions) from error

    def _autoflush(self) -> None:
        if self.autoflush and not self._flushing:
            try:
                _FLUSH(self)  # not flush(), which would be a call more for each query
            except StaleDataError as error:
                raise stale_flush(error, self.block.connection, self.versions) from error

    def end_with_commit(self) -> None:
        """Flush, for the block, which then commits the connection.

        A Session's own commit costs as much as a statement. It is called only if it would do more than that: if someone
        listens to it, or if the objects must expire.
        """
        listeners = self.dispatch
        if self.expire_on_commit or listeners.before_commit or listeners.after_commit:
            super().commit()
            return
        try:
            _FLUSH(self)
        except StaleDataError as error:
            raise stale_flush(error, self.block.connection, self.versions) from error
        if self._new or self._deleted or self.identity_map._modified:  # a listener has added to it
            super().commit()

    def end_with_rollback(self) -> None:
        """Roll back, for the block."""
        super().rollback()

    def let_go(self) -> None:
        """Detach the objects and release what the session holds, for the block; it serves nothing any more."""
        # a change of class, so that no method has to ask whether the block is open
        self.__class__ = EndedSession
        self._close_impl(False)  # all that close() does: a call less for each block


class EndedSession(BlockSession):
    """The session of a block that has ended: what it was given now would be stored by nobody.

    What needs a connection is refused where the connection is found; this refuses the rest.
    """


def _refuse_ended(session: EndedSession, *args: Any, **kw: Any) -> NoReturn:
    """Refused: the block has ended."""
    refuse_ended()


for _name in ("add", "add_all", "begin", "begin_nested", "close", "commit", "delete", "merge", "reset", "rollback"):
    setattr(EndedSession, _name, _refuse_ended)


def _refuse(what: str, instead: str) -> NoReturn:
    raise TransactionManaged(f"session.{what} inside a block, whose transaction is the block's own; {instead}")


@event.listens_for(BlockSession, "before_flush")
def before_flush(session: BlockSession, context: object, instances: object) -> None:
    """Refuse what a block may not write, and complete what is written: dbkit's own listener."""
    if not session.may_write:
        changed = [*session.new, *session.dirty, *session.deleted]
        names = ", ".join(sorted({type(each).__name__ for each in changed}))
        raise DBReadOnly(
            message=f"a reader block has changed {names or 'objects'}; a reader reads only: make the function a writer"
        )
    for state in session.identity_map._modified:
        if MARKED in state.manager.info:  # not a function that says so: this is the hot path
            prepare(session)
            break
    for state in (*session.identity_map._modified, *session._deleted):
        if state.manager.mapper.version_id_col is not None:
            session.versions = versions_of((*session.identity_map._modified, *session._deleted))
            break


def _forget_after_flush(session: Any, context: object) -> None:
    tables, session._hiding = session._hiding, set()
    for table in tables:
        objects = guarded_objects(session, table)
        # of the others it is known without a query: see prepare()
        forget_hidden(session, [each for each in objects if MARKED not in object_state(each).manager.info])
