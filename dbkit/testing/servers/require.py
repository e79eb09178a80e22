"""Getting a server for a test, and what it means that there is none."""

from __future__ import annotations

import os
import sys
import unittest
from collections.abc import Mapping

from dbkit.exceptions import BackendNotAvailable, InvalidSetting
from dbkit.testing.servers.client import process_client
from dbkit.testing.servers.databases import server_version
from dbkit.testing.servers.endpoint import Endpoint
from dbkit.testing.servers.kinds import URL_SETTINGS, provider_of
from dbkit.testing.servers.provider import Installation
from dbkit.testing.servers.server import PrivateServer, Server

#: Names, joined by commas, the kinds of servers without which a test run is a failure.
REQUIRE_SETTING = "DBKIT_TEST_REQUIRE"

_REQUIRABLE = ("postgresql", "mysql", "galera")


def required_kinds(environment: Mapping[str, str]) -> frozenset[str]:
    """Return the kinds of servers that the environment says must be there.

    :raises InvalidSetting: it names a kind that does not exist.
    """
    names = frozenset(name.strip() for name in environment.get(REQUIRE_SETTING, "").split(",")) - {""}
    unknown = sorted(names.difference(_REQUIRABLE))
    if unknown:
        raise InvalidSetting(f"{REQUIRE_SETTING} names {unknown[0]!r}; it may name: {', '.join(_REQUIRABLE)}")
    return names


def obtain(kind: str) -> Server:
    """Return the server of this kind that the whole test run shares, started if need be.

    Where the environment names an existing server by a URL, it is that one.

    :param kind: ``"postgresql"`` or ``"mysql"``.
    :raises BackendNotAvailable: there is none, and the text says why and what to install.
    :raises UsageError: there is no such kind.
    """
    provider = provider_of(kind)
    url = os.environ.get(URL_SETTINGS[kind])
    if url:
        endpoint = Endpoint.from_url(kind, url, URL_SETTINGS[kind])
        return Server(process_client(), endpoint, server_version(endpoint), is_external=True)
    client = process_client()
    told = client.ask("obtain", installation=_installation(provider.kind).to_wire())
    return Server(client, Endpoint.from_wire(told["endpoint"]), told["version"]).learn(told)


def private(kind: str, settings: Mapping[str, object] | None = None) -> PrivateServer:
    """Return a server of one's own, for use in a ``with`` statement, which starts and removes it.

    :param settings: over those that all test servers have, by the product's own names.
    :raises BackendNotAvailable: there is none, and the text says why and what to install.
    :raises UsageError: there is no such kind.
    """
    return PrivateServer(process_client(), _installation(kind), settings)


def require_or_skip(kind: str) -> Server:
    """Return the shared server of this kind, or skip the test where there is none and none is required.

    :raises unittest.SkipTest: there is none; the text says why and what to install.
    :raises BackendNotAvailable: the same, and ``DBKIT_TEST_REQUIRE`` names this kind.
    :raises InvalidSetting: ``DBKIT_TEST_REQUIRE`` names a kind that does not exist.
    """
    required = required_kinds(os.environ)
    try:
        return obtain(kind)
    except BackendNotAvailable as missing:
        if kind in required:
            raise BackendNotAvailable(f"{REQUIRE_SETTING} demands {kind}: {missing}") from missing
        raise unittest.SkipTest(str(missing)) from missing


def release() -> None:
    """Give back all that this process has: its databases are dropped, its private servers removed."""
    process_client().close()


def _installation(kind: str) -> Installation:
    provider = provider_of(kind)
    if sys.platform != "linux":
        raise BackendNotAvailable(f"servers are started on Linux only; name one by {URL_SETTINGS[kind]}")
    return provider.find(os.environ)
