"""The prices, for people and for programs: each row beside that of the same block without protections."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.report import Row, aligned
from benchmarks.timing import ratio
from benchmarks.versions import versions


def as_table(rows: Sequence[Row]) -> str:
    """Return the rows of one scenario on one backend as text; the ratios to the first are ``best / median``."""
    off = rows[0]
    lines = [["", "calls", "added", "stmts", "added", "trips", "added", "wall x off", "CPU x off"]]
    for row in rows:
        wall, cpu = ratio(row.times.wall_s, off.times.wall_s), ratio(row.times.cpu_s, off.times.cpu_s)
        trips, before = row.traffic.trips, off.traffic.trips
        lines.append(
            [
                row.subject,
                *_pair(row.calls, off.calls, 0),
                *_pair(row.traffic.statements, off.traffic.statements, 1),
                *(("-", "-") if trips is None or before is None else _pair(trips, before, 1)),
                f"{wall.best:.2f} / {wall.median:.2f}",
                f"{cpu.best:.2f} / {cpu.median:.2f}",
            ]
        )
    title = f"{off.backend} ({off.version}), {off.scenario.name}: {off.scenario.text}"
    return "\n".join([title, *aligned(lines)])


def _pair(value: float, before: float, digits: int) -> tuple[str, str]:
    added = round(value, digits) - round(before, digits)
    return f"{value:.{digits}f}", f"{added:+.{digits}f}" if added else "0"


def as_json(tables: Sequence[Sequence[Row]], rounds: int) -> dict[str, Any]:
    """Return all tables as JSON can carry them."""
    results = []
    for rows in tables:
        off = rows[0]
        for row in rows:
            entry: dict[str, Any] = {
                "backend": row.backend,
                "server": row.version,
                "scenario": row.scenario.name,
                "protection": row.subject,
                "calls": row.calls,
                "statements": row.traffic.statements,
                "trips": row.traffic.trips,
            }
            for kind, these, base in (
                ("wall", row.times.wall_s, off.times.wall_s),
                ("cpu", row.times.cpu_s, off.times.cpu_s),
            ):
                found = ratio(these, base)
                entry[f"{kind}_s"] = {"best": min(these), "median": statistics.median(these)}
                entry[f"{kind}_x_off"] = {"best": found.best, "median": found.median}
            results.append(entry)
    return {"versions": versions(), "rounds": rounds, "results": results}
