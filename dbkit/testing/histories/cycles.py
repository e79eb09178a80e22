"""The name of a circle, by the kinds of edges that it needs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from dbkit.testing.histories.anomalies import Anomaly
from dbkit.testing.histories.findings import Finding
from dbkit.testing.histories.graph import Edge, Graph, Tie
from dbkit.testing.histories.history import Transaction

_WRITES = frozenset({Tie.WW})
_READS = frozenset({Tie.WW, Tie.WR})
_ALL = frozenset({Tie.WW, Tie.WR, Tie.RW})
_TIMED = frozenset(Tie)

#: In a knot in which none of so many edges closes a circle of a kind, the search for that kind ends.
_TRIES = 10_000


def _count(edges: Sequence[Edge], tie: Tie) -> int:
    return sum(edge.tie is tie for edge in edges)


def _is_adjacent(edges: Sequence[Edge]) -> bool:
    """Return whether two reads of replaced states follow each other."""
    ring = [*edges, edges[0]]
    return any(one.tie is other.tie is Tie.RW for one, other in zip(ring, ring[1:], strict=False))


# In the order of their weight. Each has: the edges that a knot is made of, the edge that a circle begins with, the
# edges by which it goes on, those that may not follow each other, and what the circle must be beyond that. Whatever
# circle a knot has, its shortest one from any edge has one of these names.
_KINDS: Sequence[
    tuple[Anomaly, Collection[Tie], Tie, Collection[Tie], Collection[Tie], Callable[[Sequence[Edge]], bool]]
] = (
    (Anomaly.DIRTY_WRITE, _WRITES, Tie.WW, _WRITES, (), lambda edges: True),
    (Anomaly.CIRCULAR_INFORMATION_FLOW, _READS, Tie.WR, _READS, (), lambda edges: True),
    (Anomaly.READ_SKEW, _ALL, Tie.RW, _READS, (), lambda edges: True),
    (Anomaly.LONG_FORK, _ALL, Tie.RW, _ALL, (Tie.RW,), lambda edges: _count(edges, Tie.RW) > 1),
    (Anomaly.WRITE_SKEW, _ALL, Tie.RW, _ALL, (), _is_adjacent),
    (Anomaly.REAL_TIME, _TIMED, Tie.REAL_TIME, _TIMED, (), lambda edges: True),
)


def circles(graph: Graph, transactions: Sequence[Transaction]) -> Iterator[Finding]:
    """Yield one circle of each kind for each knot."""
    by_number: Mapping[int, Transaction] = {each.number: each for each in transactions}
    for anomaly, knotted, first, ties, lone, is_one in _KINDS:
        for knot in graph.knots(knotted):
            for number, start in enumerate(graph.edges((first,), knot)):
                if number == _TRIES:
                    break
                edges = graph.way(start, ties, knot, lone)
                if edges is not None and is_one(edges):
                    text = ", ".join(map(str, edges))
                    yield Finding(anomaly, [by_number[edge.source] for edge in edges], text)
                    break
