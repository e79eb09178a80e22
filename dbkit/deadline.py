"""The point in time at which a caller wants to be answered, whatever the answer is."""

from __future__ import annotations

import math
from contextvars import ContextVar

from dbkit.clock import SYSTEM_CLOCK, Clock
from dbkit.exceptions import DeadlineExceeded, InvalidSetting, Outcome


class Deadline:
    """A point in time, and the clock that tells how far away it is.

    :param at: in the seconds of ``clock.now()``.
    :param seconds: how far away it was when it was set, for texts.
    """

    __slots__ = ("_clock", "at", "seconds")

    def __init__(self, at: float, seconds: float, clock: Clock = SYSTEM_CLOCK) -> None:
        self.at = at
        self.seconds = seconds
        self._clock = clock

    @classmethod
    def after(cls, seconds: float, clock: Clock = SYSTEM_CLOCK) -> Deadline:
        """Return the deadline that lies that many seconds ahead."""
        return cls(clock.now() + seconds, seconds, clock)

    @property
    def left_s(self) -> float:
        """Seconds that are left; 0 or less if none are."""
        return self.at - self._clock.now()

    def check(self, what: str, outcome: Outcome = Outcome.ROLLED_BACK) -> float:
        """Return the seconds that are left.

        :param what: what is about to begin, for the text.
        :raises DeadlineExceeded: none are.
        """
        left = self.left_s
        if left <= 0:  # nothing was waited for: the time went by in the code before
            raise self._error(f"had passed before the block came to {what}", outcome)
        return left

    def exceeded(self, what: str, outcome: Outcome = Outcome.ROLLED_BACK) -> DeadlineExceeded:
        """Return the error for who has not been answered in time.

        :param what: what was waited for.
        """
        return self._error(f"has passed while the block waited for {what}", outcome)

    def _error(self, what_happened: str, outcome: Outcome) -> DeadlineExceeded:
        return DeadlineExceeded(
            message=f"the deadline of {self.seconds:g} s {what_happened}; give it more time, or less to do",
            outcome=outcome,
        )


def sooner(one: Deadline | None, other: Deadline | None) -> Deadline | None:
    """Return the deadline that passes first; None if there is none."""
    if one is None or other is None:
        return other if one is None else one
    return one if one.at <= other.at else other


def seconds_of(seconds: object) -> float:
    """Return the seconds of a deadline, checked.

    :raises InvalidSetting: it is no number above 0.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise InvalidSetting(f"a deadline is a number of seconds above 0; it is {seconds!r}")
    return float(seconds)


LIMIT: ContextVar[Deadline | None] = ContextVar("dbkit_deadline_of_the_wait", default=None)
"""The deadline of the block that is taking a connection, for the pool and the gate, which know no blocks."""
