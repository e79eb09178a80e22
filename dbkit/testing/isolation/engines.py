"""The engines of a sandbox: made as always, over a backend that stands between dbkit and the real one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Self, TypeGuard, cast

from sqlalchemy import event
from sqlalchemy.engine import URL, Engine, ExceptionContext
from sqlalchemy.pool import ConnectionPoolEntry

from dbkit.backends.base import Backend, Role, SessionFacts, SessionSettings
from dbkit.clock import Clock
from dbkit.engines.connection import TrackedConnection
from dbkit.engines.create import DEFAULT_POOL_TIMEOUT_S, Engines, create_engines
from dbkit.engines.pool import BoundedPool
from dbkit.engines.record import Record
from dbkit.engines.settings import EngineSettings
from dbkit.engines.statements import is_write, refuse_control
from dbkit.engines.watch import Watch
from dbkit.exceptions import DBError, DBReadOnly, Outcome, TransactionManaged
from dbkit.spec import Colour, Isolation
from dbkit.testing.isolation.connection import HeldConnection
from dbkit.testing.isolation.errors import IsolationError


class HeldPool(BoundedPool):
    """A pool of one connection, which it keeps for the whole of a test, and for the next test.

    :param held: what happens on the connection.
    """

    def __init__(self, creator: Callable[..., Any], held: HeldConnection, **kw: Any) -> None:
        super().__init__(creator, **kw)
        self.held_connection = held

    def _get(self, *, for_block: bool = True) -> Record:
        held = self.held_connection
        held.enter()
        try:
            return self._get_in_turn(held)
        except BaseException:
            held.leave()
            raise

    def _get_in_turn(self, held: HeldConnection) -> Record:
        if held.has_begun and not self.checkedin():
            held.attend(None)
        was_idle = self.checkedin() > 0
        record = super()._get()
        try:
            held.attend(record.dbapi_connection)
        except BaseException as error:
            super()._do_return_conn(record)
            if not was_idle or held.has_begun or not isinstance(error, held.errors):
                raise
        else:
            return record
        self.evict()  # it died while it lay idle between two tests
        record = super()._get()
        try:
            held.attend(record.dbapi_connection)
        except BaseException:
            super()._do_return_conn(record)
            raise
        return record

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        try:
            super()._do_return_conn(record)
        finally:
            self.held_connection.leave()

    @property
    def has_lost_connection(self) -> bool:
        """Whether the connection of the running test is gone; it must not be in use."""
        held = self.held_connection
        return held.has_begun and not any(held.is_on(record.dbapi_connection) for record, _since in self._idle)

    def take_away(self) -> None:
        """Close the connection under whoever has it in use."""
        for record in list(self._in_use):
            record.invalidate()

    def retire(self) -> None:
        """Close the connection when it comes back; not during a test, whose rows are on it."""
        if self.held_connection.is_parked:
            super().retire()

    def dispose(self) -> None:
        """Close the idle connection; not during a test, whose rows are on it."""
        if self.held_connection.is_parked:
            super().dispose()

    def recreate(self) -> Self:
        """Return a new pool in place of this one; during a test, this one."""
        if not self.held_connection.is_parked:
            return self
        return type(self)(self._creator, self.held_connection, **self._arguments())


class AsyncHeldPool(HeldPool):
    """The same for an asyncio connection, inside SQLAlchemy's greenlet."""

    _is_asyncio = True


class SandboxBackend:
    """A backend whose transactions are savepoints on the connection of a test; all else it asks of the real one."""

    keeps_facts = True
    is_remote = False
    """What is lost with the connection is the test's, and no block can repeat it."""

    def __init__(self, real: Backend, held: HeldConnection) -> None:
        self._real = real
        self._held = held

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def gate(self, url: URL) -> None:
        """The connection has a gate of its own."""

    def one_connection(self, url: URL) -> bool:
        return True

    def engine_arguments(self, url: URL, driver: str, role: Role, settings: SessionSettings) -> dict[str, Any]:
        arguments = self._real.engine_arguments(url, driver, Role.WRITER, settings)
        if role is Role.WRITER:  # the reader's engine is given the writer's pool
            arguments["poolclass"] = AsyncHeldPool if self._held.colour is Colour.ASYNCIO else HeldPool
            arguments["held"] = self._held
            arguments["ping_idle_s"] = -1
        return arguments

    def open_session(self, connection: Any, driver: str, role: Role, settings: SessionSettings) -> SessionFacts:
        facts = self._real.open_session(connection, driver, Role.WRITER, settings)
        self._held.look_for_constraints(connection)
        return replace(facts, autocommits=False, alone=False, autocommit=None)

    def begin(self, driver: str, role: Role, url: URL, settings: SessionSettings) -> Callable[[Any], None]:
        return partial(self._held.begin, role)

    def isolate(self, connection: Any, dialect: Any, level: Isolation) -> None:
        """There is no other transaction to be isolated from."""


