"""An entered block: where it stands in the chain, what it hands out, and how it ends."""

from __future__ import annotations

import asyncio
from _thread import get_ident
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from dbkit.ambient import Frame
from dbkit.deadline import Deadline, sooner
from dbkit.engines.binding import bind
from dbkit.engines.connection import TrackedConnection
from dbkit.exceptions import HandleNotRequested, Outcome, TransactionOwnedElsewhere
from dbkit.spec import Colour, Handle, Mode, TransactionSpec
from dbkit.transaction.entry import Enclosing, Entry, decide
from dbkit.transaction.factory import Factory
from dbkit.transaction.greenlets import in_greenlet
from dbkit.transaction.hooks import Hook, Hooks, UnknownHook
from dbkit.transaction.protected import ProtectedTransaction
from dbkit.transaction.transaction import Transaction

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession


class Scope(Frame):
    """A block between its entry and its end.

    The outermost block of a transaction is its root; the others refer to it. The transaction itself is made when the
    code in the block first asks for a session or connection.

    :param root: the outermost block, or None for one that is outermost itself.
    :ivar left_context: lets the rules of tables find again what they found around the block.
    :ivar turns: it joins, and its code works on behalf of another tenant than the code around it.
    :ivar named: the Database or context object by which it was found the last time.
    """

    __slots__ = (
        "_look_again",
        "_mark",
        "_nested",
        "_reads_in_writer",
        "_unbind",
        "colour",
        "left_context",
        "named",
        "reading",
        "root",
        "spec",
        "transaction",
        "turns",
    )

    def __init__(
        self,
        key: Any,
        source: Factory,
        owner: Any,
        outer: Any,
        spec: TransactionSpec,
        colour: Colour,
        root: Scope | None = None,
    ) -> None:
        self.key = key
        self.source = source
        self.owner = owner
        self.outer = outer
        self.is_open = True
        deadline = None if outer is None else outer.deadline
        protection = spec.protection
        if protection is not None and protection.deadline_s is not None:
            deadline = sooner(deadline, Deadline.after(protection.deadline_s, source.clock))
        if deadline is not None:
            deadline.check("its beginning", Outcome.NOT_STARTED)
        self.deadline = deadline
        self.spec = spec
        self.colour = colour
        self.root = self if root is None else root
        self.transaction: Transaction | None = None
        self.reading = 0
        self.turns = False
        self.left_context: Callable[[], None] | None = None
        self.named: Any = None
        self._nested: Any = None
        self._unbind: Callable[[], None] | None = None
        self._look_again: Callable[[], None] | None = None

    # -- handles ------------------------------------------------------------------------------------------------------

    def physical(self) -> Transaction:
        """Return the transaction, made on the first call."""
        root = self.root
        transaction = root.transaction
        if transaction is None:
            source = root.source
            if not source.is_ready:
                source.start()  # the settings say whether every block is protected
            plain = root.spec.protection is None and root.deadline is None and not source.protects
            if plain:
                transaction = Transaction(source, root.spec, root.owner, root.colour)
            else:
                transaction = ProtectedTransaction(source, root.spec, root.owner, root.colour, root.deadline)
            root.transaction = transaction
            transaction.reading = root.reading > 0
        return transaction

    @property
    def session(self) -> Session:
        """The block's session.

        :raises HandleNotRequested: the block asked for a connection, or runs in asyncio.
        :raises TransactionOwnedElsewhere: the block was entered in another thread or task.
        """
        if self.owner != get_ident() or self.spec.handle is not Handle.SESSION:
            self._offers(Handle.SESSION, Colour.BLOCKING)
        transaction = self.root.transaction or self.physical()
        return transaction.session or transaction.open_session()

    @property
    def connection(self) -> TrackedConnection:
        """The block's connection; raises what :attr:`session` does."""
        self._offers(Handle.CONNECTION, Colour.BLOCKING)
        return self.physical().connect()

    @property
    def async_session(self) -> AsyncSession:
        """The block's asyncio session; raises what :attr:`session` does."""
        self._offers(Handle.SESSION, Colour.ASYNCIO)
        return self.physical().open_async_session()

    @property
    def async_connection(self) -> AsyncConnection:
        """The block's asyncio connection; raises what :attr:`session` does."""
        self._offers(Handle.CONNECTION, Colour.ASYNCIO)
        return self.physical().open_async_connection()

    def handle(self, colour: Colour) -> Any:
        """Return what a ``with`` or ``async with`` statement binds: a session or a connection of its colour."""
        if self.spec.handle is Handle.SESSION:
            return self.session if colour is Colour.BLOCKING else self.async_session
        return self.connection if colour is Colour.BLOCKING else self.async_connection

    def lend(self, what: str) -> TrackedConnection:
        """Return the block's connection for a statement of dbkit's own, whatever handle the block hands out.

        :param what: the method that asks, for texts; that of asyncio begins with an ``a``.
        :raises HandleNotRequested: the block runs in asyncio, and the method is a blocking one.
        :raises TransactionOwnedElsewhere: the block was entered in another thread or task.
        """
        self.check_user(what)
        return self.physical().connect()

    def check_user(self, what: str) -> None:
        """Refuse whoever may not use the block now; raises what :meth:`lend` does."""
        self._check_owner(what)
        if self.colour is Colour.ASYNCIO and not in_greenlet():
            raise HandleNotRequested(f"the open block runs in asyncio; write: await ....a{what}(...)")

    def _offers(self, handle: Handle, colour: Colour) -> None:
        self._check_owner(handle.value)
        if self.colour is not colour and not (self.colour is Colour.ASYNCIO and in_greenlet()):
            prefix = "async_" if self.colour is Colour.ASYNCIO else ""
            raise HandleNotRequested(
                f"the open block is {self.colour.value}; its {handle.value} is {prefix + handle.value!r}"
            )
        scope = self
        while scope.spec.handle is not handle:
            if scope.root is scope:
                raise HandleNotRequested(
                    f"The '{handle.value}' context attribute was requested but it has not been established for this "
                    f"context: the block is opened for a {scope.spec.handle.value}; "
                    + ("use .connection" if handle is Handle.CONNECTION else "leave .connection out")
                )
            scope = scope._joined()

    def _check_owner(self, what: str) -> None:
        try:
            me = get_ident() if self.colour is Colour.BLOCKING else asyncio.current_task()
        except RuntimeError:
            me = None  # a thread in which no event loop runs
        if self.owner != me:
            raise TransactionOwnedElsewhere(
                f"the {what} of the open block belongs to the task or thread that entered the block, and serves it "
                "alone; open a block of one's own here, with .independent"
            )

    def _joined(self) -> Scope:
        """Return the block that this one has joined."""
        frame = self.outer
        while frame is not None and (frame.root is not self.root or not frame.is_open):
            frame = frame.outer
        return self.root if frame is None else frame

    # -- hooks --------------------------------------------------------------------------------------------------------

    def after_commit(self, hook: Hook) -> None:
        """Run a function once, when the outermost block is known to be committed; in asyncio it may be a coroutine's.

        A hook registered behind a savepoint that is rolled back does not run.
        """
        self._hooks().after_commit(self.root.source.admit(hook, True))

    def after_rollback(self, hook: Hook) -> None:
        """Run a function once, when the outermost block is known to be rolled back."""
        self._hooks().after_rollback(self.root.source.admit(hook, False))

    def after_unknown(self, hook: UnknownHook) -> None:
        """Run a function once, when COMMIT was sent and nobody can tell whether it is stored.

        The function is given the token of the transaction, by which any process can ask for its outcome later, or None
        where none was written. A hook registered behind a savepoint that is rolled back does not run.

        .. versionadded:: 0.1
        """
        self._hooks().after_unknown(hook)

    @property
    def commit_token(self) -> str | None:
        """The token that COMMIT will carry, for one who must be able to ask even if this process is killed.

        It is the same for the whole transaction; each run of a function that is run again has another one. None if the
        outermost block is not ``exactly_once``, or ``[database] commit_fence`` is ``status``. The outcome of a
        transaction that has written nothing is ``ROLLED_BACK``.

        .. versionadded:: 0.1
        """
        self._check_owner("token")
        return self.physical().commit_token

    def _hooks(self) -> Hooks:
        self._check_owner("hooks")
        transaction = self.physical()
        if transaction.hooks is None:
            transaction.hooks = Hooks()
        return transaction.hooks

    # -- a block inside another: what its entry and its end do to the transaction --------------------------------------

    def enter_joined(self, entry: Entry) -> None:
        """Open the savepoint if the block wants one; start refusing writes if it is a reader in a writer.

        A deadline that is the block's own bounds the transaction until the block ends.
        """
        if self.deadline is not None and self.deadline is not self._joined().deadline:
            self._unbind = bind(self.physical().connect(), self.deadline)
        try:
            if self.turns:
                self._flush()  # what is pending belongs to the tenant around
            self._enter_joined(entry)
            if self.spec.without or self.turns:
                self._look_again = self.physical().look_past(self.spec.without, self.leave_context)
        except BaseException:
            self._leave_deadline()
            raise

    def leave_context(self) -> None:
        """Let the rules of tables find again on whose behalf the code around works."""
        if self.left_context is not None:
            self.left_context()

    def _enter_joined(self, entry: Entry) -> None:
        if entry is Entry.SAVEPOINT:
            session = self.physical().open_session()
            self._mark = self._hooks().mark()
            self._nested = session.begin_nested()
            self._nested.__enter__()
            session.connection()  # a Session sends SAVEPOINT with its own next statement; the connection's may be first
        elif self.spec.handle is Handle.CONNECTION:
            self._flush()  # the connection shall see what the session around it has pending
        root = self.root
        self._reads_in_writer = False
        if self.spec.mode is not Mode.WRITER and root.spec.mode is Mode.WRITER:
            try:
                if root.transaction is not None and not root.reading:
                    root.transaction.begin_reading()
            except BaseException as error:
                self._leave_savepoint(error)
                raise
            root.reading += 1
            self._reads_in_writer = True

    def leave_joined(self, error: BaseException | None) -> None:
        """Undo what the entry did; with an error, roll back to the savepoint."""
        try:
            self._leave_joined(error)
        finally:
            try:
                if self._look_again is not None:
                    self._look_again()
            finally:
                self._leave_deadline()

    def _leave_deadline(self) -> None:
        unbind, self._unbind = self._unbind, None
        if unbind is not None:
            unbind()

    def _leave_joined(self, error: BaseException | None) -> None:
        try:
            if self._reads_in_writer:
                self._end_reading(error)
        except BaseException as unread:
            self._leave_savepoint(unread if error is None else error)
            raise
        self._leave_savepoint(error)

    def _end_reading(self, error: BaseException | None) -> None:
        root = self.root
        root.reading -= 1
        if root.reading or root.transaction is None:
            return
        try:
            root.transaction.end_reading()
        except BaseException:
            if error is None:
                raise

    def _leave_savepoint(self, error: BaseException | None) -> None:
        nested = self._nested
        if nested is None:
            if error is None and (self.source.flushes_joined or self._is_session_in_connection()):
                self._flush()
            return
        self._nested = None
        connection = self.physical().connection
        if error is None and connection is not None and connection.doom is not None:
            # what was caught inside has lost the transaction up to the savepoint; going back to it saves the rest
            lost = connection.doomed()
            self._hooks().forget_since(self._mark)
            nested.__exit__(type(lost), lost, None)
            raise lost
        if error is not None:
            self._hooks().forget_since(self._mark)
        nested.__exit__(None if error is None else type(error), error, None if error is None else error.__traceback__)

    def _is_session_in_connection(self) -> bool:
        return self.spec.handle is Handle.SESSION and self._joined().spec.handle is Handle.CONNECTION

    def _flush(self) -> None:
        transaction = self.root.transaction
        if transaction is not None and transaction.session is not None and transaction.session.may_write:
            transaction.session.flush()


