"""Locks and the child of a fork: a thread that held one then does not exist there, and would never let it go."""

from __future__ import annotations

import os
import weakref
from typing import Protocol, TypeVar


class Forked(Protocol):
    """What the child of a fork must mend."""

    def in_child(self) -> None:
        """Called in the child of a fork, before any of its code runs."""


F = TypeVar("F", bound=Forked)

# The handlers of a fork cannot be taken back, so there is one for all.
_KNOWN: weakref.WeakSet[Forked] = weakref.WeakSet()


def mended_in_child(thing: F) -> F:
    """Call a thing's ``in_child`` in every child of a fork, for as long as it lives; return it."""
    _KNOWN.add(thing)
    return thing


def _in_child() -> None:
    for each in list(_KNOWN):
        each.in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
