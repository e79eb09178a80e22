"""Forming clusters, failing over and stopping them, with the time that each step takes."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TextIO

from dbkit.clock import SYSTEM_CLOCK, Clock
from dbkit.exceptions import BackendNotAvailable
from dbkit.testing.servers.galera_cluster import galera
from dbkit.testing.servers.require import pair, private, required_kinds

#: What is done, and how it is called. A name that comes twice is one step whose times are added.
Step = tuple[str, Callable[[], object]]

#: Gives the steps of one cluster; what it opens is closed with the stack.
Rehearsal = Callable[[contextlib.ExitStack], Iterator[Step]]


def pair_steps(kind: str, stack: contextlib.ExitStack) -> Iterator[Step]:
    """Yield the steps of a primary with one replica: the primary dies, the replica takes over, the old one returns."""
    both = pair(kind)
    # The first server of a kind takes the time in which its product makes an empty data folder.
    yield "first server", lambda: stack.enter_context(private(kind))
    yield "form", lambda: stack.enter_context(both)
    yield "fail over", both.primary.crash
    yield "fail over", both.promote
    yield "rejoin", both.rejoin
    yield "stop", stack.close


def galera_steps(stack: contextlib.ExitStack) -> Iterator[Step]:
    """Yield the steps of a cluster of three nodes: one dies, the others go on without it, it returns."""
    cluster = galera()
    yield "form", lambda: stack.enter_context(cluster)
    yield "node loss", cluster.nodes[-1].crash
    yield "node loss", lambda: cluster.wait_for_size(2)
    yield "rejoin", cluster.nodes[-1].rejoin
    yield "rejoin", lambda: cluster.wait_for_size(3)
    yield "partition", cluster.nodes[-1].partition
    yield "heal", cluster.nodes[-1].heal
    yield "stop", stack.close


REHEARSALS: Mapping[str, Rehearsal] = MappingProxyType(
    {"postgresql": partial(pair_steps, "postgresql"), "mysql": partial(pair_steps, "mysql"), "galera": galera_steps}
)


def rehearse(names: Sequence[str], out: TextIO, clock: Clock = SYSTEM_CLOCK) -> int:
    """Rehearse the clusters of these names, print the seconds of each step, and return the exit code.

    One that is not available is said to be so; that is a failure if ``DBKIT_TEST_REQUIRE`` names it.
    """
    required, code = required_kinds(os.environ), 0
    for name in names:
        times: dict[str, float] = {}
        try:
            with contextlib.ExitStack() as stack:
                for step, act in REHEARSALS[name](stack):
                    begun = clock.now()
                    act()
                    times[step] = times.get(step, 0.0) + clock.now() - begun
        except BackendNotAvailable as missing:
            code = max(code, int(name in required))
            print(f"{name:12} not available: {missing}", file=out)
            continue
        told = "   ".join(f"{step} {seconds:.2f} s" for step, seconds in times.items())
        print(f"{name:12} {told}", file=out, flush=True)
    return code


def main(names: Sequence[str]) -> int:
    """Rehearse these clusters, or all of them, on the standard output, and return the exit code."""
    return rehearse(names or tuple(REHEARSALS), sys.stdout)
