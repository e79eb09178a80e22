"""The command line of ``python -m benchmarks kit``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import counting
from benchmarks.choice import at_hand, chosen_backends, load, pin, positive
from benchmarks.driving import Course, Numbers
from benchmarks.kit import timing
from benchmarks.kit.contenders import DATABASES, TESTS, is_counted
from benchmarks.kit.operations import DATABASE, PREPARE, TEST
from benchmarks.kit.report import Row, as_json, as_table
from benchmarks.places import BACKENDS, Grounds, administered
from benchmarks.subjects.subject import Subject
from benchmarks.versions import versions

_MEASURED = {TEST: TESTS, DATABASE: DATABASES}
#: How often each is done before it is counted, and while it is.
_COUNTED = {TEST: (timing.WARM_UP, 5), DATABASE: (2, 3)}


def run(arguments: Sequence[str]) -> int:
    """Measure what the arguments ask for; return the exit status: 1 if nothing could be measured."""
    options = _parser().parse_args(arguments)
    rounds = options.rounds if options.rounds is not None else 3 if options.quick else 15
    print(" | ".join(f"{name} {version}" for name, version in versions().items()))
    backends = chosen_backends(options.backend)
    pin()
    tables: list[list[Row]] = []
    for backend in backends:
        with administered(backend) as grounds:
            for operation in options.only or _MEASURED:
                subjects = at_hand(each for each in _MEASURED[operation] if each.measures(backend))
                if subjects:
                    tables.append(_measured(subjects, grounds, operation, rounds))
                    print(f"\n{as_table(tables[-1])}\n{load()}", flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(as_json(tables, rounds), indent=2) + "\n", encoding="utf-8")
    return 0 if tables else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks kit",
        description="Measure what the test kit costs: a test by each strategy, and test databases, beside oslo.db's.",
    )
    defaults = ", ".join(each.name for each in BACKENDS if each.by_default)
    parser.add_argument(
        "--backend",
        action="append",
        choices=[each.name for each in BACKENDS],
        help=f"measure on this one; may be repeated (default: {defaults})",
    )
    parser.add_argument(
        "--only", action="append", choices=list(_MEASURED), help="measure this; may be repeated (default: both)"
    )
    parser.add_argument("--rounds", type=positive, help="rounds in which each has a turn (default: 15, quick: 3)")
    parser.add_argument("--quick", action="store_true", help="few rounds: the counts are as exact as ever")
    parser.add_argument("--json", metavar="FILE", help="write the results to this file too")
    return parser


def _measured(subjects: Sequence[Subject], grounds: Grounds, operation: str, rounds: int) -> list[Row]:
    numbers = Numbers()
    traffic = [counted(subject, grounds, operation, numbers) for subject in subjects]
    with ExitStack() as stack:
        courses = [stack.enter_context(Course(subject, grounds.straight(), numbers)) for subject in subjects]
        times = timing.measure(courses, operation, rounds)
    return [
        Row(grounds.backend.name, grounds.version, operation, subject.name, times[at], traffic[at])
        for at, subject in enumerate(subjects)
    ]


def counted(subject: Subject, grounds: Grounds, operation: str, numbers: Numbers) -> counting.Traffic | None:
    """Return what a contender sends each time; None where that cannot be told."""
    place = grounds.counting()
    if not is_counted(subject.name, place):
        return None
    with Course(subject, place, numbers) as course:
        if course.has(PREPARE):
            course.batch(PREPARE, 1)()
        warm_up, count = _COUNTED[operation]
        return counting.count_traffic(course, operation, count, warm_up)
