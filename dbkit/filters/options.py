"""What a statement says of the rules: which of them do not count for it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from sqlalchemy.orm.interfaces import CompileStateOption
from sqlalchemy.sql.visitors import InternalTraversal

from dbkit.exceptions import UnknownRule
from dbkit.filters.marks import are_known, known_rules


class Without(CompileStateOption):
    """An option of a statement; what it loads lazily later goes without the same rules."""

    inherit_cache = False
    propagate_to_loaders = True
    _traverse_internals = [("names", InternalTraversal.dp_string_list)]

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted(names)

    def process_compile_state(self, compile_state: Any) -> None:
        """Nothing: the compiler reads the option from the statement."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Without) and other.names == self.names

    def __hash__(self) -> int:
        return hash(tuple(self.names))


class BlindUpdate(CompileStateOption):
    """An option of an UPDATE that does not look at the version."""

    inherit_cache = False
    propagate_to_loaders = False
    _traverse_internals = [("is_blind", InternalTraversal.dp_boolean)]
    is_blind = True

    def process_compile_state(self, compile_state: Any) -> None:
        """Nothing: the compiler reads the option from the statement."""


def without(*names: str) -> Without:
    """Let a statement see the rows that rules of these names hide; its lazy loads see them too.

    It is given to a statement: ``select(User).options(dbkit.without("soft_delete"))``.

    :raises UnknownRule: no table has a rule of such a name.

    .. versionadded:: 0.1
    """
    return Without(checked(names))


def blind_update() -> BlindUpdate:
    """Let an UPDATE of a versioned table overwrite whatever is there; the version is counted up all the same.

    It is given to a statement: ``update(User).values(...).options(dbkit.blind_update())``.

    .. versionadded:: 0.1
    """
    return BlindUpdate()


def checked(names: Iterable[str]) -> frozenset[str]:
    """Return the names of rules as a set.

    :raises UnknownRule: there are none, or no table has a rule of such a name.
    """
    found = named(names)
    if are_known(found):
        return found
    known = known_rules()
    for name in found - known:
        near = difflib.get_close_matches(str(name), known, n=1)
        advice = f"did you mean {near[0]!r}? " if near else ""
        raise UnknownRule(f"no table has a rule named {name!r}; {advice}there are {_listed(known)}")
    return found


def named(names: Iterable[str]) -> frozenset[str]:
    """Return the names of rules as a set, whether there are such rules or not yet.

    :raises UnknownRule: there are none, or what is given is none.
    """
    found = frozenset(names)
    if not found or not all(isinstance(each, str) for each in found):
        raise UnknownRule(f"without() names the rules that are switched off; there are {_listed(known_rules())}")
    return found


def switched_off(statement: Any) -> frozenset[str]:
    """Return the names of the rules that do not count for a statement, by its own options."""
    options = getattr(statement, "_with_options", ())
    return frozenset(name for each in options if isinstance(each, Without) for name in each.names)


def is_blind(statement: Any) -> bool:
    """Return whether an UPDATE says that it does not look at the version."""
    return any(isinstance(each, BlindUpdate) for each in getattr(statement, "_with_options", ()))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none: no table has a rule"
