"""Engines that outlive a test: the next test on the same database finds its connection open."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from sqlalchemy.engine import URL

from dbkit.backends.base import Backend
from dbkit.clock import Clock
from dbkit.database import Database
from dbkit.engines.create import EngineMaker, Engines, create_engines
from dbkit.engines.settings import EngineSettings
from dbkit.spec import Colour
from dbkit.testing.isolation.connection import HeldConnection
from dbkit.testing.isolation.databases import WorkerDatabase
from dbkit.testing.isolation.engines import HeldPool, make_sandbox_engines, timeout_of
from dbkit.transaction.factory import Factory
from dbkit.transaction.greenlets import in_task


class Stage:
    """A factory on the database of tests, and its engines; one test at a time works on it.

    :param origin: how it is configured.
    """

    def __init__(self, url: URL, origin: Factory, settings: Mapping[str, Any], *, in_sandbox: bool) -> None:
        self.url = url
        self.factory = origin.elsewhere(url, self._maker(in_sandbox), **settings)
        self.database = Database(url)
        self.database.patch_factory(self.factory)
        self.is_spent = False
        """It must not serve another test."""
        self.serving: Colour | None = None
        """The colour in which a test is in its sandbox here."""
        self._signature = _signature(url, origin, settings, in_sandbox)
        self._blocking: Engines | None = None
        self._asyncio: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Engines] = weakref.WeakKeyDictionary()
        self._guards: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[None]] = (
            weakref.WeakKeyDictionary()
        )

    def serves(self, url: URL, origin: Factory, settings: Mapping[str, Any], in_sandbox: bool) -> bool:
        """Return whether another stage for these would be just like this one."""
        return self._signature == _signature(url, origin, settings, in_sandbox)

    def _maker(self, in_sandbox: bool) -> EngineMaker:
        return self._make_in_sandbox if in_sandbox else create_engines

    def _make_in_sandbox(
        self, settings: EngineSettings, backend: Backend, url: URL, colour: Colour, clock: Clock
    ) -> Engines:
        loop = asyncio.get_running_loop() if colour is Colour.ASYNCIO else None
        known = self._blocking if loop is None else self._asyncio.get(loop)
        if known is not None and not self._pool_of(known).held_connection.is_parked:
            return known  # the code under test has reloaded its settings; the test's rows are on this connection
        held = HeldConnection(backend, url.get_driver_name(), colour, timeout_of(settings), self._absence)
        made = make_sandbox_engines(held, settings, backend, url, colour, clock)
        if loop is None:
            self._blocking = made
        else:
            self._asyncio[loop] = made
        return made

    @staticmethod
    def _pool_of(engines: Engines) -> HeldPool:
        pool = engines.writer.engine.pool
        assert isinstance(pool, HeldPool)
        return pool

    def pool(self, colour: Colour) -> HeldPool:
        """Return the pool of the connection of a sandbox; for asyncio, of the running event loop."""
        return self._pool_of(self.factory.engines(colour))

    def _absence(self, asked: Colour) -> str:
        """Say why a connection of this colour serves no test now."""
        return _ENDED if self.serving is None else _ELSEWHERE[self.serving, asked]

    async def watch_loop(self) -> None:
        """Close the running event loop's connections when the loop is shut down, as its runner does at its end."""
        loop = asyncio.get_running_loop()
        if loop not in self._guards:
            guard = self._guards[loop] = _guarding(self.factory)
            await anext(guard)


_ENDED = (
    "the test in whose sandbox this runs has ended, or has not begun; enter isolated(...) first, and end what a test "
    "starts before the test ends"
)
_ELSEWHERE = {
    (Colour.BLOCKING, Colour.ASYNCIO): (
        "the test's rows are on a blocking connection, which asyncio code cannot use; enter the sandbox with "
        "`async with isolated(...)`, or give the test isolation 'clone', where both colours see the same database"
    ),
    (Colour.ASYNCIO, Colour.BLOCKING): (
        "the test's rows are on an asyncio connection, which blocking code cannot use; call it through "
        "`await session.run_sync(...)`, or give the test isolation 'clone', where both colours see the same database"
    ),
    (Colour.ASYNCIO, Colour.ASYNCIO): (
        "the test's rows are on a connection of another event loop; run the code in the loop in which the sandbox was "
        "entered, or give the test isolation 'clone'"
    ),
    (Colour.BLOCKING, Colour.BLOCKING): "the test has replaced its engines; leave that to the sandbox",
}


async def _guarding(factory: Factory) -> AsyncGenerator[None]:
    # an event loop closes the asynchronous generators that were begun in it, when its runner ends
    try:
        yield
    finally:
        await in_task(factory.dispose_asyncio)


def _signature(url: URL, origin: Factory, settings: Mapping[str, Any], in_sandbox: bool) -> tuple[Any, ...]:
    conf, overrides, defaults = origin.configuration
    # the configuration object itself: to compare its values would read all of them
    return url, id(conf), overrides, defaults, dict(settings), in_sandbox


def place_of(url: URL) -> tuple[Any, ...]:
    """Return what names a database, whatever the driver."""
    return url.get_backend_name(), url.host, url.port, url.database


class Stages:
    """The stages of this process that no test is on.

    A test takes one and gives it back, so that tests at the same time never share one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: list[Stage] = []
        self._dirty: dict[tuple[Any, ...], tuple[URL, Any]] = {}
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._in_child)

    def take(self, url: URL, origin: Factory, settings: Mapping[str, Any], *, in_sandbox: bool) -> Stage:
        """Return a stage, made anew if none is free."""
        with self._lock:
            for number, stage in enumerate(self._free):
                if stage.serves(url, origin, settings, in_sandbox):
                    return self._free.pop(number)
        return Stage(url, origin, settings, in_sandbox=in_sandbox)

    def give_back(self, stage: Stage) -> None:
        """Keep a stage for the next test."""
        if stage.is_spent:
            return
        with self._lock:
            self._free.append(stage)

    def mark_dirty(self, url: URL, database: Any) -> None:
        """Remember that a test has left something in a database, to be rebuilt by its ``rebuild``, if it has that."""
        if isinstance(database, WorkerDatabase):
            with self._lock:
                self._dirty[place_of(url)] = url, database

    def is_dirty(self, url: URL) -> bool:
        """Return whether a database must be rebuilt before the next test."""
        return bool(self._dirty) and place_of(url) in self._dirty

    def clean(self, url: URL) -> None:
        """Rebuild a database if a test has left something in it."""
        if not self.is_dirty(url):
            return
        with self._lock:
            _, database = self._dirty.pop(place_of(url), (None, None))
            spent = [stage for stage in self._free if place_of(stage.url) == place_of(url)]
            self._free = [stage for stage in self._free if stage not in spent]
        for stage in spent:
            stage.factory.dispose()
        if database is not None:
            try:
                database.rebuild()
            except BaseException:
                self.mark_dirty(url, database)
                raise

    def _in_child(self) -> None:
        self._lock = threading.Lock()
        self._free.clear()


STAGES = Stages()
