"""What runs in the event loop of a test: the sandbox and the session of coroutine tests.

pytest-asyncio and anyio each run fixtures of their own kind in the loop of the test. Those here are made for whichever
of them is there; neither is needed for blocking tests.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from dbkit.testing.isolation import Isolation, Sandbox

# The names of the plugins: of the entry point, and of what -p may name where entry points are not loaded.
_ASYNCIO = ("asyncio", "pytest_asyncio.plugin")
_ANYIO = ("anyio", "anyio.pytest_plugin")

# The scopes that a loop of pytest-asyncio can have.
_SCOPES = ("function", "class", "module", "package", "session")


def fixtures_in_loops(pluginmanager: pytest.PytestPluginManager) -> ModuleType:
    """Return a plugin with the fixtures that run in event loops.

    It must be there before the collection, in which older releases of pytest-asyncio look for theirs.
    """
    made = ModuleType("dbkit_fixtures_in_loops")
    for what, maker in (("sandbox", _sandbox_maker), ("session", _session_maker)):
        if _has(pluginmanager, _ASYNCIO):
            fixture = importlib.import_module("pytest_asyncio").fixture
            for scope in _SCOPES:
                name = f"_dbkit_{what}_asyncio_{scope}"
                setattr(made, name, fixture(maker(), loop_scope=scope, name=name))
        if _has(pluginmanager, _ANYIO):
            name = f"_dbkit_{what}_anyio"
            setattr(made, name, pytest.fixture(name=name)(maker()))
    return made


def in_loop(what: str, request: pytest.FixtureRequest) -> Any:
    """Return the ``"sandbox"`` or ``"session"`` that was opened in the event loop of this test.

    :raises pytest.UsageError: the test runs in trio.
    """
    item = request.node
    if "anyio_backend" in item.fixturenames:
        library = request.getfixturevalue("anyio_backend_name")
        if library != "asyncio":
            raise pytest.UsageError(
                f"anyio runs this test in {library}, and dbkit works in asyncio; override the fixture anyio_backend to "
                "return 'asyncio'"
            )
        return request.getfixturevalue(f"_dbkit_{what}_anyio")
    return request.getfixturevalue(f"_dbkit_{what}_asyncio_{_loop_scope(item)}")


def runs_in_loop(item: pytest.Item) -> bool:
    """Whether the test is a coroutine function that pytest-asyncio or anyio runs."""
    function = getattr(item, "function", None)
    inner = getattr(getattr(function, "hypothesis", None), "inner_test", function)
    if not inspect.iscoroutinefunction(inner):
        return False
    manager, names = item.config.pluginmanager, getattr(item, "fixturenames", ())
    if "anyio_backend" in names and _has(manager, _ANYIO):
        return True
    return item.get_closest_marker("asyncio") is not None and _has(manager, _ASYNCIO)


def _has(manager: pytest.PytestPluginManager, names: tuple[str, ...]) -> bool:
    return any(manager.has_plugin(name) for name in names)


def _loop_scope(item: pytest.Item) -> str:
    mark = item.get_closest_marker("asyncio")
    words = {} if mark is None else mark.kwargs
    return str(words.get("loop_scope") or words.get("scope") or _default_scope(item.config))


def _default_scope(config: pytest.Config) -> str:
    try:
        return str(config.getini("asyncio_default_test_loop_scope") or _SCOPES[0])
    except ValueError:  # an older pytest-asyncio
        return _SCOPES[0]


# Each fixture takes a function of its own: pytest-asyncio writes on it.


def _sandbox_maker() -> Callable[..., AsyncIterator[Sandbox]]:
    async def sandbox(request: pytest.FixtureRequest, _dbkit_isolation: Isolation) -> AsyncIterator[Sandbox]:
        from dbkit.testing.pytest_plugin.endings import ending

        with ending(request.node):
            async with _dbkit_isolation as sandbox:
                yield sandbox

    return sandbox


def _session_maker() -> Callable[..., AsyncIterator[AsyncSession]]:
    async def session(request: pytest.FixtureRequest, dbkit_sandbox: Sandbox) -> AsyncIterator[AsyncSession]:
        from sqlalchemy.ext.asyncio import AsyncSession

        from dbkit.testing.pytest_plugin.endings import ending

        with ending(request.node):
            async with AsyncSession(dbkit_sandbox.async_engine, expire_on_commit=False) as session:
                yield session

    return session


def adopting(function: Callable[..., Awaitable[Any]], sandbox: Sandbox) -> Callable[..., Awaitable[Any]]:
    """Return the test, whose own task owns the sandbox from then on; its fixtures may have run in other tasks."""

    @functools.wraps(function)
    async def adopted(*args: Any, **words: Any) -> Any:
        sandbox.adopt()
        return await function(*args, **words)

    return adopted
