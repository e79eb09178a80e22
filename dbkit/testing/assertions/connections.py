"""Whether a block gives back all the connections that it takes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool

from dbkit.testing.assertions.block import Check
from dbkit.testing.assertions.places import Place, callers
from dbkit.testing.assertions.targets import Stop, Target, each_engine

_LONGEST_STACK = 12


class LeakCheck(Check):
    """Records where connections are taken, while its block runs."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._pools: list[Pool] = []
        self._taken: dict[Any, list[Place]] = {}

    @property
    def leaked(self) -> list[list[Place]]:
        """Of each connection that is not back, the lines of the application that have taken it, the nearest first."""
        return list(self._taken.values())

    def _start(self) -> Stop:
        stop = each_engine(self._target, self._listen)

        def end() -> None:
            stop()
            for pool in self._pools:
                for name, listener in self._listeners():
                    event.remove(pool, name, listener)

        return end

    def _judge(self) -> None:
        __tracebackhide__ = True
        if self._taken:
            many = len(self._taken)
            said = "1 connection was" if many == 1 else f"{many} connections were"
            parts = [f"{said} taken in the block and not given back"]
            for number, places in enumerate(self._taken.values(), 1):
                parts.append(f"  taken by ({number} of {many}, the last call first):")
                parts += [f"      {place}" for place in places] or ["      no line of the application is on the stack"]
            parts.append("  close each Session and Connection, best by a with statement")
            raise AssertionError("\n".join(parts))

    def _listeners(self) -> tuple[tuple[str, Any], ...]:
        return ("checkout", self._out), ("checkin", self._back), ("detach", self._back)

    def _listen(self, engine: Engine) -> None:
        if not any(each is engine.pool for each in self._pools):  # two engines may share one
            self._pools.append(engine.pool)
            for name, listener in self._listeners():
                event.listen(engine.pool, name, listener)

    def _out(self, connection: Any, record: Any, proxy: Any) -> None:
        self._taken[record] = [place for place, _ in zip(callers(), range(_LONGEST_STACK), strict=False)]

    def _back(self, connection: Any, record: Any) -> None:
        self._taken.pop(record, None)


def assert_no_leaked_connections(target: Target) -> LeakCheck:
    """Return what fails if its block ends before all the connections that it took are back in their pool.

    The text of the failure shows, for each, the calls by which it was taken.

    :param target: a ``dbkit.Database``, a manager of enginefacade, a sandbox, or an engine of SQLAlchemy.

    .. versionadded:: 0.1
    """
    return LeakCheck(target)
