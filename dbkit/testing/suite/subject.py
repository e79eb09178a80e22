"""The backend that is under test: its database, what it can do, and how its product says what SQL does not."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.engine import URL

from dbkit.backends.base import Backend
from dbkit.exceptions import DBError, UsageError
from dbkit.spec import Colour
from dbkit.testing.suite.capabilities import Capability


@dataclass(frozen=True, slots=True)
class Way:
    """One way to reach the database: a name of its dialect, a driver, a colour."""

    scheme: str
    driver: str
    colour: Colour

    @property
    def name(self) -> str:
        """What ends the names of its test classes."""
        return f"{self.scheme}_{self.driver}_{self.colour.value}"


@dataclass(frozen=True, slots=True)
class Phrases:
    """How the product says what is not the same in all SQL; only capabilities that are declared need theirs.

    :param short_lock_timeout: a statement after which the session waits only shortly for a lock; or settings of
        ``dbkit.Database`` that do this.
    :param hasten_deadlock: a statement after which the session looks for deadlocks soon, if the product waits first.
    :param own_session: a query for the number of the session.
    :param end_session: a statement that ends the session whose number stands for ``{session}``.
    """

    short_lock_timeout: str | Mapping[str, Any] = ""
    hasten_deadlock: str = ""
    own_session: str = ""
    end_session: str = ""


# What a capability cannot be tested without.
_PHRASES = {
    Capability.LOCK_TIMEOUT: ("short_lock_timeout",),
    Capability.CONNECTION_LOSS: ("own_session", "end_session"),
}


@dataclass(frozen=True, eq=False)
class BackendUnderTest:
    """A backend, and the database on which it is proved.

    Each of its drivers that is installed is tested in each colour that it serves, from the one URL.

    :param backend: the object that meets :class:`dbkit.backends.base.Backend`.
    :param database: the URL of a database that the suite may fill and empty as it likes; or a function that returns
        it, called once in each process that runs tests, which may raise ``unittest.SkipTest``. Processes that share a
        database wait for each other; give each its own where tests shall run at the same time.
    :param can: what is declared.
    :param phrases: what some of the capabilities need.
    :param fills: for a class of errors, the fields that the backend promises to fill: ``columns``, ``constraint``,
        ``table``, ``key``, ``key_table``.
    :param settings: settings of ``dbkit.Database`` that the database needs.
    :param label: what sets two subjects of one backend apart in the names of their tests.
    :param unnamed: a URL that names no database, for :attr:`Capability.UNNAMED_DATABASES`.
    :raises UsageError: a capability is declared and cannot be tested; the text says what is missing.

    .. versionadded:: 0.1
    """

    backend: Backend
    database: str | URL | Callable[[], str | URL]
    can: Iterable[Capability]
    phrases: Phrases = Phrases()
    fills: Mapping[type[DBError], Iterable[str]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    unnamed: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "can", frozenset(self.can))
        for capability, names in _PHRASES.items():
            for name in names:
                if capability in self.can and not getattr(self.phrases, name):
                    raise UsageError(
                        f"{self.name} declares {capability.name} and gives no Phrases({name}=...), without which that "
                        f"cannot be tested"
                    )
        if Capability.UNNAMED_DATABASES in self.can and not self.unnamed:
            raise UsageError(f"{self.name} declares UNNAMED_DATABASES and gives no such URL as unnamed=")

    @property
    def name(self) -> str:
        """The backend's name."""
        return self.backend.name

    def why_not(self, needed: Iterable[Capability]) -> str:
        """Return why tests that need these capabilities don't run; empty if they do."""
        missing = [each for each in needed if each not in self.can]
        return f"{self.name} does not declare {missing[0].name}: {missing[0].value}" if missing else ""

    @property
    def ways(self) -> tuple[Way, ...]:
        """All drivers in each colour, and the default ones under the other names of the dialect."""
        backend = self.backend
        first, *others = backend.schemes
        found: dict[tuple[str, Colour], Way] = {}
        for driver in backend.drivers.values():
            for colour in Colour:
                if colour in driver.colours:  # a second name of the same driver is no other driver
                    found.setdefault((driver.module, colour), Way(first, driver.name, colour))
        aliases = [Way(scheme, driver, colour) for scheme in others for colour, driver in backend.defaults.items()]
        return (*found.values(), *aliases)

    def missing(self, driver: str) -> str:
        """Return why a driver cannot be used here; empty if it can."""
        known = self.backend.drivers[driver]
        if importlib.util.find_spec(known.module) is not None:
            return ""
        return f"the driver {driver} is not installed: pip install {known.package or known.module}"
