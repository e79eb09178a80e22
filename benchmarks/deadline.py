"""How late a caller is answered whose server has fallen silent: ``python -m benchmarks deadline``.

A proxy stops passing anything on, at one point of the protocol, and a block with a deadline meets it. What is measured
is how much later than the deadline control returns. Without a deadline it would not return at all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import URL

import dbkit
from benchmarks.choice import positive
from benchmarks.report import aligned
from benchmarks.subjects.catalogue import missing
from benchmarks.versions import versions
from dbkit.exceptions import BackendNotAvailable, CommitUnknown, DBError, DeadlineExceeded
from dbkit.testing import faults, servers

PROMISE_S = 0.1
"""Control returns no later than this after the deadline."""

_GIVE_UP_S = 5.0
"""Where control does not return, the proxy lets go after so long, and the figure shows it."""

_POINTS = {
    "connect": faults.before("connect"),
    "ping": faults.before("ping"),
    "execute": faults.before(re.compile("AS marked")),
    "COMMIT": faults.before("COMMIT"),
}
_DATABASES = {"postgresql": "postgres", "mysql": "mysql"}


@dataclass(frozen=True, slots=True)
class _Driver:
    server: str
    name: str
    module: str
    is_asyncio: bool = False

    def __str__(self) -> str:
        return f"{self.server} {self.name}{' asyncio' if self.is_asyncio else ''}"


_DRIVERS = (
    _Driver("postgresql", "psycopg", "psycopg"),
    _Driver("postgresql", "psycopg", "psycopg", True),
    _Driver("postgresql", "psycopg2", "psycopg2"),
    _Driver("postgresql", "asyncpg", "asyncpg", True),
    _Driver("mysql", "pymysql", "pymysql"),
    _Driver("mysql", "mysqldb", "MySQLdb"),
    _Driver("mysql", "asyncmy", "asyncmy", True),
    _Driver("mysql", "aiomysql", "aiomysql", True),
)


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of one driver at one point, in milliseconds after the deadline."""

    driver: str
    point: str
    median_ms: float
    worst_ms: float
    errors: list[str]

    @property
    def is_met(self) -> bool:
        """Whether control came back in time, each time, with an error that says why."""
        expected = CommitUnknown if self.point == "COMMIT" else DeadlineExceeded
        return self.worst_ms <= PROMISE_S * 1000 and self.errors == [expected.__name__]


def run(arguments: Sequence[str]) -> int:
    """Measure what the arguments ask for; return the exit status: 1 if the promise was not met."""
    options = _parser().parse_args(arguments)
    print(" | ".join(f"{name} {version}" for name, version in versions().items()))
    rows: list[Row] = []
    for driver in _DRIVERS:
        if options.driver and driver.name not in options.driver:
            continue
        if missing((driver.module,)):
            print(f"left out: {driver}: it is not installed")
            continue
        try:
            server = servers.obtain(driver.server)
        except BackendNotAvailable as error:
            print(f"left out: {driver}: {error}")
            continue
        with faults.proxy(server) as proxy:
            url = proxy.url(driver.name, _DATABASES[driver.server])
            for point in options.point or _POINTS:
                rows.append(_measured(driver, url, proxy, point, options.rounds, options.seconds))
    print(as_table(rows))
    if options.json:
        Path(options.json).write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")
    return 0 if rows and all(row.is_met for row in rows) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks deadline",
        description="Measure how late a caller is answered whose server has fallen silent.",
    )
    names = sorted({each.name for each in _DRIVERS})
    parser.add_argument("--driver", action="append", choices=names, help="measure this one; may be repeated")
    parser.add_argument("--point", action="append", choices=list(_POINTS), help="measure here; may be repeated")
    parser.add_argument("--rounds", type=positive, default=5, help="how often each is measured (default: 5)")
    parser.add_argument("--seconds", type=float, default=0.5, help="the blocks' deadline (default: 0.5)")
    parser.add_argument("--json", metavar="FILE", help="write the results to this file too")
    return parser


def as_table(rows: Sequence[Row]) -> str:
    """Return the rows as text."""
    lines = [["after the deadline, ms", "point", "median", "worst", "", "error"]]
    for row in rows:
        verdict = "met" if row.is_met else "NOT MET"
        lines.append(
            [row.driver, row.point, f"{row.median_ms:.0f}", f"{row.worst_ms:.0f}", verdict, ", ".join(row.errors)]
        )
    return "\n".join(aligned(lines))


def _measured(driver: _Driver, url: URL, proxy: faults.Proxy, point: str, rounds: int, seconds: float) -> Row:
    found: list[tuple[float, str]] = []
    database = dbkit.Database(url, pool_pre_ping_idle=0 if point == "ping" else 3600, max_retries=0)
    meet = _meet_in_asyncio if driver.is_asyncio else _meet
    meet(database, proxy, point, rounds, seconds, lambda late_s, error: found.append((late_s, error)))
    late = [each for each, _ in found]
    errors = sorted({error for _, error in found})
    return Row(str(driver), point, statistics.median(late) * 1000, max(late) * 1000, errors)


_Note = Callable[[float, str], Any]
_MARKED = text("SELECT 4711 AS marked")


def _meet(database: dbkit.Database, proxy: faults.Proxy, point: str, rounds: int, seconds: float, note: _Note) -> None:
    for _ in range(rounds):
        with database.writer() as session:
            session.execute(text("SELECT 1"))
        if point == "connect":
            database.dispose()
        with _Silence(proxy, point) as silence:
            try:
                with database.writer.deadline(seconds)() as session:
                    silence.begin(seconds)
                    session.execute(_MARKED)
            except DBError as error:
                note(silence.late_s(), type(error).__name__)
            else:
                note(silence.late_s(), "none")
    database.dispose()


def _meet_in_asyncio(
    database: dbkit.Database, proxy: faults.Proxy, point: str, rounds: int, seconds: float, note: _Note
) -> None:
    async def meet() -> None:
        for _ in range(rounds):
            async with database.writer() as session:
                await session.execute(text("SELECT 1"))
            if point == "connect":
                await database.adispose()
            with _Silence(proxy, point) as silence:
                try:
                    async with database.writer.deadline(seconds)() as session:
                        silence.begin(seconds)
                        await session.execute(_MARKED)
                except DBError as error:
                    note(silence.late_s(), type(error).__name__)
                else:
                    note(silence.late_s(), "none")
        await database.adispose()

    asyncio.run(meet())


class _Silence:
    """A server that falls silent at a point, until the end of the ``with`` block."""

    def __init__(self, proxy: faults.Proxy, point: str) -> None:
        self._proxy = proxy
        self._point = point
        self._end = 0.0
        self._release = threading.Timer(_GIVE_UP_S, proxy.cut_all)

    def __enter__(self) -> _Silence:
        self._fault = self._proxy.freeze(_POINTS[self._point])
        self._release.start()
        return self

    def begin(self, seconds: float) -> None:
        """The block has begun, and with it its time."""
        self._end = time.monotonic() + seconds

    def late_s(self) -> float:
        """Return how much later than the deadline it is."""
        return time.monotonic() - self._end

    def __exit__(self, *error: object) -> None:
        self._release.cancel()
        self._fault.remove()
        self._proxy.cut_all()
