"""Getting a server for a test, and what it means that there is none."""

from __future__ import annotations

import os
import sys
import unittest
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from dbkit.exceptions import BackendNotAvailable, InvalidSetting, UsageError
from dbkit.testing.servers.client import process_client
from dbkit.testing.servers.databases import server_version
from dbkit.testing.servers.endpoint import Endpoint
from dbkit.testing.servers.kinds import database_kinds, kind_named, offer, pair_kinds, provider_of, url_setting
from dbkit.testing.servers.pairs import Pair
from dbkit.testing.servers.provider import Installation, Provider
from dbkit.testing.servers.server import PrivateServer, Server

T = TypeVar("T")

#: Names, joined by commas, the kinds of servers without which a test run is a failure.
REQUIRE_SETTING = "DBKIT_TEST_REQUIRE"

# No databases of their own, and something that a run can demand.
_BESIDE = frozenset({"galera", "haproxy", "pgbouncer"})


def required_kinds(environment: Mapping[str, str]) -> frozenset[str]:
    """Return the kinds of servers that the environment says must be there.

    :raises InvalidSetting: it names a kind that does not exist.
    """
    names = frozenset(kind_named(name.strip()) for name in environment.get(REQUIRE_SETTING, "").split(",")) - {""}
    requirable = _BESIDE.union(database_kinds())
    unknown = sorted(names - requirable)
    if unknown:
        raise InvalidSetting(
            f"{REQUIRE_SETTING} names {unknown[0]!r}, which is no kind of server; {offer(unknown[0], requirable)}"
        )
    return names


def obtain(kind: str) -> Server:
    """Return the server of this kind that the whole test run shares, started if need be.

    Where the environment names an existing server by a URL, it is that one.

    :param kind: ``"postgresql"`` or ``"mysql"``, which is also called ``"mariadb"``.
    :raises BackendNotAvailable: there is none, and the text says why and what to install.
    :raises UsageError: there is no such kind.
    """
    provider = _database(kind)
    setting = url_setting(provider.kind)
    if url := os.environ.get(setting):
        endpoint = Endpoint.from_url(provider.kind, url, setting)
        return Server(process_client(), endpoint, server_version(endpoint), is_external=True)
    client = process_client()
    told = client.ask("obtain", installation=installation_of(provider).to_wire())
    return Server(client, Endpoint.from_wire(told["endpoint"]), told["version"]).learn(told)


def private(kind: str, settings: Mapping[str, object] | None = None) -> PrivateServer:
    """Return a server of one's own, for use in a ``with`` statement, which starts and removes it.

    :param settings: over those that all test servers have, by the product's own names.
    :raises BackendNotAvailable: there is none, and the text says why and what to install.
    :raises UsageError: there is no such kind.
    """
    return PrivateServer(process_client(), installation_of(_database(kind)), settings)


def pair(kind: str, replicas: int = 1, settings: Mapping[str, object] | None = None) -> Pair:
    """Return a primary with replicas, for use in a ``with`` statement, which starts and removes them.

    :param settings: of all members, over those that all test servers have, by the product's own names.
    :raises BackendNotAvailable: there is none, and the text says why and what to install.
    :raises UsageError: there is no such kind, or it knows no replicas.
    """
    provider = _database(kind, pair_kinds())
    if provider.replication is None:
        raise UsageError(
            f"the provider of {provider.kind!r} servers offers no replication; use private({kind!r}); pairs can be "
            f"made of: {', '.join(pair_kinds())}"
        )
    return Pair(process_client(), installation_of(provider), provider.replication, replicas, settings)


def or_skip(kind: str, get: Callable[[], T]) -> T:
    """Return what ``get`` gives, or skip the test where that is not available and nobody requires it.

    :param kind: what ``DBKIT_TEST_REQUIRE`` calls it.
    :raises unittest.SkipTest: it is not available; the text says why and what to install.
    :raises BackendNotAvailable: the same, and ``DBKIT_TEST_REQUIRE`` names this kind.
    :raises InvalidSetting: ``DBKIT_TEST_REQUIRE`` names a kind that does not exist.
    """
    required, kind = required_kinds(os.environ), kind_named(kind)
    try:
        return get()
    except BackendNotAvailable as missing:
        if kind in required:
            raise BackendNotAvailable(f"{REQUIRE_SETTING} demands {kind}: {missing}") from missing
        raise unittest.SkipTest(str(missing)) from missing


def require_or_skip(kind: str) -> Server:
    """Return the shared server of this kind, or skip the test where there is none and none is required.

    :raises unittest.SkipTest: there is none; the text says why and what to install.
    :raises BackendNotAvailable: the same, and ``DBKIT_TEST_REQUIRE`` names this kind.
    :raises InvalidSetting: ``DBKIT_TEST_REQUIRE`` names a kind that does not exist.
    """
    return or_skip(kind, lambda: obtain(kind))


def release() -> None:
    """Give back all that this process has: its databases are dropped, its private servers removed."""
    process_client().close()


def installation_of(provider: Provider) -> Installation:
    """Return the provider's programs, as this process's environment leads to them.

    :raises BackendNotAvailable: they are not there, or this machine is none on which servers can be started.
    """
    if sys.platform != "linux":
        raise BackendNotAvailable(f"servers are started on Linux only; name one by {url_setting(provider.kind)}")
    return provider.find(os.environ)


def _database(kind: str, offered: Iterable[str] | None = None) -> Provider:
    offered = database_kinds() if offered is None else offered
    provider = provider_of(kind, offered)
    if provider.speaks != provider.kind:
        raise UsageError(f"{kind!r} is no kind of database; {offer(kind, offered)}")
    return provider
