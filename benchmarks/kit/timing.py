"""Times single tests side by side: in rounds, so that what disturbs the machine disturbs all alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.collecting import frozen_heap
from benchmarks.driving import Course
from benchmarks.kit.operations import PREPARE

_TURN_S = 0.05
_TURN_MAX = 20
WARM_UP = 8
"""Times before the first that counts: drivers have prepared by then what they prepare."""


@dataclass(slots=True)
class Times:
    """Seconds, one entry for each time."""

    wall_s: list[float] = field(default_factory=list)

    @property
    def median_s(self) -> float:
        """Half of the times were shorter."""
        return statistics.median(self.wall_s)

    @property
    def quartile_s(self) -> float:
        """A quarter of the times was shorter; it moves less than the median when the machine has other work."""
        return statistics.quantiles(self.wall_s, n=4, method="inclusive")[0] if len(self.wall_s) > 1 else self.median_s


def measure(courses: Sequence[Course], operation: str, rounds: int) -> list[Times]:
    """Time all courses in each round, beginning with another one each time.

    In its turn a course goes as often as fits into a twentieth of a second, at least once. Each turn begins with a
    collected heap.
    """
    times = [Times() for _ in courses]
    turns = [_turn(course, operation) for course in courses]
    with frozen_heap():
        for round_ in range(rounds):
            for step in range(len(courses)):
                at = (round_ + step) % len(courses)
                gc.collect()
                times[at].wall_s += [_timed(courses[at], operation) for _ in range(turns[at])]
    return times


def _turn(course: Course, operation: str) -> int:
    """Warm up, and return how often a course goes in its turn."""
    quickest = min(_timed(course, operation) for _ in range(WARM_UP))
    return max(1, min(_TURN_MAX, int(_TURN_S / quickest)))


def _timed(course: Course, operation: str) -> float:
    if course.has(PREPARE):
        course.batch(PREPARE, 1)()
    work = course.batch(operation, 1)
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
