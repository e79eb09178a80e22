"""Rules that every FROM of a table obeys, in each statement that a block sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dbkit.filters.marks import Removal, Rule
    from dbkit.filters.moments import scope
    from dbkit.filters.options import blind_update, without
    from dbkit.filters.scopes import rule, scoped

__all__ = ["Removal", "Rule", "blind_update", "rule", "scope", "scoped", "without"]

_PLACES = {
    "Removal": "marks",
    "Rule": "marks",
    "blind_update": "options",
    "rule": "scopes",
    "scope": "moments",
    "scoped": "scopes",
    "without": "options",
}


def __getattr__(name: str) -> Any:
    # late: the files of this room import what lies in it through this file
    if name in _PLACES:
        from importlib import import_module

        return getattr(import_module(f"dbkit.filters.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
