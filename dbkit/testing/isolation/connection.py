"""The one connection of a test: a transaction around it, and savepoints in place of the transactions inside it."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from dbkit.backends.base import Backend, Role, Standing
from dbkit.exceptions import DBError, Outcome
from dbkit.spec import Colour
from dbkit.testing.isolation.errors import IsolationBroken, IsolationError, broken
from dbkit.testing.isolation.ownership import Owners, Turnstile, User, current_user
from dbkit.testing.isolation.products import Check, product_of
from dbkit.testing.isolation.refusals import refuse_what_savepoints_cannot
from dbkit.testing.isolation.sending import sender_for

_BLOCK = "dbkit_block"
_TEST = "dbkit_test"
_LAYER = "dbkit_layer_{}"


class Stand(enum.Enum):
    """How the connection stands. What each step makes of it: see the methods of :class:`HeldConnection`."""

    PARKED = "parked"
    """No test has used it yet, or its test has ended."""
    BETWEEN = "between"
    """Inside the test's transaction, and no savepoint of a block is there."""
    READY = "ready"
    """The savepoint of a block that was rolled back is still there, for the next one."""
    OPEN = "open"
    """A block is open behind its savepoint."""
    BROKEN = "broken"
    """The test's transaction is gone."""


class HeldConnection:
    """What happens on the connection that all engines of a test share.

    It is written for blocking code; in asyncio it runs inside SQLAlchemy's greenlet. One user at a time is let in.

    :param backend: the real one.
    :param absence: says why no test runs on it, to who asks for it.
    :ivar on_send: is told each statement that the sandbox itself sends.
    :ivar owners: the users of the running test; None while no test runs.
    :ivar is_marked: the test has left something in the session, which rolling back does not take away.
    :ivar broken: why the test's transaction is gone, or None.
    """

    def __init__(
        self, backend: Backend, driver: str, colour: Colour, timeout_s: float, absence: Callable[[Colour], str]
    ) -> None:
        self.backend = backend
        self.product = product_of(backend)
        self.driver = driver
        self._send = sender_for(backend.name, driver, colour)
        self.colour = colour
        self.owners: Owners | None = None
        self.on_send: Callable[[str], object] | None = None
        self._absence = absence
        self.broken: IsolationBroken | None = None
        self.is_marked = False
        self.gate = Turnstile(timeout_s, self.admit)
        self._stand = Stand.PARKED
        self._connection: Any = None
        self._reading = False
        self._committing = False
        self._check: Check | None = None
        self._statement: str | None = None
        self._layers = 0
        self._marked_layers = 0
        self._holder: User = None
        self._commit: Callable[[Any], None] = _not_installed
        self._rollback: Callable[[Any], None] = _not_installed
        self.errors: type[BaseException] = Exception

    def install(self, dialect: Any) -> None:
        """Put savepoints in place of COMMIT and ROLLBACK on the dialect of an engine."""
        self._commit, self._rollback = (
            type(dialect).do_commit.__get__(dialect),
            type(dialect).do_rollback.__get__(dialect),
        )
        self.errors = dialect.loaded_dbapi.Error
        dialect.do_commit = self.commit
        dialect.do_rollback = self.rollback
        refuse_what_savepoints_cannot(dialect)

    # -- the test's users ---------------------------------------------------------------------------------------------

    def admit(self, user: User) -> None:
        """Refuse who may not use the connection, or not now.

        :raises IsolationError: no test runs on it.
        :raises TransactionOwnedElsewhere: the user was not let in.
        """
        if self.owners is None:
            raise IsolationError(self._absence(self.colour))
        self.owners.check(user)

    @property
    def is_parked(self) -> bool:
        """Whether no test runs on it."""
        return self.owners is None

    @property
    def has_begun(self) -> bool:
        """Whether a test's transaction was begun on it."""
        return self._stand is not Stand.PARKED

    def is_on(self, connection: Any) -> bool:
        """Return whether the test's transaction was begun on this DBAPI connection."""
        return connection is not None and connection is self._connection

    def enter(self) -> None:
        """Wait for the turn, unless a block of dbkit has done so already; raises as :meth:`Turnstile.acquire`."""
        user = current_user(self.colour)
        if not self.gate.has_let_in(user):
            self.gate.acquire_for(user, self.colour)
            self._holder = user

    def leave(self) -> None:
        """Let the next one have the turn, unless a block of dbkit does so itself."""
        holder, self._holder = self._holder, None
        if holder is not None:
            self.gate.release(holder)

    def attend(self, connection: Any) -> None:
        """Take note that the connection is given out; the first time in a test, open the test's transaction.

        :param connection: the DBAPI connection, or None if it was lost.
        :raises IsolationBroken: the test's transaction is gone with an earlier connection.
        """
        if self._stand is Stand.PARKED:
            self._run(connection, *self.product.opening, f"SAVEPOINT {_TEST}")
            self._connection, self._stand, self.broken = connection, Stand.BETWEEN, None
            self.is_marked = False
        elif not self.is_on(connection):
            self.lost("the connection of the test was lost", is_dirty=False)
        if self.broken is not None:
            raise self._again()
        if self._marked_layers < self._layers:
            self._mark_layers()
        self.gate.turn_taken()

    # -- layers: savepoints between the test's transaction and those of its blocks ------------------------------------

    def open_layer(self) -> None:
        """Let what follows be undone by itself; its savepoint is set when the connection is used next."""
        self._layers += 1

    def _mark_layers(self) -> None:
        if self._stand is Stand.READY:  # it lies below the layer, and going back to it would take the layer away
            self._run(self._connection, f"RELEASE SAVEPOINT {_BLOCK}")
            self._stand = Stand.BETWEEN
        while self._marked_layers < self._layers:
            self._run(self._connection, f"SAVEPOINT {_LAYER.format(self._marked_layers + 1)}")
            self._marked_layers += 1

    def close_layer(self) -> IsolationBroken | None:
        """Undo what was done since the layer was opened; return why that is not possible, if so."""
        number = self._layers
        self._layers -= 1
        if self._marked_layers < number:
            return self.broken
        self._marked_layers -= 1
        if self.broken is None:
            mark = _LAYER.format(number)
            try:
                self._run(self._connection, f"ROLLBACK TO SAVEPOINT {mark}", f"RELEASE SAVEPOINT {mark}")
                self._stand = Stand.BETWEEN
            except self.errors as error:
                self.lost("something has ended the transaction of the test", cause=error)
        return None if self.broken is None else self._again()

    # -- transactions: the methods of SQLAlchemy's dialect ------------------------------------------------------------

    def look_for_constraints(self, connection: Any) -> None:
        """Find out whether this database has constraints that wait for COMMIT; its transaction is ended after that."""
        self._check = self.product.find_check(self._runner(connection))
        self._rollback(connection)

    def begin(self, role: Role, connection: Any) -> None:
        """In place of BEGIN.

        :raises IsolationBroken: the test's transaction is gone.
        """
        if self.broken is not None:
            raise self._again()
        self._committing = False
        self._reading = role is Role.READER
        statements = self.product.reading if self._reading else ()
        if self._stand is not Stand.READY:
            statements = (f"SAVEPOINT {_BLOCK}", *statements)
        self._stand = Stand.OPEN
        self._run(connection, *statements)

    def begin_again(self, connection: Any) -> None:
        """Let a reader go on after a statement that failed; it has written nothing that could be lost."""
        self._run(connection, f"ROLLBACK TO SAVEPOINT {_BLOCK}", *self.product.reading)

    def commit(self, connection: Any) -> None:
        """In place of COMMIT.

        :raises IsolationBroken: the test's transaction is gone.
        """
        if self._stand is Stand.PARKED:
            self._commit(connection)
            return
        if self.broken is not None:
            raise self._again()
        if self._stand is not Stand.OPEN:
            return
        if self._reading:
            self._go_back(connection)
            return
        self._committing = True
        if self._check is not None:
            self._check(self._runner(connection))
        try:
            self._run(connection, f"RELEASE SAVEPOINT {_BLOCK}")
        except self.errors as error:
            self._look_for_savepoint(connection, error)
            raise
        self._stand = Stand.BETWEEN

    def rollback(self, connection: Any) -> None:
        """In place of ROLLBACK."""
        if self._stand is Stand.PARKED or self.broken is not None:
            self._rollback(connection)
        elif self._stand is Stand.OPEN:
            self._go_back(connection)

    def _go_back(self, connection: Any) -> None:
        statements = self.product.writing if self._reading else ()
        self._reading = False
        try:
            self._run(connection, *statements, f"ROLLBACK TO SAVEPOINT {_BLOCK}")
        except self.errors as error:
            self._look_for_savepoint(connection, error)
            raise
        self._stand = Stand.READY

    def _look_for_savepoint(self, connection: Any, error: BaseException) -> None:
        """Tell an error of the moment from the loss of the test's transaction.

        :raises IsolationBroken: it is gone.
        """
        try:
            self._run(connection, f"ROLLBACK TO SAVEPOINT {_TEST}")
        except self.errors:
            self.lost("the transaction of the test has ended before the test did")
            raise self._again() from error

    # -- what ends the test's transaction before its time --------------------------------------------------------------

    def sends(self, statement: str) -> None:
        """Take note of a statement that is about to be sent.

        :raises IsolationError: it would end the test's transaction.
        """
        found = None if self.product.ends is None else self.product.ends.match(statement)
        if found is not None:
            raise IsolationError(
                f"{' '.join(found[1].upper().split())} commits on this database whatever is open, and would end the "
                "transaction that isolates the test; give the test isolation 'clone', or let the schema be built "
                "before it"
            )
        self._statement = statement
        lingers = self.product.lingers
        if lingers is not None and not self.is_marked:
            self.is_marked = lingers.search(statement) is not None

    def sent(self, connection: Any) -> None:
        """Look whether the statement has ended the test's transaction, as far as the driver knows."""
        if self.broken is None and self.has_begun and self._standing(connection) is Standing.NONE:
            self.lost("a statement has ended the transaction of the test", statement=self._statement)

    def failed(self, error: DBError, connection: Any) -> None:
        """Take note of an error; some roll back the whole transaction, whatever savepoints there are."""
        if self.broken is not None or not self.has_begun or self._committing:
            return
        standing = self._standing(connection)
        # where only COMMIT and ROLLBACK end a transaction, the driver knows; elsewhere an error's reply does not say it
        is_lost = error.outcome is Outcome.ROLLED_BACK and not self.backend.ends_only_when_told
        if is_lost or standing is Standing.NONE:
            what = f"{type(error).__name__} has rolled back the whole transaction of the test"
            self.lost(what, statement=self._statement, is_dirty=False, cause=error)

    def _standing(self, connection: Any) -> Standing:
        return self.backend.standing(connection, self.driver)

    def lost(
        self, what: str, *, statement: str | None = None, is_dirty: bool = True, cause: BaseException | None = None
    ) -> None:
        """Take note that the test's transaction is gone."""
        if self.broken is None:
            self.broken = broken(what, statement or self._statement, is_dirty)
            self.broken.__cause__ = cause
        self._stand = Stand.BROKEN

    def _again(self) -> IsolationBroken:
        """Return the error anew, so that each place that raises it has its own traceback."""
        first = self.broken
        assert first is not None
        error = IsolationBroken(str(first), statement=first.statement, is_dirty=first.is_dirty)
        error.__cause__ = first.__cause__
        return error

    # -- the end of the test -------------------------------------------------------------------------------------------

    def end_test(self) -> IsolationBroken | None:
        """Roll the test's transaction back; return why it was not there any more, if so.

        :returns: None when all is as before the test; else the connection must not be used again.
        """
        self.owners = None
        stand, connection = self._stand, self._connection
        self._stand, self._connection, self._statement = Stand.PARKED, None, None
        self._layers = self._marked_layers = 0
        found, self.broken = self.broken, None
        if stand is Stand.PARKED:
            return None
        try:
            if found is None:
                if stand is Stand.OPEN and self._reading:
                    self._run(connection, *self.product.writing)
                self._run(connection, f"ROLLBACK TO SAVEPOINT {_TEST}")
        except self.errors as error:
            found = broken("something has ended the transaction of the test", None, True)
            found.__cause__ = error
        finally:
            self._reading, self.on_send = False, None
            try:
                self._rollback(connection)
            except self.errors as error:
                if found is None:
                    found = broken("the connection of the test was lost at its end", None, False)
                    found.__cause__ = error
        return found

    # -- sending -------------------------------------------------------------------------------------------------------

    def _run(self, connection: Any, *statements: str) -> None:
        if self.on_send is not None:
            for statement in statements:
                self.on_send(statement)
        if statements:
            self._send(connection, statements)

    def _runner(self, connection: Any) -> Callable[..., list[Any]]:
        def run(statement: str) -> list[Any]:
            cursor = connection.cursor()
            try:
                cursor.execute(statement)
                return list(cursor.fetchall()) if cursor.description else []
            finally:
                cursor.close()

        return run


def _not_installed(connection: Any) -> None:
    raise AssertionError("no dialect was given")
