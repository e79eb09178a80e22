"""What stands between clients and servers: a load balancer, and a pool of connections that clients share."""

from __future__ import annotations

import contextlib
import csv
import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from dbkit.exceptions import BackendNotAvailable, UsageError
from dbkit.testing.servers import haproxy_provider, pgbouncer_provider
from dbkit.testing.servers.client import Client, process_client
from dbkit.testing.servers.haproxy_provider import Door, Target
from dbkit.testing.servers.health import READER, WRITER
from dbkit.testing.servers.health_provider import WATCHED_FILE
from dbkit.testing.servers.kinds import provider_of
from dbkit.testing.servers.origins import Origin
from dbkit.testing.servers.polling import wait_until
from dbkit.testing.servers.provider import Installation, as_settings
from dbkit.testing.servers.require import installation_of
from dbkit.testing.servers.server import Making, PrivateServer, Server
from dbkit.testing.servers.wire import Message

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

#: Seconds within which a load balancer is expected to notice what became of a server.
NOTICE_S = 30.0

_COMMAND_S = 5.0
_CHUNK = 65536
_SUMS = ("FRONTEND", "BACKEND")
_MODES = ("session", "transaction", "statement")


class LoadBalancer(PrivateServer):
    """HAProxy in front of several servers of one kind, for use in a ``with`` statement.

    It has two doors. The ``"writer"`` leads to the server that takes writes: a primary, or the first node of a Galera
    cluster that is synced. The ``"reader"`` leads to the replicas, or to the synced nodes, in turn. A connection to a
    server that plays the part no more is ended.
    """

    def __init__(
        self, client: Client, installation: Installation, helper: Installation, servers: Sequence[Server]
    ) -> None:
        if not servers:
            raise UsageError("a load balancer needs one server or more to lead to")
        if len(kinds := {server.kind for server in servers}) > 1:
            raise UsageError(f"a load balancer leads to servers of one kind, not of {' and '.join(sorted(kinds))}")
        if portless := [server for server in servers if server.port is None]:
            raise UsageError(f"a load balancer leads to ports, and {portless[0]!r} names none; write it into its URL")
        self._first = servers[0]
        super().__init__(client, installation, None, Making(Origin.nothing(), is_started=False, extra_ports=1))
        self.kind = self._first.kind
        self._servers = tuple(servers)
        making = Making(Origin.nothing(), is_started=False, extra_ports=len(servers) - 1)
        self._health = PrivateServer(client, helper, None, making)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._health)
            stack.callback(super().__exit__, None, None, None)
            super().__enter__()
            self._configure()
            self._health.start()
            self.start()
            stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            super().__exit__(kind, error, traceback)
        finally:
            self._health.__exit__(kind, error, traceback)

    def _configure(self) -> None:
        # The helper opens its own port last, and is ready with it.
        ports = (*self._health.extra_ports, _port_of(self._health))
        told_of = list(zip(ports, self._servers, strict=True))
        watched = [(port, server.endpoint.to_wire()) for port, server in told_of]
        self._health.configure(files={WATCHED_FILE: json.dumps(watched)})
        targets = [Target(self._name_of(server), server.endpoint, port) for port, server in told_of]
        doors = [Door(WRITER, _port_of(self), "first"), Door(READER, self.extra_ports[0], "roundrobin")]
        text = haproxy_provider.configuration(_folder_of(self), doors, targets)
        self.configure(files={haproxy_provider.CONFIGURATION_FILE: text})

    def learn(self, told: Message) -> Self:
        """Take over what the supervisor tells of HAProxy; all but the port is as with the servers behind it."""
        super().learn(told)
        self._endpoint = replace(self._first.endpoint, host=self._endpoint.host, port=self._endpoint.port)
        return self

    def url(
        self, driver: str | None = None, database: str | None = None, scheme: str | None = None, *, door: str = WRITER
    ) -> URL:
        """Return the URL of a database, reached through one of the doors.

        :param door: ``"writer"`` or ``"reader"``.
        :raises UsageError: there is no such door, or the kind has no such scheme.
        """
        _vet(door)
        port = self.port if door == WRITER else self.extra_ports[0]
        return super().url(driver, database, scheme).set(port=port)

    def disable(self, server: Server) -> None:
        """Lead nobody to this server any more, and end the connections that lead there: it is in maintenance."""
        self._set_state(server, "maint")
        for door in (WRITER, READER):
            self.command(f"shutdown sessions server {door}/{self._name_of(server)}")

    def drain(self, server: Server) -> None:
        """Lead nobody new to this server; connections that lead there stay."""
        self._set_state(server, "drain")

    def enable(self, server: Server) -> None:
        """Lead clients to this server again."""
        self._set_state(server, "ready")

    def serving(self, door: str = WRITER) -> list[Server]:
        """Return the servers to which this door leads now, in the order in which they were given.

        :raises UsageError: there is no such door.
        """
        _vet(door)
        rows = self._rows_of(door)
        # "UP 1/3" is one that is led to still, and will be given up after one more failure, or two
        return [server for server in self._servers if rows[self._name_of(server)]["status"].startswith("UP")]

    def _rows_of(self, door: str) -> dict[str, dict[str, str]]:
        """Return what HAProxy tells of each server behind a door, by its name."""
        lines = self.command("show stat").removeprefix("# ").splitlines()
        rows = csv.DictReader(line for line in lines if line)
        return {row["svname"]: row for row in rows if row["pxname"] == door}

    def _leads_surely(self, door: str) -> bool:
        """Whether HAProxy has looked at each server that is not in maintenance, and has no doubt of those it leads to.

        Before the first look it leads to all.
        """
        rows = [row for row in self._rows_of(door).values() if not row["status"].startswith("MAINT")]
        looks = [row["check_status"].removeprefix("* ") for row in rows if row["svname"] not in _SUMS]
        in_doubt = [row for row in rows if row["status"].startswith("UP ")]
        return not in_doubt and all(look not in ("", "INI") for look in looks)

    def wait_until_serving(self, *servers: Server, door: str = WRITER, bound_s: float = NOTICE_S) -> None:
        """Return when this door leads to these servers, and to no other.

        :raises TimeoutError: it did not come to that within the bound.
        :raises UsageError: there is no such door.
        """
        _vet(door)
        wanted = [server for server in self._servers if server in servers]
        ports = ", ".join(str(server.port) for server in wanted) or "none"
        what = f"a {door} door that leads to the servers at {ports}"
        wait_until(lambda: self._leads_surely(door) and self.serving(door) == wanted, bound_s, what)

    def command(self, text: str) -> str:
        """Have HAProxy do a command of its runtime API, and return what it says.

        :raises BackendNotAvailable: it does not answer.
        """
        path, said = _folder_of(self) / haproxy_provider.COMMAND_SOCKET, b""
        try:
            with socket.socket(socket.AF_UNIX) as stream:
                stream.settimeout(_COMMAND_S)
                stream.connect(str(path))
                stream.sendall(text.encode() + b"\n")
                while data := stream.recv(_CHUNK):
                    said += data
        except OSError as failed:
            raise BackendNotAvailable(f"HAProxy at port {self.port} takes no command: {failed}") from failed
        return said.decode()

    def _set_state(self, server: Server, state: str) -> None:
        for door in (WRITER, READER):
            if said := self.command(f"set server {door}/{self._name_of(server)} state {state}").strip():
                raise UsageError(f"HAProxy did not take {server!r} to the state {state!r}: {said}")

    def _name_of(self, server: Server) -> str:
        if server not in self._servers:
            raise UsageError(f"{server!r} is not behind this load balancer")
        return f"server{self._servers.index(server)}"


