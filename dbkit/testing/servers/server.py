"""A server as tests see it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy.engine import URL

from dbkit.exceptions import DBError, UsageError
from dbkit.testing.servers import databases
from dbkit.testing.servers.client import Client
from dbkit.testing.servers.endpoint import Endpoint
from dbkit.testing.servers.provider import Installation, as_settings
from dbkit.testing.servers.wire import Message


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
            self._adopt(name)
            try:
                created = databases.create_database(self._endpoint, name)
            except DBError:
                self._forget(name)
                raise
            if created:
                return name
            self._forget(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, after the sessions that use it have been ended. That it is gone already is no error.

        :raises DBError: the server refused.
        """
        databases.drop_database(self._endpoint, name)
        self._forget(name)

    def _adopt(self, name: str) -> None:
        """Have the database dropped when this process ends."""
        self._client.ask("adopt", endpoint=self._endpoint.to_wire(), name=name)

    def _forget(self, name: str) -> None:
        self._client.ask("forget", name=name)


class PrivateServer(Server):
    """A server of one's own, to be killed and reconfigured at will; it is removed at the end of the ``with`` block."""

    def __init__(self, client: Client, installation: Installation, settings: Mapping[str, object] | None) -> None:
        super().__init__(client, Endpoint(installation.kind, "", None, None), "")
        self._installation = installation
        self._settings = as_settings(settings)
        self._key: str | None = None

    def _adopt(self, name: str) -> None:
        """Do nothing: the databases go with the server."""

    def _forget(self, name: str) -> None:
        """Do nothing, as :meth:`_adopt`."""

    def __enter__(self) -> Self:
        if self._key is None:
            told = self._client.ask("private", installation=self._installation.to_wire(), settings=self._settings)
            self._key = told["key"]
            self.learn(told)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._key is not None:
            key, self._key = self._key, None
            self._client.ask("control", key=key, action="remove")

    def start(self) -> None:
        """Start the stopped server, on the same port and with its data."""
        self._control("start")

    def stop(self) -> None:
        """Stop it in order, which ends its clients' sessions."""
        self._control("stop")

    def restart(self) -> None:
        """Stop it and start it again."""
        self._control("restart")

    def crash(self) -> None:
        """Kill all of its processes at once."""
        self._control("crash")

    def freeze(self) -> None:
        """Halt all of its processes: connections stay open, and nothing answers."""
        self._control("freeze")

    def thaw(self) -> None:
        """Let the frozen server go on."""
        self._control("thaw")

    def _control(self, action: str) -> None:
        if self._key is None:
            raise UsageError(f"the private {self.kind} server is not there to {action}; use it inside its with block")
        self.learn(self._client.ask("control", key=self._key, action=action))
