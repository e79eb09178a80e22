"""The fixtures. What they need of dbkit is imported when the first of them is asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from dbkit.testing.pytest_plugin.choices import choices_of, plainly
from dbkit.testing.pytest_plugin.loops import in_loop, runs_in_loop
from dbkit.testing.pytest_plugin.marker import wish_of
from dbkit.testing.pytest_plugin.report import tally_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session

    from dbkit.database import Database
    from dbkit.testing.isolation import Isolation, Sandbox
    from dbkit.testing.provision import Clone
    from dbkit.testing.servers import Server
    from dbkit.transaction.manager import Databased

SANDBOX = pytest.StashKey["Sandbox"]()
"""Where an item keeps the sandbox that it runs in."""


@pytest.fixture(scope="session")
def dbkit_schema(pytestconfig: pytest.Config) -> object:
    """The tables of the tests: a dbkit.testing.provision.Schema, a MetaData, a list of them, or a declarative base.

    Override it, or set ``dbkit_schema = module:attribute`` in pytest's configuration.
    """
    from dbkit.testing.pytest_plugin.application import schema_named

    with plainly():
        return schema_named(choices_of(pytestconfig).schema)


@pytest.fixture(scope="session")
def dbkit_managers(pytestconfig: pytest.Config) -> Sequence[Databased]:
    """The Database objects and enginefacade managers of the application, which work in the sandbox during a test.

    Override it, or set ``dbkit_managers`` in pytest's configuration, ``module:attribute`` in each line. The common
    ``enginefacade.writer`` and ``reader`` always belong to them.
    """
    from dbkit.testing.pytest_plugin.application import attribute

    with plainly():
        return [attribute(path, "dbkit_managers") for path in choices_of(pytestconfig).managers]


@pytest.fixture(scope="session")
def dbkit_backend(request: pytest.FixtureRequest) -> str:
    """The kind of database of this test: ``"sqlite"``, ``"postgresql"`` or ``"mysql"``, as ``--dbkit-backends`` says.

    A test function runs once on each. A method of a ``unittest.TestCase`` runs on the first.
    """
    choices = choices_of(request.config)
    with plainly():
        choices.check_environment()
    return str(getattr(request, "param", choices.backends[0]))


@pytest.fixture(scope="session")
def dbkit_server(pytestconfig: pytest.Config, dbkit_backend: str) -> Server | None:
    """The server that the run shares (dbkit.testing.servers.Server); None for SQLite. Skips the test if there is none.

    The test fails instead if ``--dbkit-require`` or ``DBKIT_TEST_REQUIRE`` names the kind.
    """
    from dbkit.testing.pytest_plugin.databases import server_of

    return server_of(dbkit_backend, tally_of(pytestconfig))


@pytest.fixture(scope="session")
def dbkit_database(
    pytestconfig: pytest.Config, dbkit_backend: str, dbkit_server: Server | None, dbkit_schema: object
) -> Clone:
    """The database of this process (dbkit.testing.provision.Clone), with the tables of ``dbkit_schema``."""
    from dbkit.testing.pytest_plugin.application import schema_from
    from dbkit.testing.pytest_plugin.databases import database_of

    with plainly():
        schema = schema_from(dbkit_schema)
    return database_of(dbkit_backend, dbkit_server, schema, tally_of(pytestconfig))


@pytest.fixture(scope="session")
def _dbkit_outside(pytestconfig: pytest.Config, dbkit_managers: Any) -> Iterator[None]:
    """Refuse the application its own databases, which a sandbox puts its database in place of."""
    if not choices_of(pytestconfig).refuses_outside:
        yield
        return
    from dbkit.testing.pytest_plugin.application import managers_from
    from dbkit.testing.pytest_plugin.outside import refusing

    with plainly():
        managers = managers_from(dbkit_managers)
    with refusing(managers):
        yield


@pytest.fixture
def _dbkit_isolation(
    request: pytest.FixtureRequest, dbkit_database: Clone, dbkit_managers: Any, _dbkit_outside: None
) -> Isolation:
    """The sandbox of this test, not entered yet."""
    from dbkit.testing.isolation import isolated
    from dbkit.testing.pytest_plugin.application import managers_from

    with plainly():
        wish, managers = wish_of(request.node), managers_from(dbkit_managers)
    if wish.backends is not None and dbkit_database.kind not in wish.backends:
        pytest.skip(
            f"for {', '.join(wish.backends)}; methods of unittest.TestCase run on the first of --dbkit-backends, "
            f"which is {dbkit_database.kind}"
        )
    isolation = wish.isolation or choices_of(request.config).isolation
    return isolated(dbkit_database, isolation, managers=managers)


@pytest.fixture
def dbkit_sandbox(request: pytest.FixtureRequest, _dbkit_isolation: Isolation) -> Iterator[Sandbox]:
    """The isolation of this test (dbkit.testing.isolation.Sandbox): what it stores is gone after it.

    It is entered before all other fixtures of the test, except those of wider scope. ``@pytest.mark.dbkit`` asks for it
    too.
    """
    from dbkit.testing.pytest_plugin.endings import beginning, ending

    item = request.node
    beginning(item)
    with contextlib.ExitStack() as stack:
        if runs_in_loop(item):
            with plainly():
                sandbox: Sandbox = in_loop("sandbox", request)
        else:
            stack.enter_context(ending(item))
            sandbox = stack.enter_context(_dbkit_isolation)
        item.stash[SANDBOX] = sandbox
        tally_of(request.config).used(request.getfixturevalue("dbkit_backend"))
        yield sandbox
        del item.stash[SANDBOX]


@pytest.fixture
def db(dbkit_sandbox: Sandbox) -> Database:
    """A dbkit.Database on the sandbox. The application's own reader and writer functions work there too."""
    return dbkit_sandbox.database


@pytest.fixture
def adb(request: pytest.FixtureRequest, dbkit_sandbox: Sandbox) -> Database:
    """The same as ``db``, for a test that is a coroutine function, run by pytest-asyncio or anyio."""
    _check_colour(request, "adb", "db", in_loop=True)
    return dbkit_sandbox.database


@pytest.fixture
def session(request: pytest.FixtureRequest, dbkit_sandbox: Sandbox) -> Iterator[Session]:
    """A SQLAlchemy Session on the sandbox, for rows that the test writes and reads by itself.

    Commit it before code under test opens a block: with isolation by rollback there is one connection.
    """
    from sqlalchemy.orm import Session

    from dbkit.testing.pytest_plugin.endings import ending

    _check_colour(request, "session", "async_session", in_loop=False)
    with ending(request.node), Session(dbkit_sandbox.engine, expire_on_commit=False) as session:
        yield session


@pytest.fixture
def async_session(request: pytest.FixtureRequest, dbkit_sandbox: Sandbox) -> AsyncSession:
    """A SQLAlchemy AsyncSession on the sandbox, for a test that is a coroutine function; otherwise as ``session``."""
    _check_colour(request, "async_session", "session", in_loop=True)
    made: AsyncSession = in_loop("session", request)
    return made


def _check_colour(request: pytest.FixtureRequest, name: str, other: str, *, in_loop: bool) -> None:
    if runs_in_loop(request.node) is in_loop:
        return
    if in_loop:
        text = (
            f"the fixture {name} is for coroutine functions that pytest-asyncio or anyio runs, with the marker asyncio "
            f"or anyio, unless they take all of them; in a blocking test ask for {other}"
        )
    else:
        text = f"the fixture {name} is for blocking tests; in a coroutine function ask for {other}"
    pytest.fail(text, pytrace=False)
