"""The command line of ``python -m benchmarks bulk``."""

from __future__ import annotations

import argparse
import contextlib
import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import create_engine, text

from benchmarks import document
from benchmarks.bulk.asyncio_ways import Loop
from benchmarks.bulk.table import Base, rows
from benchmarks.bulk.ways import DBKIT, ways_to_read, ways_to_write
from benchmarks.choice import chosen_backends, load, pin, positive
from benchmarks.places import Grounds, prepared
from benchmarks.versions import versions
from dbkit import Database

_NAMES = ("sqlite-file", "postgresql", "postgresql-psycopg2", "postgresql-asyncpg", "mariadb")
_COUNTED = 2000
_HEADER = ("", "rows a second", "x raw, median", "x raw, best", "CPU x raw, best", "calls a row")

#: The lines of a table, without its header.
Lines = list[tuple[str, ...]]


def run(arguments: Sequence[str]) -> int:
    """Measure what the arguments ask for; return the exit status: 1 if nothing could be measured."""
    options = _parser().parse_args(arguments)
    print(" | ".join(f"{name} {version}" for name, version in versions().items()))
    backends = chosen_backends(options.backend or _NAMES)
    pin()
    tables: list[tuple[str, Lines]] = []
    for backend in backends:
        with prepared(backend, rows=1) as grounds:
            for title, lines in _measured(grounds, options.rows, options.rounds):
                tables.append((title, lines))
                print(
                    f"\n{title}\n" + "\n".join(_aligned(line) for line in [_HEADER, *lines]) + f"\n{load()}", flush=True
                )
    if options.rst:
        command = document.command_of("bulk", arguments)
        written = [document.table(title, _HEADER, lines) for title, lines in tables]
        document.write(options.rst, command, [f"{options.rounds} rounds."], written)
    return 0 if tables else 1


def _aligned(line: Sequence[str]) -> str:
    return f"{line[0]:34}" + "".join(f"{each:>17}" for each in line[1:])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks bulk",
        description="Measure what it costs to write and read many rows, beside the raw driver, SQLAlchemy and oslo.db.",
    )
    parser.add_argument("--backend", action="append", choices=_NAMES, help="measure on this one; may be repeated")
    parser.add_argument("--rows", type=positive, default=20_000, help="how many rows (default: 20000)")
    parser.add_argument("--rounds", type=positive, default=5, help="rounds in which each has a turn (default: 5)")
    parser.add_argument("--rst", metavar="FILE", help="write the tables to this file, as the documentation has them")
    return parser


def _measured(grounds: Grounds, count: int, rounds: int) -> Iterator[tuple[str, Lines]]:
    place = grounds.straight()
    is_asyncio = grounds.backend.is_asyncio
    engine = create_engine(place.url.set(drivername="postgresql+psycopg") if is_asyncio else place.url)
    place.watch(engine)
    database = Database(place.text, on_engine_create=[place.watch], sqlite_synchronous=False)
    Base.metadata.create_all(engine)
    given = list(rows(count))
    is_sqlite = engine.dialect.name == "sqlite"

    def empty() -> None:
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM bulk_addresses" if is_sqlite else "TRUNCATE TABLE bulk_addresses"))

    with contextlib.ExitStack() as stack:
        stack.callback(engine.dispose)
        stack.callback(database.dispose)
        if is_asyncio:
            loop = Loop(place)
            stack.callback(loop.close)
            writing, reading = loop.ways_to_write(), loop.ways_to_read()
        else:
            writing, reading = ways_to_write(place, engine, database), ways_to_read(place, engine, database)
        named = f"{grounds.backend.name}, {grounds.version}: {count:,} rows"
        writes = {name: (lambda few=None, way=way: way(given if few is None else few)) for name, way in writing.items()}
        yield f"{named} written", _lines(writes, rounds, count, empty, given[:_COUNTED])
        empty()
        writing[DBKIT](given)
        yield f"{named} read", _lines(dict(reading), rounds, count, lambda: None, None)


def _lines(
    ways: Mapping[str, Callable[..., Any]],
    rounds: int,
    count: int,
    prepare: Callable[[], None],
    few: list[dict[str, Any]] | None,
) -> Lines:
    times: dict[str, list[float]] = {name: [] for name in ways}
    used: dict[str, list[float]] = {name: [] for name in ways}
    calls = {}
    for name, way in ways.items():
        for _ in range(2):  # once, so that what is made once is no part of it
            prepare()
            calls[name] = _calls(way, few) / (count if few is None else len(few))
    names = list(ways)
    for turn in range(rounds):
        for step in range(len(names)):
            name = names[(turn + step) % len(names)]
            prepare()
            gc.collect()
            began, began_to_use = time.perf_counter(), time.process_time()
            ways[name]()
            times[name].append(time.perf_counter() - began)
            used[name].append(time.process_time() - began_to_use)
    first = times[names[0]]
    found: Lines = []
    for name, each in times.items():
        # each round against its own first: what else the machine did then, it did to both
        median = statistics.median(one / base for one, base in zip(each, first, strict=True))
        speed = f"{count / statistics.median(each):,.0f}"
        best, processor = min(each) / min(first), min(used[name]) / min(used[names[0]])
        found.append((name, speed, f"{median:.2f}", f"{best:.2f}", f"{processor:.2f}", f"{calls[name]:.1f}"))
    return found


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
