"""The command line of ``python -m benchmarks bayer``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import document
from benchmarks.bayer import report
from benchmarks.bayer.catalogue import BY_DEFAULT, CONTENDERS, PLACES
from benchmarks.bayer.checking import NotStored
from benchmarks.bayer.measuring import Extent, measured_on
from benchmarks.bayer.scenario import SCENARIO
from benchmarks.bayer.schema import populate
from benchmarks.choice import at_hand, chosen_backends, load, pin, positive
from benchmarks.measuring import profiled
from benchmarks.places import prepared
from benchmarks.report import Row
from benchmarks.versions import versions

_TOP_FUNCTIONS = 60


def run(arguments: Sequence[str]) -> int:
    """Measure what the arguments ask for; return the exit status: 1 if nothing was, or a row was not stored."""
    options = _parser().parse_args(arguments)
    extent = Extent.quick() if options.quick else Extent(options.operations, options.counted)
    print(" | ".join(f"{name} {version}" for name, version in versions().items()))
    contenders = [each for each in CONTENDERS if not options.library or each.library in options.library]
    backends = chosen_backends(options.backend or BY_DEFAULT)
    pin()
    tables: list[list[Row]] = []
    profiles = 0
    for backend in backends:
        with prepared(backend, populate=populate) as grounds:
            subjects = at_hand(each.subject() for each in contenders)
            if options.profile:
                chosen = [each for each in subjects if each.name == options.profile]
                profiles += profiled(chosen, grounds, [SCENARIO], _TOP_FUNCTIONS)
                continue
            if not subjects:
                continue
            try:
                tables.append(measured_on(grounds, subjects, extent))
            except NotStored as error:
                print(error, file=sys.stderr)
                return 1
            print(f"\n{report.as_text(tables[-1])}\n{load()}", flush=True)
    if options.json:
        written = json.dumps(report.as_json(tables, extent.operations, extent.counted), indent=2)
        Path(options.json).write_text(written + "\n", encoding="utf-8")
    if options.rst:
        _document(options.rst, document.command_of("bayer", arguments), tables, extent)
    return 0 if tables or profiles else 1


def _document(file: str, command: str, tables: Sequence[Sequence[Row]], extent: Extent) -> None:
    notes = [
        f"{extent.operations:,} operations of each in {extent.rounds} rounds; calls counted over {extent.counted:,}."
    ]
    written = []
    for rows in tables:
        title = report.title_of(rows)
        written.append(document.table(title, report.HEADER, report.lines_of(rows)))
        written.append(
            document.table(f"{title}: beside what was published", report.BESIDE_HEADER, report.beside_published(rows))
        )
    document.write(file, command, notes, written)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks bayer",
        description="Measure Mike Bayer's operation of 2014 with dbkit, oslo.db, SQLAlchemy, Django and peewee.",
    )
    parser.add_argument(
        "--backend",
        action="append",
        choices=[each.name for each in PLACES],
        help=f"measure on this one; may be repeated (default: {', '.join(BY_DEFAULT)})",
    )
    parser.add_argument(
        "--library",
        action="append",
        choices=list(dict.fromkeys(each.library for each in CONTENDERS)),
        help="measure this one; may be repeated (default: all)",
    )
    parser.add_argument("--operations", type=positive, default=10_000, help="timed operations of each (default: 10000)")
    parser.add_argument("--counted", type=positive, default=1_000, help="operations whose calls count (default: 1000)")
    parser.add_argument("--quick", action="store_true", help="few of both: the counts are almost as exact as ever")
    parser.add_argument("--json", metavar="FILE", help="write the results to this file too")
    parser.add_argument("--rst", metavar="FILE", help="write the tables to this file, as the documentation has them")
    parser.add_argument(
        "--profile",
        metavar="NAME",
        choices=[each.name for each in CONTENDERS],
        help="measure nothing, and print which functions one calls most: "
        + ", ".join(each.name for each in CONTENDERS),
    )
    return parser