def make_sandbox_engines(
    held: HeldConnection, settings: EngineSettings, backend: Backend, url: URL, colour: Colour, clock: Clock
) -> Engines:
    """Create the engines that share a test's connection; no connection is made yet. Raises as ``create_engines``."""
    # a protocol that the wrapper meets by handing on what it does not know
    made = create_engines(settings, cast(Backend, SandboxBackend(backend, held)), url, colour, clock)
    for lane in (made.writer, made.reader):
        held.install(lane.engine.dialect)
        _listen(lane.engine, held, lane.role)
    return Engines(replace(made.writer, gate=held.gate), replace(made.reader, gate=held.gate))


def timeout_of(settings: EngineSettings) -> float:
    """Return the seconds for which a user of the connection waits for the turn."""
    return DEFAULT_POOL_TIMEOUT_S if settings.pool_timeout is None else float(settings.pool_timeout)


def _listen(engine: Engine, held: HeldConnection, role: Role) -> None:
    watches = role is Role.READER and held.product.watches_readers

    def before(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        _refuse_control(statement)
        held.sends(statement)
        if watches and not statement.startswith(_SAVEPOINTS) and (is_write(statement) or _LOCKS.search(statement)):
            error = DBReadOnly(message=_READER)
            if isinstance(connection, TrackedConnection):
                connection.last_error = error
            raise error

    def after(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        held.sent(connection.connection.dbapi_connection)

    def failed(context: ExceptionContext) -> None:
        error = getattr(context, "chained_exception", None)  # what the listener before this one has made of it
        connection = context.connection
        if not isinstance(error, DBError) or connection is None or connection.invalidated:
            return
        dbapi_connection = connection.connection.dbapi_connection
        if not getattr(error.orig, "dbkit_planned", False):  # fail_next has gone back to the savepoint already
            held.failed(error, dbapi_connection)
        if role is Role.READER and error.outcome is Outcome.ABORTED and _autocommits(connection):
            held.begin_again(dbapi_connection)
            error.outcome = Outcome.STATEMENT_FAILED
            connection.doom = None
            connection.watch &= ~Watch.DOOMED

    event.listen(engine, "before_cursor_execute", before)
    if held.product.ends is not None:
        event.listen(engine, "after_cursor_execute", after)
    event.listen(engine, "handle_error", failed)


def _autocommits(connection: Any) -> TypeGuard[TrackedConnection]:
    """Whether each statement is a transaction by itself in production: in a reader that asks for nothing else."""
    return (
        isinstance(connection, TrackedConnection)
        and connection.isolation is None
        and not connection.in_nested_transaction()
    )


# what a read-only transaction of MySQL and MariaDB refuses too; at the end of the text, where no literal can be
_LOCKS = re.compile(
    r"\bFOR\s+UPDATE(?:\s+OF\s+[\w.`, ]+?)?(?:\s+(?:NOWAIT|SKIP\s+LOCKED|WAIT\s+\d+))?[\s;]*\Z", re.IGNORECASE
)

_READER = "a reader tried to write, and a reader reads only; the block is a reader: make it a writer"

# what SQLAlchemy sends for a savepoint of the code under test
_SAVEPOINTS = ("SAVEPOINT ", "RELEASE SAVEPOINT ", "ROLLBACK TO SAVEPOINT ")


def _refuse_control(statement: str) -> None:
    """Refuse SQL that would begin or end a transaction; blocks of dbkit do so before it comes here."""
    try:
        refuse_control(statement)
    except TransactionManaged as refused:
        word = statement.split(None, 1)[0].upper()
        raise IsolationError(
            f"{word} was sent as text, which would change or end the transaction that isolates the test; use the "
            "methods of the Session or Connection, or give the test isolation 'clone'"
        ) from refused
