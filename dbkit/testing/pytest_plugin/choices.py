"""What a run was told: on which backends, how isolated, what must be there, and where the application's parts are."""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pytest

BACKENDS_SETTING = "DBKIT_TEST_BACKENDS"

_STASHED = pytest.StashKey["Choices"]()


@dataclass(frozen=True)
class Choices:
    """The settings of a run.

    :param backends: kinds, in the order in which they are tested.
    :param isolation: of tests whose marker does not say another.
    :param required: the kinds that ``--dbkit-require`` names.
    :param schema: ``module:attribute``, or empty.
    :param managers: each a ``module:attribute``.
    :param is_grouped: tests are put in the order of their databases.
    """

    backends: tuple[str, ...] = ("sqlite",)
    isolation: str = "rollback"
    required: tuple[str, ...] = ()
    schema: str = ""
    managers: tuple[str, ...] = ()
    is_grouped: bool = True


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
    parser.addini("dbkit_backends", "kinds of databases to test on", type="string", default="")
    parser.addini("dbkit_require", "kinds of servers without which tests fail", type="string", default="")
    parser.addini("dbkit_isolation", "isolation of tests whose marker names none", type="string", default="")
    parser.addini("dbkit_grouping", "put tests together that use the same database", type="bool", default=True)
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
    told = (
        ("--dbkit-backends", config.getoption("dbkit_backends")),
        (BACKENDS_SETTING, environment.get(BACKENDS_SETTING)),
        ("dbkit_backends", config.getini("dbkit_backends")),
    )
    backends = next((_kinds(where, text) for where, text in told if text), Choices.backends)
    demanded = config.getoption("dbkit_require")
    required = _kinds("dbkit_require", config.getini("dbkit_require")) + _kinds("--dbkit-require", demanded or "")
    idle = [] if demanded is None else [kind for kind in _kinds("--dbkit-require", demanded) if kind not in backends]
    if idle and idle[0] in _database_kinds():
        raise pytest.UsageError(
            f"--dbkit-require names {idle[0]!r}, and no test of this run is on it, for its backends are "
            f"{', '.join(backends)}; add it to --dbkit-backends"
        )
    isolation = config.getoption("dbkit_isolation") or config.getini("dbkit_isolation")
    return Choices(
        backends=backends,
        isolation=isolation_named(isolation) if isolation else Choices.isolation,
        required=tuple(dict.fromkeys(required)),
        schema=config.getini("dbkit_schema") or "",
        managers=tuple(config.getini("dbkit_managers") or ()),
        is_grouped=config.getini("dbkit_grouping") and not config.getoption("dbkit_no_grouping"),
    )


def is_told_anything(config: pytest.Config) -> bool:
    """Whether anybody has set any of it: else the project may not use dbkit's fixtures at all."""
    names = ("dbkit_backends", "dbkit_require", "dbkit_isolation")
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
        pytest.fail(f"{where}{error}", pytrace=False)


def unknown(what: str, name: object, known: Iterable[str]) -> str:
    """Return the text that says that there is no such thing, and which one is nearest."""
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    advice = f"did you mean {near[0]!r}? " if near else ""
    return f"there is no {what}; {advice}there are {', '.join(names)}"


def _kinds(where: str, text: str) -> tuple[str, ...]:
    """Return the kinds that a text names, each once."""
    if not text:
        return ()
    from dbkit.testing.servers import kinds

    names = [name.strip() for name in text.split(",") if name.strip()]
    more = ("galera",) if where.endswith("require") else ()
    try:
        return tuple(dict.fromkeys(kind_named(name, ("sqlite", *kinds.database_names(), *more)) for name in names))
    except pytest.UsageError as error:
        raise pytest.UsageError(f"{where}: {error}") from None


def _database_kinds() -> tuple[str, ...]:
    from dbkit.testing.servers import kinds

    return kinds.database_kinds()
