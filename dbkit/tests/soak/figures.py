"""What a run has shown: figures, and what is wrong about them."""

from __future__ import annotations

import time
from typing import Any


class Figures:
    """The figures of one run, and its verdict.

    :param name: of the workload and its protections.
    :param must_break: the figure that must be wrong, in a control: it runs without protection, and a run that cannot
        fail proves nothing.
    """

    def __init__(self, name: str, where: str, seed: int, *, must_break: str | None = None) -> None:
        self.name = name
        self.where = where
        self.seed = seed
        self.must_break = must_break
        self.counts: dict[str, Any] = {}
        self.damage: list[str] = []
        self.broken: set[str] = set()
        self._began = time.monotonic()
        self._took: float | None = None

    def end(self) -> None:
        """Stop the clock."""
        self._took = time.monotonic() - self._began

    def expect(self, what: str, wanted: Any, found: Any) -> None:
        """Count what was found; anything else than what was wanted is damage."""
        self.counts[what] = found
        if wanted != found:
            self.broken.add(what)
            self.damage.append(f"{what}: {found} and not {wanted}")

    def report(self, what: str, found: Any) -> None:
        """Count something that may be anything."""
        self.counts[what] = found

    @property
    def is_right(self) -> bool:
        """Whether nothing was damaged, or in a control what had to be."""
        return not self.damage if self.must_break is None else self.must_break in self.broken

    def __str__(self) -> str:
        told = ", ".join(f"{what} {found}" for what, found in self.counts.items())
        took = "" if self._took is None else f", {self._took:.1f} s"
        verdict = "ok" if self.is_right else "FAILED"
        if self.must_break is not None:
            verdict += f" (control: {'damaged' if self.is_right else 'NOT DAMAGED'})"
        return f"{self.name:<34} {self.where:<28} seed {self.seed}: {told}{took}: {verdict}"

    def raise_if_wrong(self) -> None:
        """Do nothing if the run went as it should.

        :raises AssertionError: it did not; the text has the figures.
        """
        if not self.is_right:
            raise AssertionError("\n    ".join([str(self), *self.damage]))
