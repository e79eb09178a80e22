"""Counts what one operation takes: function calls, statements and round trips. The same at every run."""

from __future__ import annotations

import cProfile
import gc
import io
import pstats
from dataclasses import dataclass

from benchmarks.driving import Course

WARM_UP = 30
"""Operations before the first that counts: caches are full then, and statements prepared."""
COUNTED = 200


@dataclass(frozen=True, slots=True)
class Traffic:
    """What went to the database in one operation, on average.

    :ivar trips: round trips; None on SQLite, which has none.
    """

    statements: float
    trips: float | None


def count_calls(course: Course, scenario: str, count: int = COUNTED, warm_up: int = WARM_UP) -> float:
    """Return the function calls, Python's and C's, of one operation."""
    calls: int = _profiled(course, scenario, count, warm_up).total_calls  # type: ignore[attr-defined]
    return calls / count


def _profiled(course: Course, scenario: str, count: int, warm_up: int = WARM_UP) -> pstats.Stats:
    course.batch(scenario, warm_up)()
    profile = cProfile.Profile()
    batch = course.batch(scenario, count, profile)
    gc.disable()  # what it would call back into is no part of the operation
    try:
        batch()
    finally:
        gc.enable()
    return pstats.Stats(profile)


def top_functions(course: Course, scenario: str, limit: int, count: int = COUNTED) -> str:
    """Return the functions that are called most often, with their calls, as :mod:`pstats` prints them."""
    stats = _profiled(course, scenario, count)
    stats.stream = stream = io.StringIO()  # type: ignore[attr-defined]
    stats.strip_dirs().sort_stats("ncalls", "tottime").print_stats(limit)
    return stream.getvalue().rstrip()


def count_traffic(course: Course, scenario: str, count: int = COUNTED, warm_up: int = WARM_UP) -> Traffic:
    """Return what one operation sends; the course's place must be a counting one."""
    tally = course.place.tally
    assert tally is not None
    course.batch(scenario, warm_up)()
    batch = course.batch(scenario, count)
    statements = tally.read_statements()
    trips = tally.read_trips() if tally.read_trips is not None else None
    batch()
    return Traffic(
        statements=(tally.read_statements() - statements) / count,
        trips=None if trips is None or tally.read_trips is None else (tally.read_trips() - trips) / count,
    )
