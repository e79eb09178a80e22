"""Where a server is and as whom one connects to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from dbkit.exceptions import BackendNotAvailable, UsageError

if TYPE_CHECKING:
    # Imported where a URL is asked for: those who keep the servers ask for none, and start five times as fast.
    from sqlalchemy.engine import URL

_SCHEMES: Mapping[str, tuple[str, ...]] = {"postgresql": ("postgresql",), "mysql": ("mysql", "mariadb")}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a client needs in order to connect.

    :param database: one that exists, for connections that need one.
    """

    kind: str
    host: str
    port: int | None
    user: str | None
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    query: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def to_wire(self) -> dict[str, Any]:
        """Return the endpoint as JSON can carry it, password included."""
        return asdict(self)

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> Endpoint:
        """Return the endpoint that :meth:`to_wire` described."""
        return cls(**data)

    @classmethod
    def from_url(cls, kind: str, text: str, setting: str) -> Endpoint:
        """Return the endpoint that a SQLAlchemy URL names.

        :param setting: where the URL stands, for the text of the error.
        :raises BackendNotAvailable: it is no URL, or one of another kind of database.
        """
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            url = make_url(text)
        except (ArgumentError, ValueError):
            # Without its cause, whose text quotes the URL, and with it a password.
            raise BackendNotAvailable(
                f"{setting} is not a database URL; write {kind}://user@host:port/database"
            ) from None
        schemes = _SCHEMES.get(kind, (kind,))
        if url.get_backend_name() not in schemes:
            raise BackendNotAvailable(
                f"{setting} names a {url.get_backend_name()} database; it must be one of: {', '.join(schemes)}"
            )
        return cls(kind, url.host or "localhost", url.port, url.username, url.password, url.database, dict(url.query))

    def url(self, driver: str | None, database: str | None, scheme: str | None) -> URL:
        """Return the SQLAlchemy URL of a database of this server.

        :param driver: as SQLAlchemy names it; None leaves the choice to whoever reads the URL.
        :param database: None means the one for connections that need one.
        :param scheme: None means the kind's own name.
        :raises UsageError: the kind has no such scheme.
        """
        from sqlalchemy.engine import URL

        scheme, schemes = scheme or self.kind, _SCHEMES.get(self.kind, (self.kind,))
        if scheme not in schemes:
            raise UsageError(f"a {self.kind} server has no URL scheme {scheme!r}; use {', '.join(schemes)}")
        return URL.create(
            f"{scheme}+{driver}" if driver else scheme,
            username=self.user,
            password=self.password,
            host=self.host,
            port=self.port,
            database=database or self.database,
            query=self.query,
        )
