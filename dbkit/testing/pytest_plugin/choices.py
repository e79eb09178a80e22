"""What a run was told: on which backends, how isolated, what must be there, and where the application's parts are."""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import pytest

T = TypeVar("T")

BACKENDS_SETTING = "DBKIT_TEST_BACKENDS"
REQUIRE_SETTING = "DBKIT_TEST_REQUIRE"

_OUTSIDE = {"refuse": True, "allow": False}

_STASHED = pytest.StashKey["Choices"]()


@dataclass(frozen=True)
class Choices:
    """The settings of a run.

    :param backends: kinds, in the order in which they are tested.
    :param isolation: of tests whose marker does not say another.
    :param required: the kinds that ``--dbkit-require`` and ``dbkit_require`` name.
    :param demanded: the kinds of databases that ``DBKIT_TEST_REQUIRE`` named when the run began.
    :param schema: ``module:attribute``, or empty.
    :param managers: each a ``module:attribute``.
    :param is_grouped: tests are put in the order of their databases.
    :param refuses_outside: the application reaches no database while no test's sandbox is open.
    """

    backends: tuple[str, ...] = ("sqlite",)
    isolation: str = "rollback"
    required: tuple[str, ...] = ()
    demanded: tuple[str, ...] = ()
    schema: str = ""
    managers: tuple[str, ...] = ()
    is_grouped: bool = True
    refuses_outside: bool = True

    def check_environment(self) -> None:
        """Refuse a run whose tests leave out what the environment demands; for runs with tests on databases.

        :raises pytest.UsageError: it is such a run.
        """
        _check_demands(REQUIRE_SETTING, self.demanded, self.backends)


def add_options(parser: pytest.Parser) -> None:
    """Declare the options, and what may stand in the configuration file."""
    group = parser.getgroup("dbkit", "databases by dbkit")
    group.addoption(
        "--dbkit-backends", metavar="KINDS",
        help=f"kinds of databases to test on, joined by commas, such as sqlite,postgresql,mysql; by default what "
        f"{BACKENDS_SETTING} or dbkit_backends in the configuration file says, or sqlite",
    )  # fmt: skip
    group.addoption(
        "--dbkit-require", metavar="KINDS",
        help="kinds of servers without which tests fail instead of being skipped, besides those in DBKIT_TEST_REQUIRE",
    )  # fmt: skip
    group.addoption(
        "--dbkit-isolation", metavar="NAME",
        help="isolation of tests whose marker names none: rollback (the default), clone, truncate or none",
    )  # fmt: skip
    group.addoption(
        "--dbkit-no-grouping", action="store_true",
        help="leave the tests in their order, and don't put those together that use the same database",
    )  # fmt: skip
    group.addoption(
        "--dbkit-outside", metavar="WORD",
        help="what happens when the application uses its databases while no test's sandbox is open: refuse (the "
        "default), or allow, which lets it reach its own databases",
    )  # fmt: skip
    parser.addini("dbkit_backends", "kinds of databases to test on", type="string", default="")
    parser.addini("dbkit_require", "kinds of servers without which tests fail", type="string", default="")
    parser.addini("dbkit_isolation", "isolation of tests whose marker names none", type="string", default="")
    parser.addini("dbkit_grouping", "put tests together that use the same database", type="bool", default=True)
    parser.addini("dbkit_outside", "refuse or allow the application its own databases", type="string", default="")
    parser.addini("dbkit_schema", "module:attribute of a Schema or MetaData, the tables of the tests", type="string")
    parser.addini(
        "dbkit_managers",
        "module:attribute of each Database and manager that the application uses, a line each",
        type="linelist",
    )


def choices_of(config: pytest.Config) -> Choices:
    """Return what this run was told.

    :raises pytest.UsageError: a name is wrong; the text offers the nearest.
    """
    if _STASHED not in config.stash:
        config.stash[_STASHED] = _choices(config, os.environ)
    return config.stash[_STASHED]


def _choices(config: pytest.Config, environment: Mapping[str, str]) -> Choices:
    backends = _first(_told(config, "backends", environment), _kinds) or Choices.backends
    requiring = {where: _kinds(where, text, _BESIDE) for where, text in _told(config, "require")}
    _check_demands("--dbkit-require", _databases_in(requiring.get("--dbkit-require", ())), backends)
    refuses = _first(_told(config, "outside"), lambda where, text: _said_at(where, _outside_named, text))
    isolation = _first(_told(config, "isolation"), lambda where, text: _said_at(where, isolation_named, text))
    return Choices(
        backends=backends,
        isolation=isolation or Choices.isolation,
        required=tuple(dict.fromkeys(kind for kinds in requiring.values() for kind in kinds)),
        demanded=_databases_in(_names_in(demands_of(config, environment))),
        schema=config.getini("dbkit_schema") or "",
        managers=tuple(config.getini("dbkit_managers") or ()),
        is_grouped=config.getini("dbkit_grouping") and not config.getoption("dbkit_no_grouping"),
        refuses_outside=Choices.refuses_outside if refuses is None else refuses,
    )


