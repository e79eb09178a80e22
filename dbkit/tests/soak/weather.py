"""The faults of a run: where they strike, how, and how often."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence

from dbkit.testing.faults import Fault, Proxy, after, before, during

#: How late a COMMIT arrives that its client has been parted from.
LATE_S = 0.05

#: Where a transaction's connection can be lost before it is ended, as a proxy's points have it.
STATEMENTS = ("SELECT", "UPDATE", "INSERT")

#: The same where there are savepoints.
NESTED = ("SAVEPOINT", "RELEASE", "ROLLBACK TO", "INSERT", "UPDATE")


@contextlib.contextmanager
def commits_are_lost(proxy: Proxy, seed: int, chance: float) -> Iterator[Sequence[Fault]]:
    """Cut COMMIT before, after, in the middle of its reply, and late, each with the chance."""
    seeds = random.Random(seed)

    def lucky() -> dict[str, float | int | None]:
        return {"times": None, "probability": chance, "seed": seeds.randrange(1 << 32)}

    found = [
        proxy.cut(before("COMMIT"), **lucky()),
        proxy.cut(after("COMMIT"), **lucky()),
        proxy.cut(during("COMMIT", bytes=seeds.randrange(1, 11)), **lucky()),
        proxy.abandon(before("COMMIT"), seconds=LATE_S, **lucky()),
    ]
    yield found
    for fault in found:
        fault.remove()


@contextlib.contextmanager
def statements_are_lost(
    proxy: Proxy, seed: int, chance: float, verbs: Sequence[str] = STATEMENTS
) -> Iterator[Sequence[Fault]]:
    """Cut the connection before and after statements, each with the chance."""
    seeds = random.Random(seed)
    found = [
        proxy.cut(point(verb), times=None, probability=chance, seed=seeds.randrange(1 << 32))
        for verb in verbs
        for point in (before, after)
    ]
    yield found
    for fault in found:
        fault.remove()


def fired(faults: Sequence[Fault]) -> int:
    """Return how often they have struck."""
    return sum(fault.fired for fault in faults)
