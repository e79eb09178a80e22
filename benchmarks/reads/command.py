"""The command line of ``python -m benchmarks reads``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks import document, timing
from benchmarks.bayer.catalogue import BY_DEFAULT, PLACES
from benchmarks.choice import at_hand, chosen_backends, load, pin, positive
from benchmarks.driving import Course
from benchmarks.measuring import measured
from benchmarks.places import Grounds, prepared
from benchmarks.reads.operations import MANY, ONE, SCENARIOS
from benchmarks.reads.schema import ROWS, populate
from benchmarks.report import RATIOS_HEADER, Row, aligned, as_json, lines_of
from benchmarks.scenarios import Scenario
from benchmarks.subjects.catalogue import Late
from benchmarks.subjects.subject import Subject, blocking
from benchmarks.timing import Times
from benchmarks.versions import versions


def _subject(name: str, file: str, function: str, *modules: str) -> Subject:
    return Subject(name, Late(file, function, "benchmarks.reads"), blocking, modules)


SUBJECTS: tuple[Subject, ...] = (
    _subject("dbkit rows", "dbkit_subjects", "open_rows"),
    _subject("dbkit lookup", "dbkit_subjects", "open_lookup"),
    _subject("dbkit lookup alone", "dbkit_subjects", "open_lookup_alone"),
    _subject("dbkit session", "dbkit_subjects", "open_session"),
    _subject("sqlalchemy orm", "sqlalchemy_subjects", "open_orm"),
    _subject("sqlalchemy core", "sqlalchemy_subjects", "open_core"),
    _subject("oslo.db", "oslo_subjects", "open_enginefacade", "oslo_db"),
    _subject("django values_list", "django_subjects", "open_django", "django"),
    _subject("peewee tuples", "peewee_subjects", "open_peewee", "peewee"),
    _subject("raw driver", "raw_subjects", "open_raw"),
)

#: By operation: what counts, what goes before, and how often each round repeats it.
_COUNTED = {MANY: 1, ONE: 1000}
_WARM_UP = {MANY: 1, ONE: 30}


def run(arguments: Sequence[str]) -> int:
    """Measure what the arguments ask for; return the exit status: 1 if nothing could be measured."""
    options = _parser().parse_args(arguments)
    rows = options.rows if not options.quick else min(options.rows, 1000)
    rounds = 2 if options.quick else options.rounds
    print(" | ".join(f"{name} {version}" for name, version in versions().items()))
    backends = chosen_backends(options.backend or BY_DEFAULT)
    pin()
    tables: list[list[Row]] = []
    for backend in backends:
        with prepared(backend, rows, populate) as grounds:
            subjects = at_hand(each for each in SUBJECTS if not options.subject or each.name in options.subject)
            for name in SCENARIOS:
                tables += _measured(subjects, grounds, name, rounds, options.quick)
                lines = [RATIOS_HEADER, *lines_of(tables[-1])] if tables[-1] else []
                print(f"\n{_title(tables[-1], rows)}\n" + "\n".join(aligned(lines)) + f"\n{load()}", flush=True)
    if options.json:
        flat = [row for table in tables for row in table]
        Path(options.json).write_text(json.dumps(as_json(flat, rounds), indent=2) + "\n", encoding="utf-8")
    if options.rst:
        command = document.command_of("reads", arguments)
        written = [document.table(_title(table, rows), RATIOS_HEADER, lines_of(table)) for table in tables]
        document.write(options.rst, command, [f"{rounds} rounds."], written)
    return 0 if any(tables) else 1


def _title(rows: Sequence[Row], count: int) -> str:
    first = rows[0]
    return f"{first.backend}, {first.version}, {count:,} rows: {first.scenario.text}"


def _measured(subjects: Sequence[Subject], grounds: Grounds, name: str, rounds: int, quick: bool) -> list[list[Row]]:
    scenario = SCENARIOS[name]
    warm_up = _WARM_UP[name]
    timed = partial(_timed, rounds, 10 if quick and name == ONE else scenario.batch, warm_up)
    counted = 10 if quick and name == ONE else _COUNTED[name]
    return list(measured(subjects, grounds, [scenario], timed, counted, min(counted, 50), warm_up))


def _timed(rounds: int, batch: int, warm_up: int, courses: Sequence[Course], scenario: Scenario) -> list[Times]:
    return timing.measure(courses, scenario.name, rounds, batch, warm_up)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks reads",
        description="Measure what it takes to read many rows, and one, with dbkit and with what others have for it.",
    )
    parser.add_argument(
        "--backend",
        action="append",
        choices=[each.name for each in PLACES],
        help=f"measure on this one; may be repeated (default: {', '.join(BY_DEFAULT)})",
    )
    parser.add_argument(
        "--subject",
        action="append",
        choices=[each.name for each in SUBJECTS],
        help="measure this one; may be repeated (default: all)",
    )
    parser.add_argument("--rows", type=positive, default=ROWS, help=f"rows of the table (default: {ROWS})")
    parser.add_argument("--rounds", type=positive, default=5, help="rounds in which each has a turn (default: 5)")
    parser.add_argument("--quick", action="store_true", help="1,000 rows and two rounds")
    parser.add_argument("--json", metavar="FILE", help="write the results to this file too")
    parser.add_argument("--rst", metavar="FILE", help="write the tables to this file, as the documentation has them")
    return parser
