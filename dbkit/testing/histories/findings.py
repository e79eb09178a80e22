"""One thing that was found, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dbkit.testing.histories.anomalies import Anomaly
from dbkit.testing.histories.history import Transaction


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a history shows.

    :ivar transactions: those that it concerns, in the order of the circle if it is one.
    :ivar text: what they did to each other.
    """

    anomaly: Anomaly
    transactions: Sequence[Transaction]
    text: str

    def __str__(self) -> str:
        told = "".join(f"\n    {each.told}" for each in self.transactions)
        return f"{self.anomaly.value} ({self.anomaly.name.lower().replace('_', ' ')}): {self.text}{told}"
