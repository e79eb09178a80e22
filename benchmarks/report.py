"""The results, for people and for programs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.counting import Traffic
from benchmarks.scenarios import Scenario
from benchmarks.timing import Ratio, Times, ratio
from benchmarks.versions import versions

RAW = "raw driver"
BARE = ("sqlalchemy orm", "sqlalchemy asyncio orm")
RATIOS_HEADER = ["", "calls", "stmts", "trips", "wall x raw", "CPU x raw", "wall x bare", "CPU x bare"]


@dataclass(frozen=True, slots=True)
class Row:
    """What one subject took for one scenario on one backend."""

    backend: str
    version: str
    scenario: Scenario
    subject: str
    calls: float
    traffic: Traffic
    times: Times


def as_table(rows: Sequence[Row]) -> str:
    """Return the rows of one scenario on one backend as text; the ratios are ``best / median``."""
    first = rows[0]
    title = f"{first.backend} ({first.version}), {first.scenario.name}: {first.scenario.text}"
    return "\n".join([title, *aligned([RATIOS_HEADER, *lines_of(rows)])])


def lines_of(rows: Sequence[Row]) -> list[list[str]]:
    """Return the rows of one scenario on one backend as cells."""
    raw, bare = _named(rows, (RAW,)), _named(rows, BARE)
    lines = []
    for row in rows:
        trips = row.traffic.trips
        cells = [
            row.subject,
            f"{row.calls:.0f}",
            f"{row.traffic.statements:.1f}",
            "-" if trips is None else f"{trips:.1f}",
        ]
        for base in (raw, bare):
            cells += [_cell(row, base, _wall), _cell(row, base, _cpu)]
        lines.append(cells)
    return lines


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Return lines of cells as text, each column as wide as its widest cell."""
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    return ["  ".join(_padded(line, widths)).rstrip() for line in lines]


def _padded(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]


def _named(rows: Sequence[Row], names: Sequence[str]) -> Row | None:
    return next((row for row in rows if row.subject in names), None)


def _wall(times: Times) -> list[float]:
    return times.wall_s


def _cpu(times: Times) -> list[float]:
    return times.cpu_s


def _ratio(row: Row, base: Row | None, of: Callable[[Times], list[float]]) -> Ratio | None:
    return None if base is None else ratio(of(row.times), of(base.times))


def _cell(row: Row, base: Row | None, of: Callable[[Times], list[float]]) -> str:
    found = _ratio(row, base, of)
    return "-" if found is None else f"{found.best:.2f} / {found.median:.2f}"


def as_json(rows: Sequence[Row], rounds: int) -> dict[str, Any]:
    """Return all rows with the seconds behind their ratios, as JSON can carry them."""
    results = []
    for row in rows:
        peers = [each for each in rows if each.backend == row.backend and each.scenario is row.scenario]
        entry: dict[str, Any] = {
            "backend": row.backend,
            "server": row.version,
            "scenario": row.scenario.name,
            "subject": row.subject,
            "calls": row.calls,
            "statements": row.traffic.statements,
            "trips": row.traffic.trips,
        }
        for kind, of in (("wall", _wall), ("cpu", _cpu)):
            entry[f"{kind}_s"] = {"best": min(of(row.times)), "median": statistics.median(of(row.times))}
            for name, base in (("raw", _named(peers, (RAW,))), ("bare", _named(peers, BARE))):
                found = _ratio(row, base, of)
                entry[f"{kind}_x_{name}"] = None if found is None else {"best": found.best, "median": found.median}
        results.append(entry)
    return {"versions": versions(), "rounds": rounds, "results": results}
