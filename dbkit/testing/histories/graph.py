"""Which transaction must have come before which, and where that runs in a circle."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dbkit.testing.histories.history import History, Transaction
from dbkit.testing.histories.operations import Key, Kind
from dbkit.testing.histories.order import KeyFacts


class Tie(enum.Enum):
    """Why one transaction comes before another."""

    WW = "ww"
    """The other's append lies behind its own."""
    WR = "wr"
    """The other read its append."""
    RW = "rw"
    """It read a state that the other's append replaced."""
    REAL_TIME = "rt"
    """It had ended before the other began."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One transaction comes before another.

    :ivar why: in words; empty for real time.
    """

    tie: Tie
    source: int
    target: int
    why: str = ""

    def __str__(self) -> str:
        return f"T{self.source} -{self.tie.value}{self.why and f' {self.why}'}-> T{self.target}"


class Graph:
    """Transactions by number, and what comes before what. Two of them may be tied in several ways."""

    def __init__(self, edges: Iterable[Edge]) -> None:
        self._out: dict[int, list[Edge]] = {}
        seen: set[tuple[Tie, int, int]] = set()
        for edge in edges:
            mark = (edge.tie, edge.source, edge.target)
            if edge.source != edge.target and mark not in seen:
                seen.add(mark)
                self._out.setdefault(edge.source, []).append(edge)

    def edges(self, ties: Collection[Tie], among: Collection[int] | None = None) -> Iterator[Edge]:
        """Yield the edges of some kinds, between some transactions if they are named."""
        for source in self._out if among is None else among:
            yield from self.leaving(source, ties, among)

    def leaving(self, source: int, ties: Collection[Tie], among: Collection[int] | None = None) -> Iterator[Edge]:
        """Yield the edges that leave a transaction."""
        for edge in self._out.get(source, ()):
            if edge.tie in ties and (among is None or edge.target in among):
                yield edge

    def knots(self, ties: Collection[Tie], among: Collection[int] | None = None) -> Iterator[frozenset[int]]:
        """Yield the sets in which each transaction can be reached from each: Tarjan's algorithm, without recursion."""
        index: dict[int, int] = {}
        low: dict[int, int] = {}
        stack: list[int] = []
        standing: set[int] = set()
        for root in list(self._out) if among is None else sorted(among):
            if root in index:
                continue
            work = [(root, self.leaving(root, ties, among))]
            index[root] = low[root] = len(index)
            stack.append(root)
            standing.add(root)
            while work:
                node, edges = work[-1]
                edge = next(edges, None)
                if edge is not None:
                    if edge.target not in index:
                        index[edge.target] = low[edge.target] = len(index)
                        stack.append(edge.target)
                        standing.add(edge.target)
                        work.append((edge.target, self.leaving(edge.target, ties, among)))
                    elif edge.target in standing:
                        low[node] = min(low[node], index[edge.target])
                    continue
                work.pop()
                if work:
                    above = work[-1][0]
                    low[above] = min(low[above], low[node])
                if low[node] == index[node]:
                    knot = set()
                    while True:
                        member = stack.pop()
                        standing.discard(member)
                        knot.add(member)
                        if member == node:
                            break
                    if len(knot) > 1:
                        yield frozenset(knot)

    def way(
        self, first: Edge, ties: Collection[Tie], among: Collection[int], lone: Collection[Tie] = ()
    ) -> Sequence[Edge] | None:
        """Return the shortest circle that begins with an edge and goes on by some kinds; None if there is none.

        :param lone: no two edges of these kinds may follow each other, the first and the last included.
        """
        start = (first.target, first.tie in lone)
        came: dict[tuple[int, bool], tuple[tuple[int, bool], Edge] | None] = {start: None}
        queue = deque([start])
        while queue:
            here = queue.popleft()
            for edge in self.leaving(here[0], ties, among):
                is_lone = edge.tie in lone
                if is_lone and here[1]:
                    continue
                if edge.target == first.source and not (is_lone and first.tie in lone):
                    back = [edge]
                    step = came[here]
                    while step is not None:
                        back.append(step[1])
                        step = came[step[0]]
                    return [first, *reversed(back)]
                there = (edge.target, is_lone)
                if there not in came:
                    came[there] = (here, edge)
                    queue.append(there)
        return None


def ties_of(history: History, facts: Mapping[Key, KeyFacts], *, real_time: bool) -> Iterator[Edge]:
    """Yield what follows from the reads, and from the clock if it counts. What was rolled back has no place in it."""
    for key, each in facts.items():
        yield from _of_a_list(key, each)
    if real_time:
        yield from _of_time(history)


def _of_a_list(key: Key, facts: KeyFacts) -> Iterator[Edge]:
    order = [each for each in facts.order if each in facts.writers and facts.writers[each].kind is not Kind.FAIL]
    place = {element: number for number, element in enumerate(order)}
    for before, after in zip(order, order[1:], strict=False):
        source, target = facts.writers[before], facts.writers[after]
        yield Edge(Tie.WW, source.number, target.number, f"{key}: {before} {after}")
    for reader, elements in facts.reads:
        last = next((each for each in reversed(elements) if each in place), None)
        if last is not None:
            yield Edge(Tie.WR, facts.writers[last].number, reader.number, f"{key}: {last}")
        following = 0 if last is None else place[last] + 1
        if following < len(order):
            successor = facts.writers[order[following]]
            yield Edge(Tie.RW, reader.number, successor.number, f"{key}: {order[following]}")


def _of_time(history: History) -> Iterator[Edge]:
    """Yield who had ended when someone began, without what follows from others of these."""
    began = {each.began: each for each in history.transactions if each.kind is not Kind.FAIL}
    ended = {each.ended: each for each in history.transactions if each.kind is Kind.OK}
    before: dict[int, list[Transaction]] = {}
    frontier: dict[int, Transaction] = {}
    for place in range(len(history.events)):
        if place in began:
            beginner = began[place]
            before[beginner.number] = list(frontier.values())
            for earlier in frontier.values():
                yield Edge(Tie.REAL_TIME, earlier.number, beginner.number)
        elif place in ended:
            ender = ended[place]
            for earlier in before.pop(ender.number, ()):
                frontier.pop(earlier.number, None)
            frontier[ender.number] = ender
