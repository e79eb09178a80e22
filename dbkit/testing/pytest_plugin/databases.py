"""Servers and databases for the fixtures: got, or the test is skipped with the reason."""

from __future__ import annotations

import unittest
from collections.abc import Callable
from typing import TypeVar

import pytest

from dbkit.clock import SYSTEM_CLOCK
from dbkit.exceptions import BackendNotAvailable, DriverMissing
from dbkit.testing import provision, servers
from dbkit.testing.provision import Clone, Schema
from dbkit.testing.pytest_plugin.report import Tally
from dbkit.testing.servers import Server
from dbkit.testing.servers.kinds import database_kinds

T = TypeVar("T")


def server_of(backend: str, tally: Tally) -> Server | None:
    """Return the server that the run shares; None for a product that has none.

    :raises BackendNotAvailable: there is none, and it is required; else the test is skipped.
    """
    if backend not in database_kinds():
        return None
    return _or_skip(backend, lambda: servers.obtain(backend), tally)


def database_of(backend: str, server: Server | None, schema: Schema, tally: Tally) -> Clone:
    """Return the one database of this process, of this schema; raises as :func:`server_of`."""
    template = _or_skip(backend, lambda: _template(backend if server is None else server, schema), tally)
    began = SYSTEM_CLOCK.now()
    template.ensure()
    built = SYSTEM_CLOCK.now()
    database = template.worker_database()
    product = backend if server is None else f"{backend} {server.version}"
    tally.provided(backend, product, built - began, SYSTEM_CLOCK.now() - built)
    return database


def _template(where: str | Server, schema: Schema) -> provision.Template:
    try:
        return provision.template(where, schema)
    except DriverMissing as missing:
        raise BackendNotAvailable(str(missing)) from missing


def _or_skip(backend: str, get: Callable[[], T], tally: Tally) -> T:
    try:
        return servers.or_skip(backend, get)
    except unittest.SkipTest as skipped:
        tally.skipped(backend, str(skipped))
        pytest.skip(f"{backend}: {skipped}")
