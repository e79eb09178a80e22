"""The results, for people and for programs, and whether they meet what the kit promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.counting import Traffic
from benchmarks.kit.contenders import BARE, BARE_OF, CLONED, OSLO_REBUILT, ROLLBACK
from benchmarks.kit.operations import TEST
from benchmarks.kit.timing import Times
from benchmarks.report import aligned
from benchmarks.versions import versions

ROLLBACK_MS = 2.0
"""What ``rollback`` may add to a test."""

CLONE_FACTOR = 2.0
"""How many times as long as the clone oslo.db's way must take on PostgreSQL."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one contender took on one backend.

    :ivar traffic: None where it is not counted.
    """

    backend: str
    version: str
    operation: str
    subject: str
    times: Times
    traffic: Traffic | None


@dataclass(frozen=True, slots=True)
class Target:
    """A promise, and what was measured of it.

    :ivar median: the measured value, from the medians; ``quartile`` is the same from the lower quartiles.
    """

    text: str
    unit: str
    backend: str
    median: float
    quartile: float
    is_met: bool

    def __str__(self) -> str:
        verdict = "met" if self.is_met else "NOT MET"
        return f"target: {self.text}: {self.median:.2f} {self.unit} (lower quartiles: {self.quartile:.2f}): {verdict}"


def _median(row: Row) -> float:
    return row.times.median_s * 1000


def _quartile(row: Row) -> float:
    return row.times.quartile_s * 1000


def _base(row: Row, rows: Sequence[Row]) -> Row | None:
    """Return what the row is measured against: the library's bare test, or the clone."""
    name = BARE_OF[row.subject] if row.operation == TEST else CLONED
    return _named(rows, name)


def _named(rows: Sequence[Row], name: str) -> Row | None:
    return next((row for row in rows if row.subject == name), None)


def as_table(rows: Sequence[Row]) -> str:
    """Return the rows of one operation on one backend as text."""
    first = rows[0]
    is_test = first.operation == TEST
    compared = ("added", "x rollback") if is_test else ("x clone",)
    lines = [["", "median ms", "lower quartile", *compared, "runs", "stmts", "trips"]]
    for row in rows:
        cells = [row.subject, f"{_median(row):.2f}", f"{_quartile(row):.2f}"]
        base = _base(row, rows)
        if is_test:
            cells.append("-" if base is None or base is row else f"{_median(row) - _median(base):.2f}")
            base = _named(rows, ROLLBACK)
        cells.append("-" if base is None else f"{_median(row) / _median(base):.2f}")
        cells += [str(len(row.times.wall_s)), *_traffic(row.traffic)]
        lines.append(cells)
    what = "one test" if is_test else "one database of sixty tables"
    targets = [str(each) for each in targets_of(rows)]
    return "\n".join([f"{first.backend} ({first.version}), {what}", *aligned(lines), *targets])


def _traffic(traffic: Traffic | None) -> tuple[str, str]:
    if traffic is None:
        return "-", "-"
    return f"{traffic.statements:.1f}", "-" if traffic.trips is None else f"{traffic.trips:.1f}"


def targets_of(rows: Sequence[Row]) -> Iterator[Target]:
    """Yield the promises that concern the rows of one operation on one backend."""
    backend = rows[0].backend
    bare, rolled = _named(rows, BARE), _named(rows, ROLLBACK)
    if bare is not None and rolled is not None:
        added = _compared(lambda of: of(rolled) - of(bare))
        text = f"rollback adds at most {ROLLBACK_MS:g} ms to the test"
        yield Target(text, "ms", backend, *added, is_met=added[0] <= ROLLBACK_MS)
    cloned, rebuilt = _named(rows, CLONED), _named(rows, OSLO_REBUILT)
    if backend == "postgresql" and cloned is not None and rebuilt is not None:
        times = _compared(lambda of: of(rebuilt) / of(cloned))
        text = f"oslo.db's way takes at least {CLONE_FACTOR:g} times as long as a clone"
        yield Target(text, "times", backend, *times, is_met=times[0] >= CLONE_FACTOR)


def _compared(compare: Callable[[Callable[[Row], float]], float]) -> tuple[float, float]:
    return compare(_median), compare(_quartile)


def as_json(tables: Sequence[Sequence[Row]], rounds: int) -> dict[str, Any]:
    """Return all tables as JSON can carry them."""
    results, targets = [], []
    for rows in tables:
        for row in rows:
            base = _base(row, rows)
            results.append(
                {
                    "backend": row.backend,
                    "server": row.version,
                    "operation": row.operation,
                    "subject": row.subject,
                    "median_ms": _median(row),
                    "lower_quartile_ms": _quartile(row),
                    "runs": len(row.times.wall_s),
                    "base": None if base is None else base.subject,
                    "added_ms": None if base is None else _median(row) - _median(base),
                    "ratio": None if base is None else _median(row) / _median(base),
                    "statements": None if row.traffic is None else row.traffic.statements,
                    "trips": None if row.traffic is None else row.traffic.trips,
                }
            )
        for target in targets_of(rows):
            targets.append(
                {
                    "target": target.text,
                    "backend": target.backend,
                    "unit": target.unit,
                    "median": target.median,
                    "lower_quartile": target.quartile,
                    "is_met": target.is_met,
                }
            )
    return {"versions": versions(), "rounds": rounds, "results": results, "targets": targets}
