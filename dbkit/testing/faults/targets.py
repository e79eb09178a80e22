"""What a proxy can lead to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.engine import URL

from dbkit.engines.url import parse
from dbkit.exceptions import UsageError
from dbkit.testing.faults.kinds import USUAL_PORTS, kind_named

_LOOPBACK = "127.0.0.1"

# In a URL's arguments these lead past the URL's own host and port.
PLACES = frozenset({"host", "hostaddr", "port", "unix_socket", "service", "read_default_file"})


class Target(Protocol):
    """A server, as :mod:`dbkit.testing.servers` has them."""

    @property
    def kind(self) -> str:
        """The kind of server, by the name of its protocol."""

    @property
    def host(self) -> str:
        """The host at which it listens."""

    @property
    def port(self) -> int | None:
        """The TCP port; None means the product's usual one."""

    def url(self, driver: str | None = None, database: str | None = None, scheme: str | None = None) -> URL:
        """Return the URL of a database of this server."""


@dataclass(frozen=True)
class UrlTarget:
    """A server that a URL names."""

    kind: str
    whole: URL

    @property
    def host(self) -> str:
        """The host of the URL."""
        host = self.whole.host or _LOOPBACK
        if host.startswith("/") or PLACES & self.whole.query.keys():
            raise UsageError("the fault proxy leads to one TCP port; give a URL with a host and a port, and no others")
        return host

    @property
    def port(self) -> int | None:
        """The port of the URL."""
        return self.whole.port

    def url(self, driver: str | None = None, database: str | None = None, scheme: str | None = None) -> URL:
        """Return the URL, with another driver, database or scheme."""
        own, _, named = self.whole.drivername.partition("+")
        name, driver = scheme or own, driver or named
        return self.whole.set(
            drivername=f"{name}+{driver}" if driver else name, database=database or self.whole.database
        )


@dataclass(frozen=True)
class PlaceTarget:
    """A server of which the place is known and nothing else."""

    kind: str
    host: str
    port: int | None

    def url(self, driver: str | None = None, database: str | None = None, scheme: str | None = None) -> URL:
        """Refuse: nobody has said who connects.

        :raises UsageError: always.
        """
        raise UsageError("the proxy leads to a host and a port, which make no URL; give your own to through(url)")


def target_of(target: Target | str | URL | tuple[str, int], kind: str | None) -> Target:
    """Return what a person names: a server, a URL, or a host and a port with their kind.

    :raises UsageError: it is none of these, or the proxy does not understand its protocol.
    """
    if isinstance(target, str | URL):
        url = parse(target)
        return UrlTarget(kind_named(kind or url.get_backend_name()), url)
    if isinstance(target, tuple):
        if kind is None:
            raise UsageError("a host and a port do not say what listens there; add kind='postgresql' or kind='mysql'")
        return PlaceTarget(kind_named(kind), *target)
    kind_named(target.kind)
    return target


def place_of(target: Target) -> tuple[str, int]:
    """Return where a server listens."""
    return target.host, target.port or USUAL_PORTS[kind_named(target.kind)]
