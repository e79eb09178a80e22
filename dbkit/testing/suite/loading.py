"""The suite's tests, put into the module of whoever proves a backend."""

from __future__ import annotations

import functools
import inspect
import sys
import unittest
from collections.abc import Callable, Iterator
from typing import Any

from dbkit.spec import Colour
from dbkit.testing.suite.cancellation import Cancellations
from dbkit.testing.suite.capabilities import Capability
from dbkit.testing.suite.case import Case, WayCase
from dbkit.testing.suite.conflicts import Conflicts
from dbkit.testing.suite.connections import Connections
from dbkit.testing.suite.endings import Endings
from dbkit.testing.suite.errors import Errors
from dbkit.testing.suite.forks import Forks
from dbkit.testing.suite.levels import Levels
from dbkit.testing.suite.losses import Losses
from dbkit.testing.suite.members import Members
from dbkit.testing.suite.nesting import Nesting
from dbkit.testing.suite.provisioning import Provisioned
from dbkit.testing.suite.reading import Reading
from dbkit.testing.suite.standings import Standings
from dbkit.testing.suite.subject import BackendUnderTest, Way
from dbkit.testing.suite.urls import Urls

_CASES: tuple[type[Case], ...] = (
    (Members, Urls, Standings, Errors, Endings, Nesting, Reading, Levels)
    + (Conflicts, Losses, Connections, Cancellations, Forks, Provisioned)
)  # fmt: skip

_OF_COLOUR = {Colour.BLOCKING: Capability.BLOCKING, Colour.ASYNCIO: Capability.ASYNCIO}


def add_tests(subject: BackendUnderTest, *, to: str) -> None:
    """Add the suite's test classes to a module, where any test runner finds them.

    They are ``unittest.TestCase`` classes: ``unittest``, ``stestr``, ``testtools`` and ``pytest`` run them alike. Their
    names end in the subject's label and, where it matters, in the dialect, the driver and the colour.

    :param to: the name of the module: ``__name__``.

    .. versionadded:: 0.1
    """
    module = sys.modules[to]
    for case in classes_for(subject, module=to):
        setattr(module, case.__name__, case)


def classes_for(subject: BackendUnderTest, *, module: str = __name__) -> Iterator[type[unittest.TestCase]]:
    """Yield the suite's test classes, for who runs them by other means than a module.

    :param module: where they say that they belong.
    """
    for template in _CASES:
        for way in _ways_of(template, subject):
            ending = f"{subject.label}_{way.name}" if way else subject.label or subject.name
            names = {"subject": subject, "__module__": module, **_tests(template, subject, way)}
            if way is not None:
                names["way"] = way
            yield type(f"Test{template.__name__}_on_{ending.strip('_')}", (template, unittest.TestCase), names)


def _ways_of(template: type[Case], subject: BackendUnderTest) -> tuple[Way | None, ...]:
    if not issubclass(template, WayCase):
        return (None,)
    return tuple(way for way in subject.ways if template.colour_only in (None, way.colour))


def _tests(template: type[Case], subject: BackendUnderTest, way: Way | None) -> dict[str, Any]:
    found = {
        name: test for cls in reversed(template.__mro__) for name, test in vars(cls).items() if name.startswith("test_")
    }
    of_way = (_OF_COLOUR[way.colour],) if way else ()
    made: dict[str, Any] = {}
    for name, test in found.items():
        needed = (*of_way, *template.required, *getattr(test, "needs", ()))
        runnable = _driven(test) if inspect.iscoroutinefunction(test) else _kept(test)
        reason = subject.why_not(needed)
        made[name] = unittest.skip(reason)(runnable) if reason else runnable
    return made


def _driven(body: Callable[..., Any]) -> Callable[[Any], None]:
    @functools.wraps(body)
    def test(self: Any) -> None:
        self.run_body(functools.partial(body, self))

    return test


def _kept(body: Callable[..., Any]) -> Callable[[Any], None]:
    @functools.wraps(body)
    def test(self: Any) -> None:
        body(self)

    return test
