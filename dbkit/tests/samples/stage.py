"""Where an error is provoked: a connection of the driver under test, and another session that does the rest.

A provocation is written once, in blocking style; under an asyncio driver it runs inside SQLAlchemy's ``run_sync``.
"""

from __future__ import annotations

import asyncio
import enum
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

ASYNCIO_DRIVERS = frozenset({"asyncpg", "psycopg_async", "asyncmy", "aiomysql", "aiosqlite"})
_BOUND_S = 20.0


@dataclass(frozen=True)
class Provocation:
    """Something that makes the server, or the driver, raise one known error.

    :param provoke: raises the error on the stage's connection; for the phase ``connect`` it is not called.
    :param url: changes the URL, after ``prepare`` was called.
    :param before: statements that run before the witness is written.
    :param bare: the transaction must begin with the provocation: no witness is written before.
    :param clean: undoes what was prepared.
    :param standby: it needs a server in recovery.
    :param drivers: the drivers that can do it; empty means all of the product.
    """

    name: str
    sql: str
    provoke: Callable[[Stage], object] = lambda stage: None
    phase: str = "statement"
    how: str = "real"
    prepare: Callable[[Stage], object] = lambda stage: None
    url: Callable[[Stage], URL] | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    drivers: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    bare: bool = False
    standby: bool = False
    clean: Callable[[Stage], object] = lambda stage: None


@dataclass(frozen=True)
class Witness:
    """How a product's transaction is asked what became of it.

    :param write: puts a row into the table ``witness`` before the provocation; empty where none is needed.
    :param clear: removes all rows from the table.
    :param look: counts the rows that are still there after it.
    """

    write: str
    clear: str
    look: str


class Aftermath(enum.Enum):
    """What became of the transaction, as the next statement in it saw it."""

    KEPT = "kept"
    """What was written before the error is still there."""
    LOST = "lost"
    """It is not."""
    REFUSED = "refused"
    """The next statement failed."""
    UNSEEN = "unseen"
    """Nothing was written before, or there was no next statement."""


@dataclass(frozen=True)
class Caught:
    """The exception as the engine's error listener sees it, or as it escaped where none is called."""

    error: BaseException
    is_disconnect: bool
    aftermath: Aftermath = Aftermath.UNSEEN


