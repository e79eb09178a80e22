"""Functions of one name and several bodies, one for each kind of database."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

from dbkit.exceptions import UsageError
from dbkit.schema.dialects import ANY, Pair, known_pair, pair_of, precedence

P = ParamSpec("P")
R = TypeVar("R")


class PerDialect(Generic[P, R]):
    """A function whose body depends on the database to which its first argument leads.

    .. versionadded:: 0.1
    """

    def __init__(self, function: Callable[P, R]) -> None:
        functools.update_wrapper(self, function)
        self._bodies: dict[Pair, Callable[P, R]] = {}

    def on(self, *dialects: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Give the body for more kinds of databases; the decorated function stays what it is.

        :param dialects: ``"postgresql"``, ``"mysql+pymysql"``, ``"*+psycopg"``, or ``"*"`` for all others. What is
            given for ``mysql`` serves MariaDB too, unless it has a body of its own.
        :raises UsageError: there is no such dialect or driver, or a body for it is there already.
        """
        pairs = [known_pair(each) for each in dialects]
        if not pairs:
            raise UsageError(f"on() names the dialects for which a body of {self._name} is: 'postgresql', 'mysql' ...")

        def enter(function: Callable[P, R]) -> Callable[P, R]:
            for each in pairs:
                if each in self._bodies:
                    raise UsageError(f"{self._name} has a body for {_shown(each)!r} already")
                self._bodies[each] = function
            return function

        return enter

    def body_for(self, target: Any) -> Callable[P, R]:
        """Return the body for a URL, a dialect's name, an engine, a connection or a session: the most specific one.

        :raises UsageError: there is none, or the target is nothing of the kind.
        """
        dialect, driver = pair_of(target)
        for each in precedence(dialect, driver):
            if each in self._bodies:
                return self._bodies[each]
        there = ", ".join(sorted(map(_shown, self._bodies)))
        raise UsageError(
            f"{self._name} has no body for {dialect}+{driver}, only for {there}; add one with @{self._name}.on"
            f"({dialect!r}), or one for all others with @{self._name}.on('*')"
        )

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the body for the database to which the first argument leads."""
        target = args[0] if args else next(iter(kwargs.values()), None)
        return self.body_for(target)(*args, **kwargs)

    @property
    def _name(self) -> str:
        return str(getattr(self, "__name__", "the function"))


def per_dialect(*dialects: str) -> Callable[[Callable[P, R]], PerDialect[P, R]]:
    """Let a function have a body for each kind of database; this one is for the dialects that are named.

    .. code-block:: python

        @per_dialect("*")
        def size(connection, table): ...

        @size.on("postgresql")
        def _(connection, table): ...

    :raises UsageError: there is no such dialect or driver; a body for it would never be called.

    .. versionadded:: 0.1
    """

    def make(function: Callable[P, R]) -> PerDialect[P, R]:
        made = PerDialect(function)
        made.on(*dialects)(function)
        return made

    return make


def _shown(each: Pair) -> str:
    dialect, driver = each
    return dialect if driver == ANY else f"{dialect}+{driver}"
