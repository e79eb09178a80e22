"""The kinds of servers that tests can ask for, and who provides each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from dbkit.exceptions import UsageError
from dbkit.testing.servers.mariadb import MariaDB
from dbkit.testing.servers.postgresql import PostgreSQL
from dbkit.testing.servers.provider import Provider

PROVIDERS: Mapping[str, Provider] = MappingProxyType({"postgresql": PostgreSQL(), "mysql": MariaDB()})

#: The environment variable that names an existing server of a kind, as a URL with an administrator's rights.
URL_SETTINGS: Mapping[str, str] = MappingProxyType(
    {"postgresql": "DBKIT_TEST_POSTGRESQL_URL", "mysql": "DBKIT_TEST_MYSQL_URL"}
)


def provider_of(kind: str) -> Provider:
    """Return the provider of this kind of server.

    :raises UsageError: there is no such kind.
    """
    try:
        return PROVIDERS[kind]
    except KeyError:
        raise UsageError(f"there is no kind of server named {kind!r}; there are: {', '.join(PROVIDERS)}") from None
