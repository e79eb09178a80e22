"""The command line: what is measured, and where the results go."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks import deadline, timing
from benchmarks.bayer import command as bayer
from benchmarks.bulk import command as bulk
from benchmarks.bulk import memory
from benchmarks.choice import at_hand, chosen_backends, pin, positive
from benchmarks.driving import Course
from benchmarks.kit import command as kit
from benchmarks.measuring import measured, profiled
from benchmarks.places import BACKENDS, prepared
from benchmarks.protections import command as protections
from benchmarks.reads import command as reads
from benchmarks.report import Row, as_json, as_table
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.subjects.catalogue import SUBJECTS, subjects_for
from benchmarks.versions import versions

_TOP_FUNCTIONS = 40

_OTHERS: dict[str, Callable[[Sequence[str]], int]] = {
    "bayer": bayer.run,
    "bulk": bulk.run,
    "deadline": deadline.run,
    "kit": kit.run,
    "memory": memory.run,
    "protections": protections.run,
    "reads": reads.run,
}


def run(arguments: Sequence[str]) -> int:
    """Measure what the arguments ask for; return the exit status: 1 if nothing could be measured."""
    if arguments and arguments[0] in _OTHERS:
        return _OTHERS[arguments[0]](arguments[1:])
    options = _parser().parse_args(arguments)
    scenarios = [each for each in SCENARIOS if not options.scenario or each.name in options.scenario]
    rounds = options.rounds if options.rounds is not None else 3 if options.quick else 15
    print(" | ".join(f"{name} {version}" for name, version in versions().items()))
    backends = chosen_backends(options.backend)
    pin()
    rows: list[Row] = []
    profiles = 0
    for backend in backends:
        with prepared(backend) as grounds:
            subjects = at_hand(subjects_for(backend))
            if options.profile:
                chosen = [each for each in subjects if each.name == options.profile]
                profiles += profiled(chosen, grounds, scenarios, _TOP_FUNCTIONS)
                continue
            for table in measured(subjects, grounds, scenarios, partial(_timed, rounds, 5 if options.quick else 1)):
                print(f"\n{as_table(table)}", flush=True)
                rows += table
    if options.json:
        Path(options.json).write_text(json.dumps(as_json(rows, rounds), indent=2) + "\n", encoding="utf-8")
    return 0 if rows or profiles else 1


def _timed(rounds: int, shorter: int, courses: Sequence[Course], scenario: Scenario) -> list[timing.Times]:
    return timing.measure(courses, scenario.name, rounds, max(scenario.batch // shorter, 10))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure what a transaction costs with dbkit, bare SQLAlchemy, oslo.db and the raw drivers.",
        epilog="python -m benchmarks bayer measures an operation of OpenStack's beside Django and peewee too; "
        "python -m benchmarks reads the reading of many rows; python -m benchmarks protections measures what each "
        "protection of a block costs; python -m benchmarks deadline how late a caller is answered whose server has "
        "fallen silent; python -m benchmarks kit what the test kit costs; each has a --help of its own.",
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
