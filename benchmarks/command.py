"""The command line: what is measured, and where the results go."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import counting, deadline, timing
from benchmarks.choice import at_hand, chosen_backends, pin, positive
from benchmarks.driving import Course, Numbers
from benchmarks.kit import command as kit
from benchmarks.places import BACKENDS, Grounds, prepared
from benchmarks.report import Row, as_json, as_table
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.subjects.catalogue import SUBJECTS, subjects_for
from benchmarks.subjects.subject import Subject
from benchmarks.versions import versions

_TOP_FUNCTIONS = 40


def run(arguments: Sequence[str]) -> int:
    """Measure what the arguments ask for; return the exit status: 1 if nothing could be measured."""
    if arguments[:1] == ["kit"]:
        return kit.run(arguments[1:])
    if arguments[:1] == ["deadline"]:
        return deadline.run(arguments[1:])
    options = _parser().parse_args(arguments)
    scenarios = [each for each in SCENARIOS if not options.scenario or each.name in options.scenario]
    rounds = options.rounds if options.rounds is not None else 3 if options.quick else 15
    print(" | ".join(f"{name} {version}" for name, version in versions().items()))
    backends = chosen_backends(options.backend)
    pin()
    rows: list[Row] = []
    measured = 0
    for backend in backends:
        with prepared(backend) as grounds:
            subjects = at_hand(subjects_for(backend))
            if options.profile:
                measured += _profile([each for each in subjects if each.name == options.profile], grounds, scenarios)
                continue
            found = _measure(subjects, grounds, scenarios, rounds, 5 if options.quick else 1)
            for table in found:
                print(f"\n{as_table(table)}", flush=True)
                rows += table
    if options.json:
        Path(options.json).write_text(json.dumps(as_json(rows, rounds), indent=2) + "\n", encoding="utf-8")
    return 0 if rows or measured else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure what a transaction costs with dbkit, bare SQLAlchemy, oslo.db and the raw drivers.",
        epilog="python -m benchmarks kit measures what the test kit costs; python -m benchmarks deadline "
        "how late a caller is answered whose server has fallen silent; each has a --help of its own.",
    )
    defaults = ", ".join(each.name for each in BACKENDS if each.by_default)
    parser.add_argument(
        "--backend",
        action="append",
        choices=[each.name for each in BACKENDS],
        help=f"measure on this one; may be repeated (default: {defaults})",
    )
    parser.add_argument(
        "--scenario",
        action="append",
        choices=[each.name for each in SCENARIOS],
        help="measure this one; may be repeated (default: all)",
    )
    parser.add_argument("--rounds", type=positive, help="timed rounds of each scenario (default: 15, quick: 3)")
    parser.add_argument("--quick", action="store_true", help="few and short rounds: the counts are as exact as ever")
    parser.add_argument("--json", metavar="FILE", help="write the results to this file too")
    parser.add_argument(
        "--profile",
        metavar="NAME",
        choices=sorted({each.name for each in SUBJECTS}),
        help="measure nothing, and print which functions one subject calls most: "
        + ", ".join(dict.fromkeys(each.name for each in SUBJECTS)),
    )
    return parser


def _measure(
    subjects: Sequence[Subject], grounds: Grounds, scenarios: Sequence[Scenario], rounds: int, shorter: int
) -> Iterator[list[Row]]:
    """Yield the results of one scenario after the other."""
    numbers = Numbers()
    with ExitStack() as stack:
        straight = [stack.enter_context(Course(subject, grounds.straight(), numbers)) for subject in subjects]
        counting_ = [stack.enter_context(Course(subject, grounds.counting(), numbers)) for subject in subjects]
        for scenario in scenarios:
            pairs = [(one, other) for one, other in zip(straight, counting_, strict=True) if one.has(scenario.name)]
            # The traffic first: the statement that a process compiles first for a mapper stays a few calls dearer for
            # its engine than the same one compiled later, and that must not fall on whoever stands first in the table.
            traffic = [counting.count_traffic(other, scenario.name) for _, other in pairs]
            calls = [counting.count_calls(one, scenario.name) for one, _ in pairs]
            batch = max(scenario.batch // shorter, 10)
            times = timing.measure([one for one, _ in pairs], scenario.name, rounds, batch)
            yield [
                Row(
                    grounds.backend.name, grounds.version, scenario, one.subject.name, calls[at], traffic[at], times[at]
                )
                for at, (one, _) in enumerate(pairs)
            ]


def _profile(subjects: Sequence[Subject], grounds: Grounds, scenarios: Sequence[Scenario]) -> int:
    """Print the functions that a subject calls; return how many profiles that were."""
    printed = 0
    for subject in subjects:
        with Course(subject, grounds.straight(), Numbers()) as course:
            for scenario in scenarios:
                if course.has(scenario.name):
                    print(f"\n{subject.name}: {scenario.name} on {grounds.backend.name}, {counting.COUNTED} operations")
                    print(counting.top_functions(course, scenario.name, _TOP_FUNCTIONS))
                    printed += 1
    return printed
