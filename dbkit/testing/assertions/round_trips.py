"""How often a block makes its program wait for the server."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from sqlalchemy import event
from sqlalchemy.engine import Engine

from dbkit.exceptions import UsageError
from dbkit.testing.assertions.block import Check
from dbkit.testing.assertions.relay import Relay
from dbkit.testing.assertions.statements import StatementRecorder
from dbkit.testing.assertions.targets import Stop, Target, each_engine
from dbkit.transaction.greenlets import in_task

_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}


class _Detour:
    """A pool in place of an engine's own, whose connections pass through relays that count."""

    def __init__(self, engine: Engine) -> None:
        self.counted = 0
        self._engine = engine
        self._own = engine.pool
        self._relays: dict[Any, Relay] = {}
        self._since: dict[Any, int] = {}
        pool = self._pool = engine.pool.recreate()
        if pool is self._own:
            raise UsageError(
                "round trips are counted on connections opened for it, and a sandbox by rollback has a single one; "
                "give the test isolation 'clone', 'truncate' or 'none'"
            )
        event.listen(engine, "do_connect", self._redirect)
        event.listen(pool, "checkout", self._out)
        event.listen(pool, "checkin", self._back)
        engine.pool = pool

    def running(self) -> int:
        """Return the round trips on connections that are in use."""
        return sum(self._relays[record].counts.trips - since for record, since in self._since.items())

    def restart(self) -> None:
        """Count from here."""
        self.counted = 0
        self._since = {record: self._relays[record].counts.trips for record in self._since}

    def close(self) -> None:
        """Let the engine have its own pool again; for asyncio, call it inside SQLAlchemy's greenlet."""
        pool, self._engine.pool = self._engine.pool, self._own
        event.remove(self._engine, "do_connect", self._redirect)
        pool.dispose()  # what is in use goes on, and its relay with it
        for record, relay in self._relays.items():
            if record not in self._since:
                relay.stop()

    def _redirect(self, dialect: Any, record: Any, args: list[Any], arguments: dict[str, Any]) -> None:
        host, port = arguments.get("host") or "localhost", arguments.get("port") or _PORTS[dialect.name]
        if not isinstance(host, str) or "," in host or "," in str(port) or host.startswith("/"):
            raise UsageError(
                "round trips are counted on TCP connections; let the URL name one host, and no socket file"
            )
        if "unix_socket" in arguments:
            raise UsageError("round trips are counted on TCP connections; leave unix_socket out of the URL")
        relay = self._relays[record] = Relay(host, int(port), once=True)
        relay.start()
        arguments.update(host=relay.host, port=relay.port)
        arguments.pop("hostaddr", None)

    def _out(self, connection: Any, record: Any, proxy: Any) -> None:
        self._since[record] = self._relays[record].counts.trips

    def _back(self, connection: Any, record: Any) -> None:
        since = self._since.pop(record, None)
        if since is not None:
            self.counted += self._relays[record].counts.trips - since


class RoundTripCheck(Check):
    """Counts round trips on the wire, while its block runs.

    The engines get pools of their own for that time, whose connections pass through a relay on the loopback. What it
    takes to open or to test a connection is not counted.
    """

    def __init__(self, target: Target, exactly: int | None, at_most: int | None) -> None:
        self._target = target
        self._exactly = exactly
        self._at_most = at_most
        self._in_task = False
        self._detours: list[_Detour] = []
        self._recorder = StatementRecorder(target)

    @property
    def count(self) -> int:
        """How many round trips there were so far."""
        return sum(each.counted + each.running() for each in self._detours)

    def restart(self) -> None:
        """Count from here: after a first run, with which drivers fill their caches of prepared statements."""
        for each in self._detours:
            each.restart()
        self._recorder.sent.clear()

    def _start(self) -> Stop:
        try:
            stops = [each_engine(self._target, self._detour)]
            self._recorder.__enter__()
            stops.append(lambda: self._recorder.__exit__(None, None, None))
        except BaseException:
            self._close()
            raise

        def end() -> None:
            for stop in stops:
                stop()

        return end

    def _judge(self) -> None:
        __tracebackhide__ = True
        count = self.count
        if count == self._exactly or (self._at_most is not None and count <= self._at_most):
            return
        expected = str(self._exactly) if self._at_most is None else f"at most {self._at_most}"
        trips = "1 round trip" if count == 1 else f"{count} round trips"
        sent = f"the statements, without BEGIN, COMMIT and savepoints:\n{self._recorder.report()}"
        raise AssertionError(f"{trips} on the wire, {expected} expected; {sent}")

    def __exit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        __tracebackhide__ = True
        try:
            super().__exit__(kind, error, trace)
        finally:
            self._close()

    async def __aenter__(self) -> Self:
        self._in_task = True
        return self.__enter__()

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        __tracebackhide__ = True
        try:
            super().__exit__(kind, error, trace)
        finally:
            await in_task(self._close)

    def _close(self) -> None:
        for each in self._detours:
            each.close()

    def _detour(self, engine: Engine) -> None:
        if engine.dialect.name == "sqlite":
            raise UsageError("SQLite runs inside the program: there are no round trips; use assert_statements")
        if engine.dialect.name not in _PORTS:
            raise UsageError(f"round trips to {engine.dialect.name} cannot be counted; use assert_statements")
        if engine.dialect.is_async and not self._in_task:
            raise UsageError("to count the round trips of an asyncio engine, write: async with assert_round_trips(...)")
        self._detours.append(_Detour(engine))


def assert_round_trips(target: Target, exactly: int | None = None, *, max: int | None = None) -> RoundTripCheck:
    """Return what fails unless its block makes so many round trips to the server.

    They are counted on the wire: BEGIN, COMMIT, savepoints and what a driver prepares take theirs, and what a driver
    sends together takes one. The connections are new ones, so that a driver prepares its statements once more:

    .. code-block:: python

        with assert_round_trips(db, 3) as trips:
            list_accounts()
            trips.restart()                         # from here
            list_accounts()

    :param target: a ``dbkit.Database``, a manager of enginefacade, or an engine of SQLAlchemy, on a server that is
        reached by TCP; that of a transaction that is open already is not counted. An asyncio one needs ``async with``.
    :param exactly: the number.
    :param max: or the highest number that is right.
    :raises UsageError: not exactly one of the numbers is given; on entry: there are no round trips to count.

    .. versionadded:: 0.1
    """
    if (exactly is None) == (max is None):
        raise UsageError("say how many are right: assert_round_trips(db, 3) or assert_round_trips(db, max=3)")
    return RoundTripCheck(target, exactly, max)