def find(frame: Any, key: Any, source: Any) -> Scope | None:
    """Return the nearest open block of this key and source, from a frame outwards."""
    while frame is not None:
        if frame.key is key and frame.source is source and frame.is_open:
            found: Scope = frame
            return found
        frame = frame.outer
    return None


def nearest(frame: Any, key: Any) -> Scope | None:
    """Return the nearest open block of this key, whatever its source, from a frame outwards."""
    while frame is not None:
        if frame.key is key and frame.is_open:
            found: Scope = frame
            return found
        frame = frame.outer
    return None


def joins_plainly(spec: TransactionSpec, outer: Scope, current: Any) -> bool:
    """Return whether a block that joins changes nothing, so that it needs no scope of its own.

    :param current: the innermost link, whose deadline would be the block's.
    """
    if spec.protection is not None and spec.protection.deadline_s is not None:
        return False
    if spec.without or current.deadline is not outer.deadline:
        return False
    return spec.mode is outer.spec.mode and spec.handle is outer.spec.handle and not outer.source.flushes_joined


def entering(spec: TransactionSpec, outer: Scope | None, colour: Colour) -> tuple[Entry, Any, Colour]:
    """Decide how a block enters; return the decision, its owner and its colour.

    A blocking block that is called through ``run_sync`` inside an asyncio block is part of that task.
    """
    if outer is not None and colour is Colour.BLOCKING and outer.colour is Colour.ASYNCIO and in_greenlet():
        colour = Colour.ASYNCIO
    me = get_ident() if colour is Colour.BLOCKING else asyncio.current_task()
    enclosing = None
    if outer is not None:
        enclosing = Enclosing(outer.spec.mode, outer.owner, outer.colour, outer.root.spec.isolation)
    return decide(spec, enclosing, me, colour), me, colour
