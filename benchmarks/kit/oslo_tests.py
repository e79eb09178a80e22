"""oslo.db: the test without its fixtures, and with those of ``oslo_db.sqlalchemy.test_fixtures``."""

# oslo.db and testresources ship no types.
# mypy: disable-error-code="import-untyped,untyped-decorator,no-any-unimported,misc"

from __future__ import annotations

import contextlib
import functools
import sqlite3
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import fixtures
from oslo_db.sqlalchemy import enginefacade, provision, test_fixtures
from sqlalchemy import Engine

from benchmarks.kit.operations import TEST
from benchmarks.kit.provided import oslo_url
from benchmarks.kit.tables import METADATA, delete_everything, run_test
from benchmarks.places import Place
from benchmarks.subjects.subject import Opened


@enginefacade.transaction_context_provider
class Context:
    """What a service passes along."""


class _BuildsPerTest(test_fixtures.GeneratesSchema, test_fixtures.OpportunisticDbFixture):
    """Has the tables of one test dropped and made again for the next one."""

    def __init__(self, test: Any, driver: str, ident: str, manager: Any, on_engine: Callable[[Engine], None]) -> None:
        super().__init__(test, driver=driver, ident=ident)
        self._manager = manager
        self._on_engine = on_engine

    def get_enginefacade(self) -> Any:
        return self._manager

    def generate_schema_create_all(self, engine: Engine) -> None:
        self._on_engine(engine)
        METADATA.create_all(engine)


class _DeletesPerTest(test_fixtures.DeletesFromSchema, _BuildsPerTest):
    """Has the tables made once, and all of them emptied after each test."""

    def delete_from_schema(self, engine: Engine) -> None:
        delete_everything(engine)


class _Case(test_fixtures.OpportunisticDBTestMixin, fixtures.TestWithFixtures):
    """A test case; the runner is left out, since it is the same for everyone."""

    def __init__(self, make_fixture: Callable[..., Any]) -> None:
        super().__init__()
        self._make_fixture = make_fixture

    def generate_fixtures(self) -> Any:
        return self._make_fixture(test=self)


def watch(place: Place, engine: Engine) -> None:
    """Have an engine of oslo.db's counted; a file keeps its journal as dbkit's do, which is not the question here."""
    place.watch(engine)
    engine.dispose()  # it has connected already, before anyone could watch it
    if place.is_sqlite and not place.backend.in_memory:
        with contextlib.closing(sqlite3.connect(str(engine.url.database))) as connection:
            connection.execute("PRAGMA journal_mode = WAL")


def register(place: Place, folder: str) -> None:
    """Let oslo.db make its databases on a place.

    That is what it does at its import with ``OS_TEST_DBAPI_ADMIN_CONNECTION``; here places follow each other.
    """
    url = oslo_url(place, str(Path(folder) / "admin.db"))
    kind = url.get_backend_name()
    provision.Backend.backends_by_database_type[kind] = provision.Backend(kind, url)


def provided(place: Place, manager: Any, folder: str) -> tuple[Any, Any]:
    """Return a new database of oslo.db's, and the resource to which it is given back."""
    register(place, folder)
    resource = provision.DatabaseResource(place.url.get_backend_name(), manager)
    return resource.getResource(), resource


def make_manager() -> Any:
    """Return a manager as an application has it."""
    manager = enginefacade.transaction_context()
    manager.configure(sqlite_synchronous=False)
    return manager


def open_bare(place: Place) -> Opened:
    """Open it on a database of oslo.db's, without its fixtures: what the test commits stays."""
    folder = tempfile.TemporaryDirectory(prefix="dbkit-benchmarks-")
    manager = make_manager()
    database, resource = provided(place, manager, folder.name)
    watch(place, database.engine)
    METADATA.create_all(database.engine)
    manager.patch_factory(database.enginefacade)

    def close() -> None:
        database.engine.dispose()
        resource.finishedWith(database)
        folder.cleanup()

    return Opened({TEST: partial(run_test, manager, Context())}, close)


def open_with_fixture(place: Place, *, is_deleting: bool) -> Opened:
    """Open it with a fixture of oslo.db's around each test, in a run that keeps the database between tests."""
    folder = tempfile.TemporaryDirectory(prefix="dbkit-benchmarks-")
    manager = make_manager()
    context = Context()
    register(place, folder.name)
    fixture = _DeletesPerTest if is_deleting else _BuildsPerTest
    # the resources of a run are told apart by the fixture's name for them
    make_fixture = partial(
        fixture,
        driver=place.url.get_backend_name(),
        ident=Path(folder.name).name,
        manager=manager,
        on_engine=functools.cache(partial(watch, place)),
    )
    # testresources' suite holds what its tests share, so that it is made once; this stands for the suite
    shared = [(resource, resource.getResource()) for _, resource in _Case(make_fixture).resources]
    engine = next(held.engine for _, held in shared if isinstance(held, provision.ProvisionedDatabase))

    def test(number: int) -> None:
        case = _Case(make_fixture)
        case.setUp()
        try:
            run_test(manager, context, number)
        finally:
            case.doCleanups()

    def close() -> None:
        for resource, held in shared:
            resource.finishedWith(held)  # the tables go, and then
            engine.dispose()  # nobody has the file open when it goes
        folder.cleanup()

    return Opened({TEST: test}, close)
