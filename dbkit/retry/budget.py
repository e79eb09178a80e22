"""How many runs after the first one a database may be asked for, whoever asks: a share of what was run lately.

Without it, each caller that fails under an overload comes back up to ``db_max_retries`` times, and the overload with
it. Conflicts are counted apart: they are between transactions, and running them again makes the server do no more than
it would have.
"""

from __future__ import annotations

import threading

from dbkit.clock import SYSTEM_CLOCK, Clock
from dbkit.forking import mended_in_child

WINDOW_S = 10
"""What "lately" means, in seconds."""

FLOOR = 30
"""Runs that are allowed in this time, however little there was to do: a share of nothing would be nothing."""


class RetryBudget:
    """Counts the calls of functions that may be run again, and the runs after the first ones, of the last seconds.

    Safe to use from all threads, and in the child of a fork, which goes on with what was counted.

    :ivar calls: calls since the beginning.
    """

    __slots__ = ("_clock", "_lock", "_second", "_slots", "calls", "__weakref__")

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self.calls = 0
        self._lock = threading.Lock()
        self._second = int(clock.now())
        # a ring, one slot a second: calls, runs after conflicts, runs after the rest
        self._slots = [[0, 0, 0] for _ in range(WINDOW_S)]
        mended_in_child(self)

    def note_call(self) -> None:
        """Count a call: it earns its share of a run."""
        second = int(self._clock.now())
        with self._lock:
            if second != self._second:
                self._move_to(second)
            self._slots[second % WINDOW_S][0] += 1
            self.calls += 1

    def spend(self, is_conflict: bool, share: float) -> bool:
        """Return whether one more run is allowed, and count it if it is.

        :param share: runs for each call.
        """
        second, column = int(self._clock.now()), 1 if is_conflict else 2
        with self._lock:
            if second != self._second:
                self._move_to(second)
            calls = sum(slot[0] for slot in self._slots)
            spent = sum(slot[column] for slot in self._slots)
            if spent + 1 > calls * share + FLOOR:
                return False
            self._slots[second % WINDOW_S][column] += 1
            return True

    def in_child(self) -> None:
        """Take a lock that nobody holds, in the child of a fork."""
        self._lock = threading.Lock()

    def _move_to(self, second: int) -> None:
        """Empty the slots of the seconds that have begun since; a clock read by a slower thread moves nothing back."""
        for passed in range(self._second + 1, min(second, self._second + WINDOW_S) + 1):
            self._slots[passed % WINDOW_S][:] = (0, 0, 0)
        self._second = max(self._second, second)
