"""The one operation that all measure."""

from __future__ import annotations

from benchmarks.scenarios import FLOATING_IP_UPDATE, Scenario

SCENARIO = Scenario(
    FLOATING_IP_UPDATE, "find one of 10,000 addresses where not deleted, set two values, save, commit", batch=500
)