class Stage:
    """What a provocation has to work with.

    :param others: opens a further session at a URL, blocking and in autocommit, that is not under test.
    """

    def __init__(self, url: URL, others: Callable[[URL], Connection], witness: Witness) -> None:
        self.url = url
        self._others = others
        self._witness = witness
        self._aftermath = Aftermath.UNSEEN
        self._opened: list[Connection] = []
        self._aside: Connection | None = None
        self._threads = ThreadPoolExecutor(4)
        self._pending: list[Future[None]] = []
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        """The connection of the driver under test."""
        assert self._connection is not None, "the provocation runs before there is a connection"
        return self._connection

    def run(self, *statements: str, parameters: Any = None) -> Any:
        """Run statements on the connection under test; the parameters go to the last."""
        for statement in statements[:-1]:
            self.connection.exec_driver_sql(statement)
        return self.connection.exec_driver_sql(statements[-1], parameters)

    def other(self, url: URL | None = None) -> Connection:
        """Return another session, in autocommit."""
        self._opened.append(self._others(url or self.url))
        return self._opened[-1]

    def elsewhere(self, *statements: str) -> list[Any]:
        """Run statements in one other session, always the same, and return the rows of the last."""
        if self._aside is None:
            self._aside = self.other()
        results = [self._aside.exec_driver_sql(statement) for statement in statements]
        return list(results[-1]) if results[-1].returns_rows else []

    def meanwhile(self, session: Connection, statement: str, once: str | None = None) -> None:
        """Run a statement of another session in a thread; it may wait for the connection under test.

        :param once: a query of that session; the statement is run when it finds a row.
        """

        def run() -> None:
            if once is not None:
                self.until(lambda: bool(session.exec_driver_sql(once).all()))
            session.exec_driver_sql(statement).close()

        self._pending.append(self._threads.submit(run))

    def until(self, is_so: Callable[[], bool], every_s: float = 0.01) -> None:
        """Wait until something is so, and look so often."""
        end = time.monotonic() + _BOUND_S
        while not is_so():
            if time.monotonic() > end:
                raise AssertionError("what the provocation waits for did not come about")
            time.sleep(every_s)

    def close(self) -> None:
        """End the other sessions."""
        for pending in self._pending:
            pending.exception(timeout=_BOUND_S)
        self.close_others()
        self._threads.shutdown()

    def close_others(self) -> None:
        """End the other sessions that are open now."""
        for session in self._opened:
            session.close()
            session.engine.dispose()
        self._opened.clear()
        self._aside = None

    def play(self, provocation: Provocation) -> Caught:
        """Provoke the error and return it, with what it did to the transaction."""
        if self._witness.write and not provocation.bare and provocation.phase != "connect":
            self.elsewhere(self._witness.clear)
        provocation.prepare(self)
        try:
            return replace(self._play(provocation), aftermath=self._aftermath)
        finally:
            provocation.clean(self)

    def _play(self, provocation: Provocation) -> Caught:
        url = provocation.url(self) if provocation.url else self.url
        if url.get_driver_name() in ASYNCIO_DRIVERS:
            return asyncio.run(self._play_asyncio(provocation, url))
        engine = create_engine(url, poolclass=NullPool, connect_args=provocation.arguments)
        with _listening(engine) as heard:
            try:
                with engine.connect() as self._connection:
                    self._perform(provocation)
            except Exception as error:
                return _caught(heard, error, provocation)
            finally:
                engine.dispose()
        raise AssertionError(f"{provocation.name}: nothing was raised")

    async def _play_asyncio(self, provocation: Provocation, url: URL) -> Caught:
        engine = create_async_engine(url, poolclass=NullPool, connect_args=provocation.arguments)
        before = set(threading.enumerate())

        def perform(connection: Connection) -> None:
            self._connection = connection
            self._perform(provocation)

        with _listening(engine.sync_engine) as heard:
            try:
                async with engine.connect() as connection:
                    await connection.run_sync(perform)
            except Exception as error:
                return _caught(heard, error, provocation)
            finally:
                await engine.dispose()
                await asyncio.to_thread(_await_workers, before)
        raise AssertionError(f"{provocation.name}: nothing was raised")

    def _perform(self, provocation: Provocation) -> None:
        if provocation.phase == "connect":
            return
        for statement in provocation.before:
            self.run(statement)
        if self._witness.write and not provocation.bare:
            self.run(self._witness.write)
        try:
            provocation.provoke(self)
        except Exception:
            if not provocation.bare:
                self._aftermath = self._look()
            raise

    def _look(self) -> Aftermath:
        # By the driver's own cursor: SQLAlchemy keeps rules of its own for a connection after an error.
        try:
            cursor = self.connection.connection.cursor()
            cursor.execute(self._witness.look)
            (count,) = cursor.fetchone() or (0,)
            cursor.close()
        except Exception as refused:  # that it was refused is the answer
            del refused
            return Aftermath.REFUSED
        return Aftermath.KEPT if count else Aftermath.LOST


def _await_workers(before: set[threading.Thread]) -> None:
    """Wait for aiosqlite's new threads, which speak to their event loop to the last, also after a failed connect."""
    for thread in set(threading.enumerate()) - before:
        if "_connection_worker_thread" in thread.name:
            thread.join(_BOUND_S)


@contextmanager
def _listening(engine: Engine) -> Iterator[list[Caught]]:
    heard: list[Caught] = []

    def listen(context: Any) -> None:
        heard.append(Caught(context.original_exception, context.is_disconnect))

    event.listen(engine, "handle_error", listen)
    yield heard


def _caught(heard: Sequence[Caught], escaped: Exception, provocation: Provocation) -> Caught:
    """Return what was heard of the error that escaped; one that came from elsewhere is raised again."""
    orig = getattr(escaped, "orig", escaped)
    for caught in heard:
        if caught.error is orig:
            return caught
    if provocation.phase == "connect" and orig is escaped:
        return Caught(escaped, False)  # some drivers' connect errors reach no listener
    raise escaped
