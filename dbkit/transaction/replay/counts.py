"""How often the transactions of a database were repeated, and what came of it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from dbkit.forking import mended_in_child


@dataclass(frozen=True, slots=True)
class ReplayCounts:
    """What became of transactions that were lost before COMMIT.

    .. versionadded:: 0.1

    :ivar replayed: they were repeated, with the same answers.
    :ivar diverged: an answer was another one than before; the block got :class:`.ReplayDiverged`.
    :ivar failed: no connection was to be had, or each was lost again.
    :ivar disabled: they were not repeated, by the name of the reason.
    """

    replayed: int = 0
    diverged: int = 0
    failed: int = 0
    disabled: Mapping[str, int] = field(default_factory=dict)


class Replays:
    """Counts the replays of one database; safe in threads.

    :ivar compare: tells whether two answers are the same, by their digests. **Dangerous**: a function that says yes to
        different answers lets wrong data be stored. It is here so that a test can show just that.
    """

    def __init__(self) -> None:
        self.compare = _same
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._disabled: Counter[str] = Counter()
        mended_in_child(self)

    def in_child(self) -> None:
        """Take a lock that nobody holds, in the child of a fork."""
        self._lock = threading.Lock()

    def replayed(self) -> None:
        """Count a transaction that was repeated."""
        self._count("replayed")

    def diverged(self) -> None:
        """Count one that answered otherwise."""
        self._count("diverged")

    def failed(self) -> None:
        """Count one that could not be repeated."""
        self._count("failed")

    def disabled(self, reason: str) -> None:
        """Count one that was not to be repeated."""
        with self._lock:
            self._disabled[reason] += 1

    def _count(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1

    @property
    def counts(self) -> ReplayCounts:
        """The numbers as they are now."""
        with self._lock:
            return ReplayCounts(**self._counts, disabled=dict(self._disabled))


def _same(one: bytes, other: bytes) -> bool:
    return one == other
