"""How often a function is run again, and how long to wait before: pure, but for chance, which is handed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dbkit.retry.verdict import Kind

Uniform = Callable[[float, float], float]
"""Returns a random number between two bounds."""

_SPREAD = 100
"""The first wait lies between the interval and this part of it, so that those who failed together come back apart."""
_GROWTH = 3


@dataclass(frozen=True, slots=True)
class Policy:
    """How often and when.

    :param max_retries: runs after the first one; -1 sets no limit.
    :param interval_s: seconds from which waits grow after a lost connection or an overload.
    :param conflict_interval_s: the same after a conflict with another transaction.
    :param max_interval_s: seconds that no wait exceeds.
    :param grows: whether waits grow at all.
    """

    max_retries: int = 20
    interval_s: float = 1.0
    conflict_interval_s: float = 0.02
    max_interval_s: float = 10.0
    grows: bool = True

    def allows(self, retries: int) -> bool:
        """Return whether there may be so many runs after the first one."""
        return self.max_retries < 0 or retries <= self.max_retries

    def interval_of(self, kind: Kind) -> float:
        """Return the seconds from which the waits grow after a failure of this kind."""
        return self.conflict_interval_s if kind.is_conflict else self.interval_s

    def wait_s(self, kind: Kind, retry: int, previous_s: float | None, uniform: Uniform) -> float:
        """Return the seconds to wait before a run, by decorrelated jitter.

        :param retry: which run after the first one it is; 1 for the next to the first.
        :param previous_s: the wait before the last run that followed such a failure; None if there was none.
        """
        if kind is Kind.SERIALIZATION and retry == 1:
            return 0.0
        interval_s = self.interval_of(kind)
        return decorrelated(interval_s, self.max_interval_s, previous_s if self.grows else None, uniform)


def decorrelated(interval_s: float, max_s: float, previous_s: float | None, uniform: Uniform) -> float:
    """Return a random wait that grows out of the one before; the first one lies below the interval.

    Source: Marc Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
    """
    lowest = interval_s / _SPREAD
    highest = interval_s if previous_s is None else previous_s * _GROWTH
    return min(max_s, uniform(lowest, max(lowest, highest)))


def doubling(interval_s: float, max_s: float, retry: int, grows: bool, lowest: float, uniform: Uniform) -> float:
    """Return a random wait below a step that doubles with each run, as oslo.db's users know it.

    :param retry: which run after the first one it is, from 1.
    :param lowest: the part of the step that is always waited, from 0 to 1.
    """
    step = min(max_s, interval_s * 2.0 ** min(retry - 1, 60) if grows else interval_s)
    return uniform(step * lowest, step)
