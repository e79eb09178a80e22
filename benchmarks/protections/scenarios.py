"""The writers that are measured with each protection: two that store something, and two that do not."""

from __future__ import annotations

from benchmarks import scenarios
from benchmarks.scenarios import Scenario

FLOATING_IP_READ = "floating-ip-read"

_KNOWN = {each.name: each for each in scenarios.SCENARIOS}

#: In the order of the tables.
SCENARIOS: tuple[Scenario, ...] = (
    _KNOWN[scenarios.SELECT_WRITER],
    Scenario(FLOATING_IP_READ, "a writer that only selects one of 10,000 by address where not deleted", 100),
    _KNOWN[scenarios.UPDATE],
    _KNOWN[scenarios.FLOATING_IP_UPDATE],
)
