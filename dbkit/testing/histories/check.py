"""The check of a history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dbkit.testing.histories.anomalies import Anomaly, Level
from dbkit.testing.histories.cycles import circles
from dbkit.testing.histories.findings import Finding
from dbkit.testing.histories.graph import Graph, ties_of
from dbkit.testing.histories.history import History
from dbkit.testing.histories.order import facts_of, faults_of_lists, faults_within


@dataclass(frozen=True, slots=True)
class Report:
    """What a history shows, and whether the level allows it.

    :ivar findings: all that was found, allowed or not.
    """

    history: History
    level: Level
    findings: Sequence[Finding]

    @property
    def anomalies(self) -> frozenset[Anomaly]:
        """What was found."""
        return frozenset(each.anomaly for each in self.findings)

    @property
    def forbidden(self) -> Sequence[Finding]:
        """What was found although the level forbids it."""
        return [each for each in self.findings if not self.level.allows(each.anomaly)]

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found that the level forbids."""
        return not self.forbidden

    def __str__(self) -> str:
        if self.is_sound:
            return f"{self.history!r} is {self.level.value}"
        told = "\n".join(str(each) for each in self.forbidden)
        return f"{self.history!r} is not {self.level.value}:\n{told}"

    def raise_if_broken(self) -> None:
        """Do nothing if the history keeps what the level promises.

        :raises AssertionError: it does not; the text names each anomaly and what the transactions did.
        """
        if not self.is_sound:
            raise AssertionError(str(self))


def check(history: History, level: Level = Level.SERIALIZABLE) -> Report:
    """Return what a history shows.

    A transaction with an unknown end counts as committed if anybody has read an append of it, and as never run if
    nobody has.

    The time that it takes grows with the number of elements that were read; only where there are circles, with their
    number too.

    .. versionadded:: 0.1
    """
    facts = facts_of(history)
    findings = [*faults_of_lists(facts), *faults_within(history.transactions)]
    is_timed = level is Level.STRICT_SERIALIZABLE
    graph = Graph(ties_of(history, facts, real_time=is_timed))
    return Report(history, level, [*findings, *circles(graph, history.transactions)])
