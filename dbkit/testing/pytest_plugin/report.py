"""What is said at the end of a run: the backends that were used, and why others were not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest


class Tally:
    """What happened to the backends in this process, and in the worker processes that have told it."""

    def __init__(self) -> None:
        self._tests: Counter[str] = Counter()
        self._products: dict[str, str] = {}
        self._seconds: dict[str, list[float]] = {}
        self._reasons: dict[str, str] = {}

    def used(self, backend: str) -> None:
        """Count a test."""
        self._tests[backend] += 1

    def provided(self, backend: str, product: str, template_s: float, database_s: float) -> None:
        """Note which product it is, and how long its template and its database took to make."""
        self._products[backend] = product
        known = self._seconds.get(backend, [0.0, 0.0])
        self._seconds[backend] = [max(known[0], template_s), max(known[1], database_s)]

    def skipped(self, backend: str, reason: str) -> None:
        """Note why tests were skipped."""
        self._reasons[backend] = reason

    def to_wire(self) -> dict[str, Any]:
        """Return what :meth:`add` understands, of plain types."""
        return {
            "tests": dict(self._tests),
            "products": self._products,
            "seconds": self._seconds,
            "reasons": self._reasons,
        }

    def add(self, told: Mapping[str, Any]) -> None:
        """Add what a worker process has seen."""
        self._tests.update(told["tests"])
        self._reasons.update(told["reasons"])
        for backend, (template_s, database_s) in told["seconds"].items():
            self.provided(backend, told["products"][backend], template_s, database_s)

    def lines(self) -> Iterator[str]:
        """Yield what there is to say, a line for each backend."""
        for backend in sorted({*self._tests, *self._seconds, *self._reasons}):
            if backend in self._tests:
                count = "1 test" if self._tests[backend] == 1 else f"{self._tests[backend]} tests"
                template_s, database_s = self._seconds.get(backend, (0.0, 0.0))
                yield (
                    f"{self._products.get(backend, backend)}: {count}; its template was ready after "
                    f"{template_s:.2f} s, a copy of it after {database_s:.2f} s"
                )
            if backend in self._reasons:
                yield f"{backend}: skipped: {self._reasons[backend]}"


_STASHED = pytest.StashKey[Tally]()


def tally_of(config: pytest.Config) -> Tally:
    """Return the tally of this process."""
    return config.stash.setdefault(_STASHED, Tally())