class ConnectionPooler(PrivateServer):
    """PgBouncer in front of a PostgreSQL server, for use in a ``with`` statement.

    :ivar mode: for how long a client keeps a connection of the server: ``"session"``, ``"transaction"`` or
        ``"statement"``.
    """

    def __init__(
        self,
        client: Client,
        installation: Installation,
        server: Server,
        mode: str,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        if server.kind != "postgresql":
            raise UsageError(f"PgBouncer stands before PostgreSQL servers, not before {server.kind} ones")
        if mode not in _MODES:
            raise UsageError(f"PgBouncer has no mode {mode!r}; use {', '.join(_MODES)}")
        making = Making(Origin.nothing(), is_started=False)
        super().__init__(client, installation, None, making)
        self.kind = server.kind
        self.mode = mode
        self._server = server
        self._pooling = {"pool_mode": mode, **as_settings(settings)}

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(super().__exit__, None, None, None)
            super().__enter__()
            server = self._server.endpoint
            text = pgbouncer_provider.configuration(_folder_of(self), _port_of(self), server, self._pooling)
            files = {pgbouncer_provider.CONFIGURATION_FILE: text}
            files[pgbouncer_provider.USERS_FILE] = pgbouncer_provider.users(server)
            self.configure(files=files)
            self.start()
            stack.pop_all()
        return self

    def learn(self, told: Message) -> Self:
        """Take over what the supervisor tells of PgBouncer; all but the port is as with the server behind it."""
        super().learn(told)
        self._endpoint = replace(self._server.endpoint, host=self._endpoint.host, port=self._endpoint.port)
        return self

    def create_database(self) -> str:
        """Create an empty UTF-8 database on the server and return its name, as the server does."""
        return self._server.create_database()

    def drop_database(self, name: str) -> None:
        """Drop a database of the server, as the server does."""
        self._server.drop_database(name)


def _vet(door: str) -> None:
    if door not in (WRITER, READER):
        raise UsageError(f"a load balancer has no door {door!r}; use {WRITER!r} or {READER!r}")


def _folder_of(proxy: PrivateServer) -> Path:
    if proxy.folder is None:
        raise UsageError(f"{proxy!r} is not there; use it inside its with block")
    return proxy.folder


def _port_of(proxy: PrivateServer) -> int:
    if proxy.port is None:
        raise UsageError(f"{proxy!r} is not there; use it inside its with block")
    return proxy.port


def haproxy(servers: Sequence[Server]) -> LoadBalancer:
    """Return a load balancer, for use in a ``with`` statement, which starts and removes it.

    :param servers: of one kind: the members of a pair, the nodes of a Galera cluster, or single ones.
    :raises BackendNotAvailable: there is none, and the text says why and what to install.
    """
    installation, helper = (installation_of(provider_of(kind)) for kind in ("haproxy", "health"))
    return LoadBalancer(process_client(), installation, helper, servers)


def pgbouncer(
    server: Server, mode: str = "transaction", settings: Mapping[str, object] | None = None
) -> ConnectionPooler:
    """Return a pooler of connections, for use in a ``with`` statement, which starts and removes it.

    :param mode: ``"session"``, ``"transaction"`` or ``"statement"``.
    :param settings: over those for tests, by PgBouncer's own names.
    :raises BackendNotAvailable: there is none, and the text says why and what to install.
    """
    return ConnectionPooler(process_client(), installation_of(provider_of("pgbouncer")), server, mode, settings)
