"""The proxy as a test sees it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from sqlalchemy.engine import URL

from dbkit.engines.url import parse
from dbkit.exceptions import UsageError
from dbkit.testing.faults.fault import Fault, saw
from dbkit.testing.faults.host import Channel, Host, process_host
from dbkit.testing.faults.journal import KINDS, Event, Statement
from dbkit.testing.faults.kinds import kind_named
from dbkit.testing.faults.rules import Action, Pattern, Point, Rule
from dbkit.testing.faults.targets import PLACES, Target, place_of, target_of
from dbkit.testing.servers.ports import LOOPBACK

_WAIT_S = 10.0
_SLACK_S = 10.0


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection through a proxy.

    :ivar number: 1 for the first that the proxy took.
    :ivar state: ``"open"``, ``"held"``, ``"frozen"``, or ``"dropped"`` when all that comes vanishes.
    :ivar statement: what its client asked for last, with ``?`` for every literal.
    """

    number: int
    state: str
    statement: str


class Proxy:
    """A way to a server on which faults can be put; for use in a ``with`` statement.

    Its methods return when the proxy has done what they say, and take well under a millisecond; they may be called
    from asyncio code and from several threads. Where one waits for an event, it says so.

    :ivar kind: ``"postgresql"`` or ``"mysql"``.
    """

    host = LOOPBACK

    def __init__(self, target: Target) -> None:
        self.kind = kind_named(target.kind)
        self._target = target
        self._process: Host | None = None
        self._channel: Channel | None = None
        self._number = 0
        self._port = 0

    def __enter__(self) -> Self:
        if self._channel is None:
            host, port = place_of(self._target)
            self._process = process_host()
            self._channel = self._process.channel()
            told = self._channel.ask("open", kind=self.kind, host=host, port=port)
            self._number, self._port = told["proxy"], told["port"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all connections through the proxy, and the proxy."""
        if self._channel is not None:
            channel, self._channel = self._channel, None
            channel.close()

    def __repr__(self) -> str:
        where = f"at {self.host}:{self._port}" if self._channel is not None else "closed"
        return f"<{type(self).__name__} {self.kind} {where}>"

    # -- the way through ----------------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The TCP port at which it listens."""
        self._open()
        return self._port

    @property
    def pid(self) -> int:
        """The id of its process, which all proxies of the calling process share."""
        self._open()
        assert self._process is not None
        return self._process.pid

    def url(self, driver: str | None = None, database: str | None = None, scheme: str | None = None) -> URL:
        """Return the URL of a database of the server that leads through the proxy.

        :param driver: as SQLAlchemy names it; None leaves the choice to whoever reads the URL.
        :param database: None means the one that the server's own URL names.
        :param scheme: ``"mysql"`` or ``"mariadb"``, for that kind.
        :raises UsageError: the proxy was made for a host and a port, which say too little for a URL.
        """
        return self.through(self._target.url(driver, database, scheme))

    def through(self, url: str | URL) -> URL:
        """Return a URL of the server with the proxy's host and port in the place of its own."""
        plain = parse(url)
        return plain.difference_update_query(PLACES).set(host=self.host, port=self.port)

    def retarget(self, target: Target | str | URL | tuple[str, int]) -> None:
        """Lead new connections to another server of the same kind; those that are open stay where they are.

        :param target: as for :func:`proxy`. The URLs that the proxy gives stay those of the first server.
        """
        host, port = place_of(target_of(target, self.kind if isinstance(target, tuple) else None))
        self._ask("retarget", host=host, port=port)

    # -- faults at a point --------------------------------------------------------------------------------------------

    def cut(self, point: Point, *, reset: bool = True, **choice: Any) -> Fault:
        """Close the connection at a point: first to the server, and when that has ended the session, to the client.

        :param reset: with a reset; False means in order, as a server that shuts down does.
        :param choice: which occurrences, as :meth:`add` reads them.
        """
        return self.add(_rule(point, Action.CUT, choice, reset=reset))

    def drop(self, point: Point, **choice: Any) -> Fault:
        """Let the message or reply vanish, and all that follows on the connection, in both directions.

        Neither side is told, also when the other ends: the client waits, and the server keeps the session with its
        locks, until :meth:`cut_all` or the end of the proxy.
        """
        return self.add(_rule(point, Action.DROP, choice))

    def delay(self, point: Point, *, seconds: float, **choice: Any) -> Fault:
        """Hold the message or reply back for some time, or until the fault is released."""
        return self.add(_rule(point, Action.DELAY, choice, seconds=seconds))

    def abandon(self, point: Point, *, seconds: float, reset: bool = True, **choice: Any) -> Fault:
        """Close the client's side, and let the message reach the server later, or when the fault is released.

        The client has got an error by then, and may have asked the server what became of its transaction. This is what
        a network does that loses the answers for a while and delivers what was sent.

        :param point: a :func:`before`.
        :param reset: as for :meth:`cut`.
        """
        return self.add(_rule(point, Action.ABANDON, choice, seconds=seconds, reset=reset))

    def hold(self, point: Point, **choice: Any) -> Fault:
        """Hold the message or reply back until the fault is released.

        A held message reaches the server also if its client has given up meanwhile.
        """
        return self.add(_rule(point, Action.HOLD, choice))

    def freeze(self, point: Point, *, everywhere: bool = False, **choice: Any) -> Fault:
        """Stop both directions at a point, until :meth:`thaw`.

        :param everywhere: of all connections, new ones included.
        """
        return self.add(_rule(point, Action.FREEZE, choice, everywhere=everywhere))

    def add(self, rule: Rule) -> Fault:
        """Put a fault on the proxy. It counts the occurrences of its point from now on.

        The other methods take these as keywords: ``nth``, the first occurrence to strike at (1); ``times``, at how
        many (1; None: at all from then on); ``probability``, the chance at each, and its ``seed``; ``connection``, a
        number, and ``last_ran``, a regular expression: only on the connection that was the last to run such a
        statement since the fault was added. What a client writes into a statement's text can be matched. Of several
        faults that strike at once the oldest acts.
        """
        return Fault(self, rule, self._ask("add", rule=rule.to_wire())["fault"])

    def clear(self) -> None:
        """Remove all faults: what they hold goes on, what is frozen thaws. Connections that were dropped stay so."""
        self._ask("clear")

    # -- faults at once -----------------------------------------------------------------------------------------------

    def cut_all(self, *, reset: bool = True) -> None:
        """Close all connections, and return when they are closed, which the servers' sessions are first."""
        self._ask("cut_all", reset=reset)

    def freeze_all(self) -> None:
        """Stop all connections, new ones included: they are taken, and nothing passes."""
        self._ask("freeze_all")

    def thaw(self) -> None:
        """Let all that is frozen go on."""
        self._ask("thaw")

    def refuse(self, *, reset: bool = False) -> None:
        """Refuse new connections, as a host does on which no server listens; those that are open stay.

        :param reset: take them and reset them at once.
        """
        self._ask("refuse", reset=reset)

    def accept(self) -> None:
        """Take new connections again, on the same port."""
        self._ask("accept")

    # -- what has happened --------------------------------------------------------------------------------------------

    @property
    def connections(self) -> list[Connection]:
        """The connections that are there."""
        return [Connection(**each) for each in self._ask("look")["connections"]]

    @property
    def counts(self) -> Mapping[str, int]:
        """How often clients have asked for what: verbs, ``"statement"``, ``"connect"``, ``"ping"`` and so on.

        It counts what has come to the proxy, whatever became of it. What never came is 0.
        """
        return saw(self._ask("look")["counts"])

    @property
    def events(self) -> list[Event]:
        """What the proxy has seen and done, in its order."""
        return self.events_since(0)

    def events_since(self, number: int) -> list[Event]:
        """Return the events that came after the one with this number."""
        return [Event(**each) for each in self._ask("events", since=number)["events"]]

    @property
    def statements(self) -> list[Statement]:
        """The last thousand statements that clients have sent, in their order."""
        return [Statement(**each) for each in self._ask("statements")["statements"]]

    def wait_for(
        self, kind: str, *, connection: int | None = None, since: int = 0, timeout_s: float = _WAIT_S
    ) -> Event:
        """Block until there is an event of this kind, and return the first; it may have come before.

        :param kind: ``"opened"``, ``"closed"``, ``"refused"``, ``"fired"``, ``"released"``, ``"frozen"``,
            ``"thawed"``.
        :param connection: its number.
        :param since: the number of an event: only those after it count.
        :raises TimeoutError: there was none in time.
        """
        if kind not in KINDS:
            raise UsageError(f"there are no events of the kind {kind!r}; there are: {', '.join(KINDS)}")
        what = f"an event {kind!r}" + (f" of connection {connection}" if connection is not None else "")
        return self.awaited(what, timeout_s, kind=kind, connection=connection, since=since)

    def awaiting(self, kind: str, **arguments: Any) -> Coroutine[Any, Any, Event]:
        """As :meth:`wait_for`, for ``await``."""
        return asyncio.to_thread(self.wait_for, kind, **arguments)

    # -- asking -------------------------------------------------------------------------------------------------------

    def ask_about(self, fault: int, request: str) -> int:
        """Ask something about a fault; for :class:`Fault`."""
        answer: int = next(iter(self._ask(request, fault=fault).values()))
        return answer

    def awaited(self, what: str, timeout_s: float, **fields: Any) -> Event:
        """Block until something has happened; for :class:`Fault`.

        :raises TimeoutError: it has not, in time.
        """
        self._open()
        assert self._process is not None
        # A channel of its own, so that other threads can use the proxy meanwhile, to bring about what is awaited.
        channel = self._process.channel()
        try:
            channel.ask("attach", proxy=self._number)
            told = channel.ask("wait", bound_s=timeout_s + _SLACK_S, timeout_s=timeout_s, **fields)
        finally:
            channel.close()
        if told["event"] is None:
            raise TimeoutError(f"{what} was not seen within {timeout_s:g} s; the proxy has seen {saw(told['counts'])}")
        return Event(**told["event"])

    def _open(self) -> Channel:
        if self._channel is None:
            raise UsageError("the fault proxy is not open; use it inside its with block")
        return self._channel

    def _ask(self, request: str, **fields: Any) -> dict[str, Any]:
        return self._open().ask(request, **fields)


def proxy(target: Target | str | URL | tuple[str, int], kind: str | None = None) -> Proxy:
    """Return a proxy in front of a server, for use in a ``with`` statement.

    :param target: a server of :mod:`dbkit.testing.servers`, a database URL, or a host and a port.
    :param kind: ``"postgresql"`` or ``"mysql"``, which is also called ``"mariadb"``; needed with a host and a port.
    :raises UsageError: the proxy does not understand the server's protocol.
    """
    return Proxy(target_of(target, kind))


def _rule(point: Point, action: Action, choice: Mapping[str, Any], **fields: Any) -> Rule:
    unknown = choice.keys() - {"nth", "times", "probability", "seed", "connection", "last_ran"}
    if unknown:
        raise UsageError(
            f"a fault chooses its occurrences by nth, times, probability, seed, connection and last_ran, "
            f"not by {', '.join(sorted(unknown))}"
        )
    chosen = dict(choice)
    what: str | re.Pattern[str] | None = chosen.get("last_ran")
    if what is not None:
        chosen["last_ran"] = Pattern.of(what)
    return Rule(point, action, **fields, **chosen)
