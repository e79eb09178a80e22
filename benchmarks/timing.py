"""Times operations side by side: in rounds, so that what disturbs the machine disturbs all alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.collecting import frozen_heap
from benchmarks.counting import WARM_UP
from benchmarks.driving import Course


@dataclass(slots=True)
class Times:
    """Seconds an operation, one entry a round."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as long as another one.

    :ivar best: the shortest round of both.
    :ivar median: the median round of both.
    """

    best: float
    median: float


def measure(courses: Sequence[Course], scenario: str, rounds: int, batch: int, warm_up: int = WARM_UP) -> list[Times]:
    """Time all courses in each round, beginning with another one each time.

    The collector is on, since what an operation leaves to collect is part of its price; each batch starts from a
    collected heap, so that nobody pays for what another one left.
    """
    times = [Times() for _ in courses]
    for course in courses:
        course.batch(scenario, warm_up)()
    with frozen_heap():
        for turn in range(rounds):
            for step in range(len(courses)):
                at = (turn + step) % len(courses)
                work = courses[at].batch(scenario, batch)
                gc.collect()
                cpu, wall = time.process_time(), time.perf_counter()
                work()
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                times[at].wall_s.append(wall / batch)
                times[at].cpu_s.append(cpu / batch)
    return times


def measure_each(courses: Sequence[Course], scenario: str, rounds: int, turn: int) -> list[Times]:
    """Time each operation by itself, a few of one course in its turn; one entry an operation.

    Where others have work for the processors too, most single operations are not disturbed, and a median of them says
    more than one of batches. In asyncio the way into the event loop is part of each.
    """
    times = [Times() for _ in courses]
    for course in courses:
        course.batch(scenario, WARM_UP)()
    with frozen_heap():
        for round_ in range(rounds):
            for step in range(len(courses)):
                at = (round_ + step) % len(courses)
                works = [courses[at].batch(scenario, 1) for _ in range(turn + 1)]
                gc.collect()
                works[0]()  # the caches are another course's
                for work in works[1:]:
                    cpu, wall = time.process_time(), time.perf_counter()
                    work()
                    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                    times[at].wall_s.append(wall)
                    times[at].cpu_s.append(cpu)
    return times


def ratio(these: Sequence[float], to: Sequence[float]) -> Ratio:
    """Return how many times as long ``these`` took as ``to``."""
    return Ratio(min(these) / min(to), statistics.median(these) / statistics.median(to))
