"""The pytest plugin: databases, isolation and backends for the tests of an application.

.. code-block:: ini

    [pytest]
    dbkit_schema = app.models:metadata
    dbkit_managers = app.database:db

.. code-block:: python

    def test_an_account_is_there(db):
        create_account("ann")            # the application's own function, decorated with db.writer
        assert accounts() == ["ann"]     # and no other test sees it

It is loaded by every pytest that runs beside an installed dbkit, and so imports nothing of dbkit but itself before a
test asks for a fixture or an option is given.

.. versionadded:: 0.1
"""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Generator
from typing import Any

import pytest

from dbkit.testing.pytest_plugin import fixtures, loops, ordering
from dbkit.testing.pytest_plugin.choices import (
    REQUIRE_SETTING,
    add_options,
    choices_of,
    is_told_anything,
    plainly,
)
from dbkit.testing.pytest_plugin.marker import DESCRIPTION, is_marked, wish_of
from dbkit.testing.pytest_plugin.report import tally_of

_WIRE = "dbkit"
_DEMANDS = pytest.StashKey[str]()
"""What the environment demanded when the run began."""


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", DESCRIPTION)
    config.pluginmanager.register(fixtures, "dbkit_fixtures")
    config.pluginmanager.register(loops.fixtures_in_loops(config.pluginmanager), "dbkit_fixtures_in_loops")
    if is_told_anything(config) and (required := choices_of(config).required):
        before = os.environ.get(REQUIRE_SETTING)
        os.environ[REQUIRE_SETTING] = ",".join(filter(None, (before, *required)))
        config.stash[_DEMANDS] = before or ""
        config.add_cleanup(lambda: _put_back(before))


def _put_back(before: str | None) -> None:
    if before is None:
        del os.environ[REQUIRE_SETTING]
    else:
        os.environ[REQUIRE_SETTING] = before


def pytest_report_header(config: pytest.Config) -> str | None:
    if not is_told_anything(config):
        return None
    choices = choices_of(config)
    return f"dbkit: backends {', '.join(choices.backends)}; isolation {choices.isolation}"


# -- collection -----------------------------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: Any) -> None:
    if collector.istestfunction(obj, name) and is_marked(collector, obj):
        pytest.mark.usefixtures("dbkit_sandbox")(obj)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if ordering.BACKEND not in metafunc.fixturenames or _is_given(metafunc):
        return
    chosen = choices_of(metafunc.config).backends
    with plainly(f"{metafunc.definition.nodeid}: "):
        wanted = wish_of(metafunc.definition).backends
    params: list[Any] = [kind for kind in chosen if wanted is None or kind in wanted]
    if wanted and not params:
        reason = f"the test is for {' and '.join(wanted)} only, and --dbkit-backends is {','.join(chosen)}"
        params = [pytest.param(kind, marks=pytest.mark.skip(reason=reason)) for kind in wanted]
        for kind in wanted:
            tally_of(metafunc.config).skipped(kind, "some tests are for it only, and --dbkit-backends does not name it")
    metafunc.parametrize(ordering.BACKEND, params, indirect=True, scope="session")


def _is_given(metafunc: pytest.Metafunc) -> bool:
    """Whether the test says itself which values the fixture has."""
    for mark in metafunc.definition.iter_markers("parametrize"):
        names = mark.args[0] if mark.args else mark.kwargs.get("argnames", ())
        if ordering.BACKEND in (names.replace(",", " ").split() if isinstance(names, str) else names):
            return True
    return False


def pytest_itemcollected(item: pytest.Item) -> None:
    names = getattr(item, "fixturenames", None)
    if names is None:
        return
    if "dbkit_sandbox" not in names and item.get_closest_marker("dbkit") is not None:
        names.append("dbkit_sandbox")  # a method of unittest.TestCase
    if "dbkit_sandbox" in names:
        _enter_first(item, names)


def _enter_first(item: pytest.Item, names: list[str]) -> None:
    """Put the sandbox before the other fixtures of function scope, which may write with the application's functions."""
    # pytest has no public way to ask for a fixture's scope; without an answer the order stays.
    known = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    names.remove("dbkit_sandbox")
    wide = [name for name in names if name in known and known[name][-1].scope != "function"]
    names.insert(max((names.index(name) + 1 for name in wide), default=0), "dbkit_sandbox")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    sandboxed = any("dbkit_sandbox" in getattr(item, "fixturenames", ()) for item in items)
    if sandboxed and not hasattr(config, "workerinput"):  # pytest-xdist knows no error of a collection as a whole
        choices_of(config).check_environment()
    if any(ordering.backend_of(item) is not None for item in items) and choices_of(config).is_grouped:
        ordering.group(items, choices_of(config))
    if (sandboxed or config.getini("dbkit_managers")) and choices_of(config).refuses_outside:
        for item in items:
            names = getattr(item, "fixturenames", None)
            if names is not None and "_dbkit_outside" not in names:
                names.insert(0, "_dbkit_outside")


# -- running --------------------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    sandbox = item.stash.get(fixtures.SANDBOX, None)
    if sandbox is None:
        return (yield)
    from dbkit.testing.pytest_plugin.endings import watching

    with contextlib.ExitStack() as stack:
        stack.enter_context(watching(item))
        function = getattr(item, "obj", None)
        if inspect.iscoroutinefunction(function):
            patches = stack.enter_context(pytest.MonkeyPatch.context())
            patches.setattr(item, "obj", loops.adopting(function, sandbox))
        return (yield)


# -- the end --------------------------------------------------------------------------------------------------------


def pytest_sessionfinish(session: pytest.Session) -> None:
    told = getattr(session.config, "workeroutput", None)  # in a worker process of pytest-xdist
    if told is not None:
        told[_WIRE] = tally_of(session.config).to_wire()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput[REQUIRE_SETTING] = node.config.stash.get(_DEMANDS, os.environ.get(REQUIRE_SETTING, ""))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    told = getattr(node, "workeroutput", {}).get(_WIRE)
    if told is not None:
        tally_of(node.config).add(told)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    lines = [] if config.getoption("collectonly", False) else list(tally_of(config).lines())
    if lines:
        terminalreporter.section("dbkit", sep="-")
        for line in lines:
            terminalreporter.write_line(line)
