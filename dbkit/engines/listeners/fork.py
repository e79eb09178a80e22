"""A forked child leaves the parent's connections alone and opens its own."""

from __future__ import annotations

import os
import weakref

from sqlalchemy.engine import Engine

from dbkit.ambient import CURRENT
from dbkit.engines.pool import BoundedPool


def install(engine: Engine) -> None:
    """Empty the engine's pool in every child, without a word on the sockets that the parent goes on using.

    A block that was open when the process forked stays the parent's; the child starts outside of it.
    """
    if not hasattr(os, "register_at_fork"):
        return
    reference = weakref.ref(engine)

    def in_child() -> None:
        CURRENT.set(None)
        forked = reference()
        if forked is not None and isinstance(forked.pool, BoundedPool):
            forked.pool.leave_to_parent()
            forked.pool.capacity.reset()

    os.register_at_fork(after_in_child=in_child)
