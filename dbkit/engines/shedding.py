"""When a queue has been slow for too long, and who is turned away then.

The rule is CoDel's (controlled delay), as a queue of callers needs it: a burst is no fault, and passes; a queue in
which nobody is served soon any more only grows, and whoever has waited long in it will not be glad of the answer.
"""

from __future__ import annotations

from collections.abc import Sequence

_NOBODY = float("inf")


class Shedding:
    """What was seen of a queue lately, and whether it is slow by that. No I/O, and no clock but the one it is told.

    :param target_s: a wait that is no fault.
    :param interval_s: for how long nobody must have waited less before the queue is slow.
    :ivar is_slow: those who have waited too long are turned away, and who came last is served first.
    """

    def __init__(self, target_s: float, interval_s: float) -> None:
        self.target_s = target_s
        self.interval_s = interval_s
        self.is_slow = False
        self._least_s = 0.0
        self._until = float("-inf")

    @property
    def patience_s(self) -> float:
        """How long anyone may have waited before it is turned away, while the queue is slow."""
        return 2 * self.target_s

    def passed_by(self) -> None:
        """Someone was served who did not have to wait."""
        self._least_s = 0.0
        self.is_slow = False

    def served(self, waited_s: float, now: float) -> None:
        """Someone was served after a wait."""
        self._turn(now, waited_s)
        self._least_s = min(self._least_s, waited_s)

    def overdue(self, came: Sequence[float], now: float) -> int:
        """Return how many of those who wait are to be turned away.

        :param came: when each of them came, the oldest first.
        """
        if not came:
            return 0
        self._turn(now, now - came[0])
        if not self.is_slow:
            return 0
        return next((number for number, since in enumerate(came) if now - since <= self.patience_s), len(came))

    def _turn(self, now: float, longest_s: float) -> None:
        """Judge the interval if it has ended, by the longest wait if nobody was served in it; begin another one."""
        if now < self._until:
            return
        least_s = longest_s if self._least_s == _NOBODY else self._least_s
        self.is_slow = least_s > self.target_s
        self._until = now + self.interval_s
        self._least_s = _NOBODY
