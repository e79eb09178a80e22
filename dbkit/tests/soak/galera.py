"""Increments on all nodes of a Galera cluster, of which one is killed and another one cut off in mid-run."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Sequence
from typing import Any

from dbkit.testing import servers
from dbkit.testing.servers.galera_cluster import GaleraCluster
from dbkit.testing.servers.polling import wait_until
from dbkit.tests.behaviours.combinations import Combination
from dbkit.tests.soak import weather
from dbkit.tests.soak.counter import incrementing
from dbkit.tests.soak.crew import run_together
from dbkit.tests.soak.figures import Figures
from dbkit.tests.soak.ground import Ground
from dbkit.tests.soak.tally import Tally
from dbkit.tests.soak.ways import Call

_NODES = 3
_COUNTERS = 8
_PATIENCE_S = 120.0
_UP_TO_DATE = "SET SESSION wsrep_sync_wait = 1"


class _Nodes:
    """The way of the programs to the nodes: a balancer would lead them as this does."""

    def __init__(self, cluster: GaleraCluster, grounds: Sequence[Ground]) -> None:
        self.cluster = cluster
        self.grounds = grounds

    def avoid(self, number: int) -> None:
        """Lead whoever goes to a node to the next one."""
        self.grounds[number].proxy.retarget(self.cluster.nodes[(number + 1) % _NODES])
        self.grounds[number].proxy.cut_all()

    def use(self, number: int) -> None:
        """Lead them to it again."""
        self.grounds[number].proxy.retarget(self.cluster.nodes[number])


def run(
    combination: Combination,
    *,
    size: int,
    seed: int = 1,
    workers: int = 6,
    chance: float = 0.02,
    protections: Sequence[str] = ("retrying", "exactly_once"),
    control: str | None = None,
) -> Figures:
    """Run the workload, and return its figures.

    :param control: ``"by_hand"``, in the place of the protections.
    """
    figures = Figures(
        f"galera {control or '+'.join(protections)}", combination.name, seed, must_break=control and "doubled"
    )
    with contextlib.ExitStack() as stack:
        cluster = servers.or_skip("galera", lambda: stack.enter_context(servers.galera(_NODES)))
        first = stack.enter_context(Ground(combination, cluster.nodes[0]))
        for number in range(_COUNTERS):
            first.do(f"INSERT INTO counters VALUES ({number}, 0)")
        grounds = [first]
        for node in cluster.nodes[1:]:
            grounds.append(stack.enter_context(Ground(combination, node, first.name)))
        tally = Tally()
        databases = [stack.enter_context(ground.database(max_retries=30)) for ground in grounds]
        storms = [
            fault
            for place, ground in enumerate(grounds)
            for fault in stack.enter_context(weather.commits_are_lost(ground.proxy, seed + place, chance))
        ]
        calls = [incrementing(first, each, tally, protections, control, _COUNTERS) for each in databases]
        turn, is_over = itertools.count(), threading.Event()
        went_on: list[int] = []

        def work(call: Call) -> Any:
            async def adding() -> None:
                while (number := next(turn)) < size or not is_over.is_set():
                    await tally.note(number, call)

            return adding

        def make_trouble() -> None:
            try:
                went_on.extend(_trouble(_Nodes(cluster, grounds), tally, size))
            finally:
                is_over.set()

        trouble = threading.Thread(target=make_trouble, daemon=True)
        trouble.start()
        run_together(first.colour, [work(calls[worker % _NODES]) for worker in range(workers)])
        trouble.join()
        figures.report("while one was killed, one cut off", went_on)
        figures.expect("work went on", True, len(went_on) == 2 and all(went_on))
        figures.report("faults", weather.fired(storms))
        cluster.wait_for_size(_NODES)
        for ground in grounds:
            ground.proxy.clear()
        figures.end()
        figures.report("wanted", len(tally.acknowledged) + len(tally.refused))
        for each in grounds:  # on every node, as soon as it has what the others have
            tally.compare(figures, each.ask("SELECT element FROM elements", first=_UP_TO_DATE))
        values = [sum(each.ask("SELECT value FROM counters", first=_UP_TO_DATE)) for each in grounds]
        figures.expect("values", [len(tally.acknowledged)] * _NODES, values)
        tally.tell_errors(figures)
    return figures


def _trouble(nodes: _Nodes, tally: Tally, size: int) -> list[int]:
    """Kill a node, bring it back, cut another one off, heal it; return how many writes were acknowledged meanwhile."""

    def wait_for(count: int) -> None:
        wait_until(lambda: len(tally.acknowledged) >= count, _PATIENCE_S, f"{count} acknowledged writes")

    went_on = []
    for share, number, begin, end in ((0.2, 2, "crash", "rejoin"), (0.6, 1, "partition", "heal")):
        wait_for(int(share * size))
        node = nodes.cluster.nodes[number]
        getattr(node, begin)()
        nodes.avoid(number)
        before = len(tally.acknowledged)
        wait_for(before + size // 5)
        went_on.append(len(tally.acknowledged) - before)
        getattr(node, end)()
        nodes.cluster.wait_for_size(_NODES)
        nodes.use(number)
    return went_on
