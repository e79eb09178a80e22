"""The results, for people and for programs: each place's table, and Mike Bayer's own with today's beside it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.bayer.catalogue import CONTENDERS, DBKIT, ORM, OSLO, RAW
from benchmarks.bayer.published import PUBLISHED
from benchmarks.bayer.variants import PLAIN, VARIANTS
from benchmarks.report import Row, aligned
from benchmarks.timing import Ratio, Times, ratio
from benchmarks.versions import versions

#: What the ratios are to: the driver, and what SQLAlchemy's users write.
_BARE = f"{ORM}: {PLAIN}"

HEADER = ("", "calls for 1,000", "stmts", "trips", "wall x raw", "CPU x raw", "wall x ORM", "CPU x ORM")
BESIDE_HEADER = ("function calls for 1,000 operations", "published 2014", *(OSLO, ORM, DBKIT))


def lines_of(rows: Sequence[Row]) -> list[list[str]]:
    """Return one place's table as cells; the ratios are ``best / median``."""
    raw, bare = _named(rows, RAW), _named(rows, _BARE)
    lines = []
    for row in rows:
        trips = row.traffic.trips
        cells = [
            row.subject,
            f"{row.calls * 1000:,.0f}",
            f"{row.traffic.statements:.1f}",
            "–" if trips is None else f"{trips:.1f}",
        ]
        for base in (raw, bare):
            cells += [_cell(row, base, _wall), _cell(row, base, _cpu)]
        lines.append(cells)
    return lines


def beside_published(rows: Sequence[Row]) -> list[list[str]]:
    """Return Mike Bayer's table as cells, with three of today's libraries beside it.

    In brackets what a form takes of the calls of the same library without the eager load.
    """
    calls = {row.subject: row.calls * 1000 for row in rows}
    lines = []
    for variant in VARIANTS:
        mine = [PUBLISHED[variant].calls, *(calls.get(f"{library}: {variant}") for library in (OSLO, ORM, DBKIT))]
        plain = [PUBLISHED[PLAIN].calls, *(calls.get(f"{library}: {PLAIN}") for library in (OSLO, ORM, DBKIT))]
        cells = [_called(one, base) for one, base in zip(mine, plain, strict=True)]
        lines.append([f"{variant} ({PUBLISHED[variant].name})", *cells])
    return lines


def _called(calls: float | None, plain: float | None) -> str:
    if calls is None:
        return "–"
    return f"{calls:,.0f}" if plain is None else f"{calls:,.0f} ({calls / plain:.2f})"


def as_text(rows: Sequence[Row]) -> str:
    """Return both tables of one place as text."""
    first = rows[0]
    return "\n".join(
        [
            f"{first.backend} ({first.version}), {first.scenario.name}: {first.scenario.text}",
            *aligned([HEADER, *lines_of(rows)]),
            "",
            *aligned([BESIDE_HEADER, *beside_published(rows)]),
        ]
    )


def title_of(rows: Sequence[Row]) -> str:
    """Return what a place's table is called in the documentation."""
    return f"{rows[0].backend}, {rows[0].version}"


def as_json(tables: Sequence[Sequence[Row]], operations: int, counted: int) -> dict[str, Any]:
    """Return all tables as JSON can carry them."""
    results = []
    for rows in tables:
        raw, bare = _named(rows, RAW), _named(rows, _BARE)
        for row in rows:
            contender = next(each for each in CONTENDERS if each.name == row.subject)
            entry: dict[str, Any] = {
                "backend": row.backend,
                "server": row.version,
                "library": contender.library,
                "variant": contender.variant,
                "calls": row.calls,
                "statements": row.traffic.statements,
                "trips": row.traffic.trips,
            }
            for kind, of in (("wall", _wall), ("cpu", _cpu)):
                entry[f"{kind}_s"] = {"best": min(of(row.times)), "median": statistics.median(of(row.times))}
                for name, base in (("raw", raw), ("orm", bare)):
                    found = _ratio(row, base, of)
                    entry[f"{kind}_x_{name}"] = None if found is None else {"best": found.best, "median": found.median}
            results.append(entry)
    published = {name: {"calls_1000": each.calls, "seconds_10000": each.seconds} for name, each in PUBLISHED.items()}
    return {
        "versions": versions(),
        "operations": operations,
        "counted": counted,
        "published": published,
        "results": results,
    }


def _named(rows: Sequence[Row], name: str) -> Row | None:
    return next((row for row in rows if row.subject == name), None)


def _wall(times: Times) -> list[float]:
    return times.wall_s


def _cpu(times: Times) -> list[float]:
    return times.cpu_s


def _ratio(row: Row, base: Row | None, of: Callable[[Times], list[float]]) -> Ratio | None:
    return None if base is None else ratio(of(row.times), of(base.times))


def _cell(row: Row, base: Row | None, of: Callable[[Times], list[float]]) -> str:
    found = _ratio(row, base, of)
    return "–" if found is None else f"{found.best:.2f} / {found.median:.2f}"
