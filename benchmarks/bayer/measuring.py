"""Measures all on one place, and looks before and after whether each stores its row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

from benchmarks import timing
from benchmarks.bayer.checking import check
from benchmarks.bayer.scenario import SCENARIO
from benchmarks.driving import Course, Numbers
from benchmarks.measuring import measured
from benchmarks.places import Grounds
from benchmarks.report import Row
from benchmarks.scenarios import Scenario
from benchmarks.subjects.subject import Subject
from benchmarks.timing import Times

_SENT = 50
_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured.

    :param operations: that are timed.
    :param counted: whose function calls are counted.
    """

    operations: int
    counted: int

    @property
    def rounds(self) -> int:
        """In how many turns the operations of each are timed."""
        return min(_ROUNDS, self.operations)

    @classmethod
    def quick(cls) -> Self:
        """As little as shows the counts."""
        return cls(operations=20, counted=20)


def measured_on(grounds: Grounds, subjects: Sequence[Subject], extent: Extent) -> list[Row]:
    """Return the results of all on one place.

    :raises NotStored: somebody does not store what it should.
    """
    numbers = Numbers()
    timed = partial(_timed, extent, numbers)
    sent = min(_SENT, extent.counted)
    (rows,) = measured(subjects, grounds, [SCENARIO], timed, extent.counted, sent, numbers=numbers)
    return rows


def _timed(extent: Extent, numbers: Numbers, courses: Sequence[Course], scenario: Scenario) -> list[Times]:
    for course in courses:
        check(course, scenario.name, numbers)
    batch = max(extent.operations // extent.rounds, 1)
    times = timing.measure(courses, scenario.name, extent.rounds, batch)
    for course in courses:
        check(course, scenario.name, numbers)
    return times
