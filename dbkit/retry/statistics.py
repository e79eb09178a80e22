"""What is told of runs after the first one: to hooks as they happen, and as numbers to whoever asks."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from dbkit.forking import mended_in_child
from dbkit.retry.verdict import Kind


class GaveUp(enum.Enum):
    """Why there was no further run.

    .. versionadded:: 0.1
    """

    EXHAUSTED = "exhausted"
    """As many runs as are allowed were made."""
    BUDGET = "budget"
    """The database was asked for too many runs lately."""
    DEADLINE = "deadline"
    """The next run could not have begun before the deadline."""
    OTHER_ERROR = "other error"
    """A run after the first one ended with an error that is not worth another."""


@dataclass(frozen=True, slots=True)
class RetryEvent:
    """A run that failed, and what comes after it.

    :ivar function: the qualified name of the function.
    :ivar attempt: which run it was, from 1.
    :ivar error: what it raised.
    :ivar kind: of what kind that is; None with :attr:`GaveUp.OTHER_ERROR`.
    :ivar delay_s: seconds until the next run; None if there is none.
    :ivar gave_up: why there is none; None if there is one.

    .. versionadded:: 0.1
    """

    function: str
    attempt: int
    error: Exception
    kind: Kind | None
    delay_s: float | None
    gave_up: GaveUp | None


RetryHook = Callable[[RetryEvent], object]
"""Is told of each run that failed."""


@dataclass(frozen=True, slots=True)
class RetryStatistics:
    """Numbers since the database was first used, of functions that may be run again.

    :ivar calls: calls of such functions, each counted once.
    :ivar failures: runs that failed in a way that is worth another, by kind.
    :ivar retried: runs after the first ones, by the kind of the failure before them.
    :ivar succeeded_after_retry: calls that ended well, though not with their first run.
    :ivar exhausted: calls that failed after as many runs as are allowed.
    :ivar refused_by_budget: calls that failed because of the budget, by kind.
    :ivar out_of_time: calls that failed because their deadline was too near for another run.

    .. versionadded:: 0.1
    """

    calls: int
    failures: Mapping[Kind, int]
    retried: Mapping[Kind, int]
    succeeded_after_retry: int
    exhausted: int
    refused_by_budget: Mapping[Kind, int]
    out_of_time: int

    @property
    def conflicts(self) -> int:
        """Failures that other transactions are to blame for."""
        return sum(count for kind, count in self.failures.items() if kind.is_conflict)

    @property
    def overloads(self) -> int:
        """Failures because the database was out of reach or had too much to do."""
        return sum(count for kind, count in self.failures.items() if not kind.is_conflict)


class RetryCounters:
    """Counts what :class:`RetryStatistics` tells. Safe to use from all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures = dict.fromkeys(Kind, 0)
        self._retried = dict.fromkeys(Kind, 0)
        self._refused = dict.fromkeys(Kind, 0)
        self._given_up = dict.fromkeys(GaveUp, 0)
        self._recovered = 0
        mended_in_child(self)

    def in_child(self) -> None:
        """Take a lock that nobody holds, in the child of a fork."""
        self._lock = threading.Lock()

    def note(self, event: RetryEvent) -> None:
        """Count a run that failed."""
        with self._lock:
            if event.kind is not None:
                self._failures[event.kind] += 1
                if event.gave_up is None:
                    self._retried[event.kind] += 1
                elif event.gave_up is GaveUp.BUDGET:
                    self._refused[event.kind] += 1
            if event.gave_up is not None:
                self._given_up[event.gave_up] += 1

    def note_recovery(self) -> None:
        """Count a call that ended well after more than one run."""
        with self._lock:
            self._recovered += 1

    def read(self, calls: int) -> RetryStatistics:
        """Return the numbers of this moment; that of the calls is counted elsewhere."""
        with self._lock:
            return RetryStatistics(
                calls=calls,
                failures=MappingProxyType(dict(self._failures)),
                retried=MappingProxyType(dict(self._retried)),
                succeeded_after_retry=self._recovered,
                exhausted=self._given_up[GaveUp.EXHAUSTED],
                refused_by_budget=MappingProxyType(dict(self._refused)),
                out_of_time=self._given_up[GaveUp.DEADLINE],
            )