def _told(config: pytest.Config, name: str, environment: Mapping[str, str] | None = None) -> Iterator[tuple[str, str]]:
    """Yield each place that says something, and what it says; the strongest is the first."""
    file = "the configuration" if config.inipath is None else config.inipath.name
    for where, text in (
        (f"--dbkit-{name}", config.getoption(f"dbkit_{name}")),
        (BACKENDS_SETTING, None if environment is None else environment.get(BACKENDS_SETTING)),
        (f"dbkit_{name} in {file}", config.getini(f"dbkit_{name}")),
    ):
        if text:
            yield where, text


def _first(told: Iterator[tuple[str, str]], read: Callable[[str, str], T]) -> T | None:
    return next((read(where, text) for where, text in told), None)


def _said_at(where: str, read: Callable[[str], T], text: str) -> T:
    """Return what a text means; if it means nothing, the error says where it stands."""
    try:
        return read(text)
    except pytest.UsageError as error:
        raise pytest.UsageError(f"{where}: {error}") from None


def demands_of(config: pytest.Config, environment: Mapping[str, str]) -> str:
    """Return what ``DBKIT_TEST_REQUIRE`` said before this run added its own demands to it."""
    begun: Mapping[str, str] = getattr(config, "workerinput", {})  # of a worker process of pytest-xdist
    return begun.get(REQUIRE_SETTING, environment.get(REQUIRE_SETTING, ""))


def _check_demands(where: str, demanded: Iterable[str], backends: tuple[str, ...]) -> None:
    for kind in demanded:
        if kind not in backends:
            raise pytest.UsageError(
                f"{where} names {kind!r}, and no test of this run is on it, for its backends are "
                f"{', '.join(backends)}; add it to --dbkit-backends"
            )


def is_told_anything(config: pytest.Config) -> bool:
    """Whether anybody has set any of it: else the project may not use dbkit's fixtures at all."""
    names = ("dbkit_backends", "dbkit_require", "dbkit_isolation", "dbkit_outside")
    return any(config.getoption(name) or config.getini(name) for name in names) or bool(
        os.environ.get(BACKENDS_SETTING)
    )


def kind_named(name: str, known: Iterable[str] | None = None) -> str:
    """Return the kind of database that a person means.

    :raises pytest.UsageError: there is none.
    """
    from dbkit.testing.servers import kinds

    names = ("sqlite", *kinds.database_names()) if known is None else known
    if name not in names:
        raise pytest.UsageError(unknown(f"kind of database {name!r}", name, names))
    return kinds.kind_named(name)


def isolation_named(name: str) -> str:
    """Return the name, which is that of a way of isolation.

    :raises pytest.UsageError: there is none.
    """
    from dbkit.testing.isolation.strategies import STRATEGIES

    if name not in STRATEGIES:
        raise pytest.UsageError(unknown(f"isolation {name!r}", name, STRATEGIES))
    return name


@contextlib.contextmanager
def plainly(where: str = "") -> Iterator[None]:
    """Inside a collection or a test, let a mistake of use fail with its text, and no traceback.

    :param where: stands before the text.
    """
    try:
        yield
    except pytest.UsageError as error:
        raise pytest.fail.Exception(f"{where}{error}", pytrace=False) from None


def unknown(what: str, name: object, known: Iterable[str]) -> str:
    """Return the text that says that there is no such thing, and which one is nearest."""
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    advice = f"did you mean {near[0]!r}? " if near else ""
    return f"there is no {what}; {advice}there are {', '.join(names)}"


def _outside_named(name: str) -> bool:
    if name not in _OUTSIDE:
        raise pytest.UsageError(unknown(f"word {name!r} for it", name, _OUTSIDE))
    return _OUTSIDE[name]


# What a run can demand, and is no database.
_BESIDE = ("galera",)


def _kinds(where: str, text: str, more: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the kinds that a text names, each once.

    :param where: where it stands.
    """
    from dbkit.testing.servers import kinds

    known = ("sqlite", *kinds.database_names(), *more)
    return tuple(dict.fromkeys(_said_at(where, lambda name: kind_named(name, known), name) for name in _names_in(text)))


def _names_in(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _databases_in(names: Iterable[str]) -> tuple[str, ...]:
    """Return the kinds of databases among the names; the others are checked by who knows them."""
    if not names:
        return ()
    from dbkit.testing.servers import kinds

    named = dict.fromkeys(kinds.kind_named(name) for name in names)
    return tuple(kind for kind in named if kind in ("sqlite", *kinds.database_kinds()))
