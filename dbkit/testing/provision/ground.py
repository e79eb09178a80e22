"""Where test databases are made: a product, a server of it, and who drops what a process leaves."""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.pool import NullPool

from dbkit.backends.base import Backend, Role, SessionSettings
from dbkit.backends.provisioning import Provisioning, Site, provisioning_of
from dbkit.engines import translate
from dbkit.engines.translate import without_connection
from dbkit.engines.url import backend_of, for_colour, parse
from dbkit.exceptions import DBError, DriverMissing, UsageError
from dbkit.spec import Colour
from dbkit.testing import servers
from dbkit.testing.provision.folders import cache_folder, process_folder
from dbkit.testing.servers.client import process_client
from dbkit.testing.servers.databases import server_version
from dbkit.testing.servers.endpoint import Endpoint
from dbkit.testing.servers.kinds import database_kinds, kind_named
from dbkit.testing.servers.server import Server

# The sort of database, and how it is written as a URL, for products that need no server.
_WITHOUT_SERVER = {"sqlite": "sqlite:///file"}


@dataclass(frozen=True)
class Ground:
    """A product and a server of it.

    :param url: an administrator's, with a blocking driver.
    :param server: None where there is none, or where it is not one of those that the supervisor knows.
    """

    url: URL
    backend: Backend = field(compare=False)
    server: Server | None = field(compare=False)

    @property
    def provisioning(self) -> Provisioning:
        """How the product provides test databases."""
        return provisioning_of(self.backend)

    def site(self, connect: Callable[[URL], AbstractContextManager[Connection]] | None = None) -> Site:
        """Return what the product needs to know of this place, for this process.

        :param connect: a better way to open connections than :meth:`connected`.
        """
        left = _Left(self)
        adopt, forget = (left.add, left.remove) if self.server is None else (self.server.adopt, self.server.forget)
        return Site(self.url, cache_folder(os.environ), process_folder(), connect or self.connected, adopt, forget)

    def engine(self, url: URL, **arguments: Any) -> Engine:
        """Return an engine whose errors are dbkit's."""
        connect = dict(self.provisioning.connect_arguments(url.get_driver_name()))
        engine = create_engine(url, connect_args=connect, **arguments)
        translate.install(engine, self.backend, Role.WRITER)
        return engine

    @contextlib.contextmanager
    def connected(self, url: URL) -> Iterator[Connection]:
        """Open a connection in autocommit, and close it."""
        engine = self.engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with opened(self.backend, engine) as connection:
            yield connection

    @contextlib.contextmanager
    def session_connected(self, url: URL) -> Iterator[Connection]:
        """Open a connection with the session that dbkit gives to a writer, and close it."""
        engine = self.engine(url, poolclass=NullPool)
        prepare = partial(self.backend.open_session, role=Role.WRITER, settings=SessionSettings(sqlite_wal=False))

        @event.listens_for(engine, "connect")
        def on_connect(connection: Any, _record: Any) -> None:
            prepare(connection, engine.dialect.driver)

        with opened(self.backend, engine) as connection:
            yield connection


@contextlib.contextmanager
def opened(backend: Backend, engine: Engine) -> Iterator[Connection]:
    """Take a connection of the engine; what fails while it is made is dbkit's error too."""
    try:
        connection = engine.connect()
    except Exception as failed:
        if isinstance(failed, DBError):
            raise
        error = without_connection(backend, engine, failed)
        if error is None:
            raise
        raise error from failed
    with connection:
        yield connection


def ground_of(where: str | URL | Server) -> Ground:
    """Return the place that a kind, a URL or a server names.

    :raises BackendNotAvailable: there is no such server, or it cannot be reached.
    :raises UsageError: there is no such kind, or its backend makes no test databases.
    """
    if isinstance(where, Server):
        return _ground(_blocking(where.url()), where)
    if isinstance(where, str) and "://" not in where:
        kind = kind_named(where)
        if kind in _WITHOUT_SERVER:
            return _ground(_blocking(parse(_WITHOUT_SERVER[kind])), None)
        if kind not in database_kinds():
            known = ", ".join(sorted({*_WITHOUT_SERVER, *database_kinds()}))
            raise UsageError(f"there is no kind of database named {where!r}; there are {known}, or give a URL")
        return ground_of(servers.obtain(kind))
    url = parse(where)
    kind = backend_of(url).name
    if kind in _WITHOUT_SERVER or kind not in database_kinds():
        return _ground(_blocking(url), None)
    text = url.render_as_string(hide_password=False)
    endpoint = Endpoint.from_url(kind, text, "the URL of the template's server")
    server = Server(process_client(), endpoint, server_version(endpoint), is_external=True)
    return _ground(_blocking(url), server)


def _ground(url: URL, server: Server | None) -> Ground:
    backend = backend_of(url)
    provisioning_of(backend)
    if backend.name in _WITHOUT_SERVER:  # all that the URL says is which sort of database it is
        url = url.set(database=":memory:" if backend.one_connection(url) else "file", query={})
    return Ground(url, backend, server)


def _blocking(url: URL) -> URL:
    """Return the URL with a blocking driver that is installed, the one that it names if possible."""
    backend = backend_of(url)
    if not url.database and backend.name not in _WITHOUT_SERVER:
        url = url.set(database=_MAINTENANCE.get(backend.name))
    if "+" in url.drivername:
        return _with_driver(url)
    blocking = [driver.name for driver in backend.drivers.values() if Colour.BLOCKING in driver.colours]
    default = backend.defaults[Colour.BLOCKING]
    missing: DriverMissing | None = None
    for name in sorted(blocking, key=lambda each: each != default):
        try:
            return _with_driver(url.set(drivername=f"{url.drivername}+{name}"))
        except DriverMissing as failed:
            missing = missing or failed
    raise missing or DriverMissing(f"the backend {backend.name!r} has no blocking driver to make test databases with")


_MAINTENANCE = {"postgresql": "postgres", "mysql": "information_schema"}


def _with_driver(url: URL) -> URL:
    return for_colour(url, Colour.BLOCKING)


class _Left:
    """Drops, at the end of the process, the databases of servers that the supervisor does not know."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._names: set[str] = set()
        self._process = os.getpid()

    def add(self, name: str) -> None:
        if not self._names:
            atexit.register(self._drop_all)
        self._names.add(name)

    def remove(self, name: str) -> None:
        self._names.discard(name)

    def _drop_all(self) -> None:
        if os.getpid() == self._process and self._names:
            site = self._ground.site()
            for name in sorted(self._names):
                self._ground.provisioning.drop(site, name)
