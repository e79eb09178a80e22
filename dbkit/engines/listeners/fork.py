"""A forked child leaves the parent's connections alone and opens its own."""

from __future__ import annotations

import os
import weakref

from sqlalchemy.engine import Engine

from dbkit.ambient import CURRENT
from dbkit.engines.pool import BoundedPool


class _Engines:
    """The engines of this process. The handlers of a fork cannot be taken back, so there is one for all of them."""

    def __init__(self) -> None:
        self._engines: weakref.WeakSet[Engine] = weakref.WeakSet()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._in_child)

    def add(self, engine: Engine) -> None:
        self._engines.add(engine)

    def _in_child(self) -> None:
        CURRENT.set(None)
        for engine in list(self._engines):
            if isinstance(engine.pool, BoundedPool):
                engine.pool.leave_to_parent()
                engine.pool.capacity.reset()


_ENGINES = _Engines()


def install(engine: Engine) -> None:
    """Empty the engine's pool in every child, without a word on the sockets that the parent goes on using.

    A block that was open when the process forked stays the parent's; the child starts outside of it.
    """
    _ENGINES.add(engine)
