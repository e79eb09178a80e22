"""The command line of ``python -m benchmarks protections``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.choice import chosen_backends, load, pin, positive
from benchmarks.driving import Course
from benchmarks.measuring import measured, profiled
from benchmarks.places import BACKENDS, prepared
from benchmarks.protections.report import as_json, as_table
from benchmarks.protections.scenarios import SCENARIOS
from benchmarks.protections.subjects import PROTECTED, subjects_for
from benchmarks.report import Row
from benchmarks.scenarios import Scenario
from benchmarks.timing import Times, measure_each
from benchmarks.versions import versions

_TOP_FUNCTIONS = 60
_COUNTED = 20
_TURN = 10


def run(arguments: Sequence[str]) -> int:
    """Measure what the arguments ask for; return the exit status: 1 if nothing could be measured."""
    options = _parser().parse_args(arguments)
    scenarios = [each for each in SCENARIOS if not options.scenario or each.name in options.scenario]
    rounds = options.rounds if options.rounds is not None else 3 if options.quick else 15
    print(" | ".join(f"{name} {version}" for name, version in versions().items()))
    # all of them: what a protection costs depends on the driver
    backends = chosen_backends(options.backend or [each.name for each in BACKENDS])
    pin()
    tables: list[list[Row]] = []
    profiles = 0
    for backend in backends:
        with prepared(backend) as grounds:
            subjects = subjects_for(backend)
            if options.profile:
                chosen = [each for each in subjects if each.name == options.profile]
                profiles += profiled(chosen, grounds, scenarios, _TOP_FUNCTIONS)
                continue
            for table in measured(subjects, grounds, scenarios, partial(_timed, rounds), _COUNTED):
                tables.append(table)
                print(f"\n{as_table(table)}\n{load()}", flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(as_json(tables, rounds), indent=2) + "\n", encoding="utf-8")
    return 0 if tables or profiles else 1


def _timed(rounds: int, courses: Sequence[Course], scenario: Scenario) -> list[Times]:
    return measure_each(courses, scenario.name, rounds, _TURN)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks protections",
        description="Measure what each protection of a writer costs, beside the same writer without it.",
    )
    parser.add_argument(
        "--backend",
        action="append",
        choices=[each.name for each in BACKENDS],
        help="measure on this one; may be repeated (default: all)",
    )
    parser.add_argument(
        "--scenario",
        action="append",
        choices=[each.name for each in SCENARIOS],
        help="measure this one; may be repeated (default: all)",
    )
    parser.add_argument("--rounds", type=positive, help="rounds of ten operations each (default: 15, quick: 3)")
    parser.add_argument("--quick", action="store_true", help="few rounds: the counts are as exact as ever")
    parser.add_argument("--json", metavar="FILE", help="write the results to this file too")
    parser.add_argument(
        "--profile",
        metavar="NAME",
        choices=[each.name for each in PROTECTED],
        help="measure nothing, and print which functions are called most with one protection: "
        + ", ".join(each.name for each in PROTECTED),
    )
    return parser
