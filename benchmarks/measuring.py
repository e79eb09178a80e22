"""Measures subjects side by side, one scenario after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

from benchmarks import counting
from benchmarks.driving import Course, Numbers
from benchmarks.places import Grounds
from benchmarks.report import Row
from benchmarks.scenarios import Scenario
from benchmarks.subjects.subject import Subject
from benchmarks.timing import Times

#: Returns the times of each course at a scenario.
Timer = Callable[[Sequence[Course], Scenario], list[Times]]


def measured(
    subjects: Sequence[Subject],
    grounds: Grounds,
    scenarios: Sequence[Scenario],
    time_all: Timer,
    count: int = counting.COUNTED,
    sent: int | None = None,
    warm_up: int = counting.WARM_UP,
    numbers: Numbers | None = None,
) -> Iterator[list[Row]]:
    """Yield the results of one scenario after the other.

    :param time_all: times all subjects at one scenario.
    :param count: operations whose calls are counted.
    :param sent: operations whose statements and trips are counted; as many, if not given.
    :param warm_up: operations before the first that counts.
    :param numbers: where the operations' numbers come from, if the caller must know them.
    """
    numbers = numbers or Numbers()
    with ExitStack() as stack:
        straight = [stack.enter_context(Course(subject, grounds.straight(), numbers)) for subject in subjects]
        counting_ = [stack.enter_context(Course(subject, grounds.counting(), numbers)) for subject in subjects]
        for scenario in scenarios:
            pairs = [(one, other) for one, other in zip(straight, counting_, strict=True) if one.has(scenario.name)]
            # The traffic first: the statement that a process compiles first for a mapper stays a few calls dearer for
            # its engine than the same one compiled later, and that must not fall on whoever stands first in the table.
            traffic = [counting.count_traffic(other, scenario.name, sent or count, warm_up) for _, other in pairs]
            calls = [counting.count_calls(one, scenario.name, count, warm_up) for one, _ in pairs]
            times = time_all([one for one, _ in pairs], scenario)
            yield [
                Row(
                    grounds.backend.name, grounds.version, scenario, one.subject.name, calls[at], traffic[at], times[at]
                )
                for at, (one, _) in enumerate(pairs)
            ]


def profiled(subjects: Sequence[Subject], grounds: Grounds, scenarios: Sequence[Scenario], limit: int) -> int:
    """Print the functions that a subject calls; return how many profiles that were."""
    printed = 0
    for subject in subjects:
        with Course(subject, grounds.straight(), Numbers()) as course:
            for scenario in scenarios:
                if course.has(scenario.name):
                    print(f"\n{subject.name}: {scenario.name} on {grounds.backend.name}, {counting.COUNTED} operations")
                    print(counting.top_functions(course, scenario.name, limit))
                    printed += 1
    return printed
