"""dbkit: the test on a database of its own without the kit, and by each of the kit's strategies."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.kit.operations import TEST
from benchmarks.kit.provided import driver_of, template_on
from benchmarks.kit.tables import run_test, run_test_in_asyncio
from benchmarks.places import Place
from benchmarks.subjects.subject import Opened
from dbkit import Database, enginefacade
from dbkit.testing.isolation import isolated
from dbkit.testing.provision import Clone


@enginefacade.transaction_context_provider
class Context:
    """What a service passes along."""


def _settings(place: Place) -> dict[str, Any]:
    return {"on_engine_create": [place.watch], "sqlite_synchronous": False}


def open_bare(place: Place) -> Opened:
    """Open it without the kit: what the test commits stays."""
    clone = template_on(place).clone()
    manager = enginefacade.transaction_context(connection=clone.url(driver_of(place)), **_settings(place))
    return Opened({TEST: partial(run_test, manager, Context())}, _closing(manager.dispose_pool, clone))


def open_isolated(place: Place, strategy: str) -> Opened:
    """Open it with one of the kit's strategies around each test."""
    clone = template_on(place).clone()
    driver = driver_of(place)
    manager = enginefacade.transaction_context(connection=clone.url(driver), **_settings(place))
    context = Context()

    def test(number: int) -> None:
        with isolated(clone, strategy, managers=[manager], driver=driver):
            run_test(manager, context, number)

    return Opened({TEST: test}, _closing(manager.dispose_pool, clone))


def _closing(dispose: Callable[[], Any], clone: Clone) -> Callable[[], None]:
    def close() -> None:
        dispose()
        clone.drop()

    return close


async def open_bare_in_asyncio(place: Place) -> Opened:
    """Open it in asyncio without the kit."""
    clone = template_on(place).clone()
    database = Database(clone.url(driver_of(place)), **_settings(place))
    return Opened({TEST: partial(run_test_in_asyncio, database)}, _closing_in_asyncio(database, clone))


async def open_isolated_in_asyncio(place: Place, strategy: str) -> Opened:
    """Open it in asyncio with one of the kit's strategies around each test."""
    clone = template_on(place).clone()
    driver = driver_of(place)
    database = Database(clone.url(driver), **_settings(place))

    async def test(number: int) -> None:
        async with isolated(clone, strategy, managers=[database], driver=driver):
            await run_test_in_asyncio(database, number)

    return Opened({TEST: test}, _closing_in_asyncio(database, clone))


def _closing_in_asyncio(database: Database, clone: Clone) -> Callable[[], Any]:
    async def close() -> None:
        await database.adispose()
        clone.drop()

    return close
