"""A server as tests see it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from dbkit.exceptions import DBError, UsageError
from dbkit.testing.servers import databases
from dbkit.testing.servers.client import Client
from dbkit.testing.servers.endpoint import Endpoint
from dbkit.testing.servers.origins import Origin
from dbkit.testing.servers.provider import Installation, as_settings
from dbkit.testing.servers.wire import Message

if TYPE_CHECKING:
    from sqlalchemy.engine import URL


class Server:
    """A server that this process may use and does not own.

    :ivar kind: ``"postgresql"`` or ``"mysql"``.
    :ivar version: as the product writes it.
    """

    def __init__(self, client: Client, endpoint: Endpoint, version: str, *, is_external: bool = False) -> None:
        self.kind = endpoint.kind
        self.version = version
        self._client = client
        self._endpoint = endpoint
        self._is_external = is_external
        self._folder: Path | None = None
        self._pid: int | None = None

    @property
    def host(self) -> str:
        """The host at which it listens."""
        return self._endpoint.host

    @property
    def port(self) -> int | None:
        """The TCP port; None means the product's usual one."""
        return self._endpoint.port

    @property
    def endpoint(self) -> Endpoint:
        """Where it is and as whom clients connect to it."""
        return self._endpoint

    @property
    def folder(self) -> Path | None:
        """Its folder, with the data in ``data`` and what it writes in ``log``; None for a server named by a URL."""
        return self._folder

    @property
    def pid(self) -> int | None:
        """The id of its first process; None while it is stopped, and for a server named by a URL."""
        return self._pid

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.kind} {self.version} at {self.host}:{self.port}>"

    def learn(self, told: Message) -> Self:
        """Take over what the supervisor tells of the server."""
        self._endpoint = Endpoint.from_wire(told["endpoint"])
        self.version = told["version"]
        self._folder = Path(told["folder"])
        self._pid = told["pid"]
        return self

    def url(self, driver: str | None = None, database: str | None = None, scheme: str | None = None) -> URL:
        """Return the URL of a database of this server.

        :param driver: as SQLAlchemy names it; None leaves the choice to whoever reads the URL.
        :param database: None means one that always exists (PostgreSQL), or no database (MySQL).
        :param scheme: ``"mysql"`` or ``"mariadb"``, for that kind.
        :raises UsageError: the kind has no such scheme.
        """
        return self._endpoint.url(driver, database, scheme)

    def create_database(self) -> str:
        """Create an empty UTF-8 database and return its name.

        It is this process's own, and is dropped when the process ends, if it has not been before.

        :raises DBError: the server refused.
        :raises DriverMissing: no blocking driver is installed.
        """
        while True:
            name = f"dbkit_{os.getpid()}_{self._client.next_number()}"
            if self._is_external:  # which others may use, on other machines and with the same numbers
                name = f"{name}_{secrets.token_hex(4)}"
            self.adopt(name)
            try:
                created = databases.create_database(self._endpoint, name)
            except DBError:
                self.forget(name)
                raise
            if created:
                return name
            self.forget(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, after the sessions that use it have been ended. That it is gone already is no error.

        :raises DBError: the server refused.
        """
        databases.drop_database(self._endpoint, name)
        self.forget(name)

    def adopt(self, name: str) -> None:
        """Have the database dropped when this process ends."""
        self._client.ask("adopt", endpoint=self._endpoint.to_wire(), name=name)

    def forget(self, name: str) -> None:
        self._client.ask("forget", name=name)


@dataclass(frozen=True, slots=True)
class Making:
    """How a server of one's own comes into being.

    :param is_started: whether it runs from the beginning; its port stays the same in any case.
    :param extra_ports: how many ports are claimed for it beyond the one on which it listens.
    """

    origin: Origin = field(default_factory=Origin)
    is_started: bool = True
    extra_ports: int = 0


class PrivateServer(Server):
    """A server of one's own, to be killed and reconfigured at will; it is removed at the end of the ``with`` block."""

    def __init__(
        self,
        client: Client,
        installation: Installation,
        settings: Mapping[str, object] | None,
        making: Making | None = None,
    ) -> None:
        super().__init__(client, Endpoint(installation.kind, "", None, None), "")
        self._installation = installation
        self._settings = as_settings(settings)
        self._making = making or Making()
        self._key: str | None = None
        self._state = "new"
        self._extra_ports: tuple[int, ...] = ()

    @property
    def state(self) -> str:
        """What it is doing, as far as this process was told: ``"running"``, ``"stopped"``, ``"frozen"`` and so on."""
        return self._state

    @property
    def extra_ports(self) -> tuple[int, ...]:
        """The ports that were claimed for it beyond the one on which it listens."""
        return self._extra_ports

    @property
    def key(self) -> str:
        """The name by which the supervisor knows it.

        :raises UsageError: it is outside its ``with`` block.
        """
        if self._key is None:
            raise UsageError(f"the private {self.kind} server is not there; use it inside its with block")
        return self._key

    def learn(self, told: Message) -> Self:
        """Take over what the supervisor tells of the server."""
        self._state, self._extra_ports = told["state"], tuple(told["ports"])
        return super().learn(told)

    def adopt(self, name: str) -> None:
        """Do nothing: the databases go with the server."""

    def forget(self, name: str) -> None:
        """Do nothing, as :meth:`adopt`."""

    def __enter__(self) -> Self:
        if self._key is None:
            told = self._client.ask(
                "private",
                installation=self._installation.to_wire(),
                settings=self._settings,
                origin=self._making.origin.to_wire(),
                start=self._making.is_started,
                ports=self._making.extra_ports,
            )
            self._key = told["key"]
            self.learn(told)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._key is not None:
            together([self], "remove")

    def start(self) -> None:
        """Start the stopped server, on the same port and with its data."""
        together([self], "start")

    def stop(self) -> None:
        """Stop it in order, which ends its clients' sessions."""
        together([self], "stop")

    def restart(self) -> None:
        """Stop it and start it again."""
        together([self], "restart")

    def crash(self) -> None:
        """Kill all of its processes at once."""
        together([self], "crash")

    def freeze(self) -> None:
        """Halt all of its processes: connections stay open, and nothing answers."""
        together([self], "freeze")

    def thaw(self) -> None:
        """Let the frozen server go on."""
        together([self], "thaw")

    def look(self) -> None:
        """Ask the supervisor what the server is doing, for one that may have ended by itself."""
        together([self], "look")

    def configure(
        self, settings: Mapping[str, object] | None = None, *, files: Mapping[str, str] | None = None
    ) -> None:
        """Have other settings from the next start on.

        :param settings: instead of those that were given before; None leaves them as they are.
        :param files: content to write, by path within the server's folder.
        """
        if settings is not None:
            self._settings = as_settings(settings)
        together([self], "configure", settings=self._settings, files=dict(files or {}))

    def rebuild(self, origin: Origin) -> None:
        """Replace the stopped server's data; its port and its settings stay."""
        together([self], "rebuild", origin=origin.to_wire())

    def control(self, others: Sequence[PrivateServer], action: str, **fields: Any) -> None:
        """Have the supervisor do something to this server and the others at the same time."""
        servers, keys = [self, *others], [self.key, *(each.key for each in others)]
        if action == "remove":
            for each in servers:
                each._key, each._state, each._pid = None, "removed", None
        told = self._client.ask("control", keys=keys, action=action, **fields)
        for each, description in zip(servers, told["servers"], strict=False):  # none are told of what is removed
            each.learn(description)


def together(servers: Sequence[PrivateServer], action: str, **fields: Any) -> None:
    """Do the same thing to several servers of one's own at the same time, and return when all of it is done.

    :param action: as the supervisor names it, such as ``"start"``.
    :raises BackendNotAvailable, UsageError: one of them could not do it; the others have done it or could not, too.
    """
    if servers:
        servers[0].control(servers[1:], action, **fields)
