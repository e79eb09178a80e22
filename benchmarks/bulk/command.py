"""The command line of ``python -m benchmarks bulk``."""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import create_engine, text

from benchmarks.bulk.table import Base, rows
from benchmarks.bulk.ways import ways_to_read, ways_to_write
from benchmarks.choice import load, pin, positive
from benchmarks.places import BACKENDS, Grounds, prepared
from benchmarks.versions import versions
from dbkit import Database

_NAMES = ("sqlite-file", "postgresql", "postgresql-psycopg2", "mariadb")
_COUNTED = 2000


def run(arguments: Sequence[str]) -> int:
    """Measure what the arguments ask for; return the exit status."""
    options = _parser().parse_args(arguments)
    print(" | ".join(f"{name} {version}" for name, version in versions().items()))
    pin()
    for backend in BACKENDS:
        if backend.name in (options.backend or _NAMES):
            with prepared(backend, rows=1) as grounds:
                _measure(grounds, options.rows, options.rounds)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks bulk",
        description="Measure what it costs to write and read many rows, beside the raw driver and SQLAlchemy.",
    )
    parser.add_argument("--backend", action="append", choices=_NAMES, help="measure on this one; may be repeated")
    parser.add_argument("--rows", type=positive, default=20_000, help="how many rows (default: 20000)")
    parser.add_argument("--rounds", type=positive, default=5, help="rounds in which each has a turn (default: 5)")
    return parser


def _measure(grounds: Grounds, count: int, rounds: int) -> None:
    place = grounds.straight()
    engine = create_engine(place.url)
    place.watch(engine)
    database = Database(place.text, on_engine_create=[place.watch], sqlite_synchronous=False)
    Base.metadata.create_all(engine)
    given = list(rows(count))
    is_sqlite = engine.dialect.name == "sqlite"

    def empty() -> None:
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM bulk_addresses" if is_sqlite else "TRUNCATE TABLE bulk_addresses"))

    writing = {
        name: (lambda way=way, few=None: way(given if few is None else few))
        for name, way in ways_to_write(engine, database).items()
    }
    _table(grounds, f"{count} rows written", writing, rounds, count, empty, given[:_COUNTED])
    empty()
    next(iter(ways_to_write(engine, database).values()))(given)
    reading: dict[str, Callable[..., Any]] = dict(ways_to_read(engine, database))
    _table(grounds, f"{count} rows read", reading, rounds, count, lambda: None, None)
    database.dispose()
    engine.dispose()


def _table(
    grounds: Grounds,
    title: str,
    ways: dict[str, Callable[..., Any]],
    rounds: int,
    count: int,
    prepare: Callable[[], None],
    few: list[dict[str, Any]] | None,
) -> None:
    times: dict[str, list[float]] = {name: [] for name in ways}
    calls = {}
    for name, way in ways.items():
        prepare()
        calls[name] = _calls(way, few) / (count if few is None else len(few))
    for _ in range(rounds):
        for name, way in ways.items():
            prepare()
            gc.collect()
            began = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - began)
    first = next(iter(ways))
    print(f"\n{grounds.backend.name}, {grounds.version}: {title}, {rounds} rounds")
    print(f"{'':28}{'rows a second':>15}{'x ' + first:>26}{'best':>8}{'calls a row':>13}")
    for name, each in times.items():
        # each round against its own first: what else the machine did then, it did to both
        ratio = statistics.median(one / base for one, base in zip(each, times[first], strict=True))
        best = min(each) / min(times[first])
        median = statistics.median(each)
        print(f"{name:28}{count / median:15,.0f}{ratio:26.2f}{best:8.2f}{calls[name]:13.1f}")
    print(load(), flush=True)


def _calls(way: Callable[..., Any], few: list[dict[str, Any]] | None) -> int:
    """Return how many functions are called, of Python and of C."""
    count = 0

    def seen(frame: Any, what: str, argument: Any) -> None:
        nonlocal count
        count += what in ("call", "c_call")

    sys.setprofile(seen)
    try:
        way() if few is None else way(few=few)
    finally:
        sys.setprofile(None)
    return count
