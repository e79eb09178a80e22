"""A forked child leaves the parent's connections alone and opens its own."""

from __future__ import annotations

import os
import weakref

from sqlalchemy.engine import Engine

from dbkit.ambient import CURRENT
from dbkit.engines.pool import BoundedPool


class _Pools:
    """The pools of this process, also those that were replaced and still have connections in use.

    The handlers of a fork cannot be taken back, so there is one for all of them.
    """

    def __init__(self) -> None:
        self._pools: weakref.WeakSet[BoundedPool] = weakref.WeakSet()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._in_child)

    def add(self, pool: BoundedPool) -> None:
        self._pools.add(pool)

    def _in_child(self) -> None:
        CURRENT.set(None)
        for pool in list(self._pools):
            pool.leave_to_parent()
            pool.capacity.reset()


_POOLS = _Pools()


def install(engine: Engine) -> None:
    """Empty the engine's pool in every child, without a word on the sockets that the parent goes on using.

    A block that was open when the process forked stays the parent's; the child starts outside of it.
    """
    if isinstance(engine.pool, BoundedPool):
        engine.pool.follow(_POOLS.add)
