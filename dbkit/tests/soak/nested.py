"""Functions that call functions, with savepoints of which some are undone, while connections are lost."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from dbkit.tests.soak import weather
from dbkit.tests.soak.crew import run_together
from dbkit.tests.soak.figures import Figures
from dbkit.tests.soak.ground import Ground
from dbkit.tests.soak.tally import Tally
from dbkit.tests.soak.ways import by_hand, protected

_PARTS = 10
_APPEND = text("INSERT INTO elements (element) VALUES (:element)")
_COUNT = text("UPDATE counters SET value = value + 1 WHERE id = :id")
_COUNTERS = 16


class _Undone(Exception):
    """Leaves a savepoint, and is caught."""


def run(
    ground: Ground,
    *,
    size: int,
    seed: int = 1,
    workers: int = 6,
    chance: float = 0.01,
    commits: float | None = None,
    protections: Sequence[str] = ("retrying", "exactly_once", "replaying"),
    control: str | None = None,
) -> Figures:
    """Run the workload, and return its figures.

    :param chance: with which a connection is lost, before and after each statement.
    :param commits: the same for COMMIT, if it is another.
    :param control: ``"by_hand"``, in the place of the protections.
    """
    figures = Figures(
        f"nested {control or '+'.join(protections)}", ground.where, seed, must_break=control and "doubled"
    )
    for number in range(_COUNTERS):
        ground.do(f"INSERT INTO counters VALUES ({number}, 0)")
    tally, parts = Tally(), Tally()
    with (
        weather.commits_are_lost(ground.proxy, seed, chance if commits is None else commits) as ends,
        weather.statements_are_lost(ground.proxy, seed + 1, chance, weather.NESTED) as losses,
        ground.database() as database,
    ):
        tree = _Tree(ground, database, parts, seed)
        call = ground.opener(database.writer if control else protected(database.writer, protections))(tree.outermost)
        call = by_hand(call) if control else call

        def work(worker: int) -> Any:
            async def calling() -> None:
                for number in range(worker, size, workers):
                    await tally.note(number, call)

            return calling

        run_together(ground.colour, [work(worker) for worker in range(workers)])
        figures.report("faults", weather.fired([*ends, *losses]))
        if not control:
            figures.report("repeated", database.replays.replayed)
            figures.report("diverged", database.replays.diverged)
    ground.settle()
    figures.end()
    figures.report("wanted", size)
    figures.report("calls acknowledged", len(tally.acknowledged))
    parts.acknowledged = [part for number in tally.acknowledged for part in tree.wanted(number)]
    parts.compare(figures, ground.ask("SELECT element FROM elements"))
    stored = set(ground.ask("SELECT element FROM elements"))
    figures.expect("undone though stored", 0, len(stored - set(parts.acknowledged)))
    figures.expect("value", len(tally.acknowledged), sum(ground.ask("SELECT value FROM counters")))
    if "retrying" in protections:
        tally.tell_errors(figures)
    return figures


class _Tree:
    """A call whose shape is the number's own: what it is to store can be told without running it."""

    def __init__(self, ground: Ground, database: Any, parts: Tally, seed: int) -> None:
        self._face = ground.face(database)
        self._parts = parts
        self._seed = seed
        self._joined = self._face.writer(self._inner)
        self._saved = self._face.writer.savepoint(self._inner)

    def _steps(self, number: int) -> list[tuple[int, bool, bool]]:
        """Return the parts of a call: which, whether in a savepoint, whether that is undone."""
        chance = random.Random(self._seed * 1_000_003 + number)
        steps = []
        for part in range(1, chance.randint(2, _PARTS)):
            saved = chance.random() < 0.6
            steps.append((number * _PARTS + part, saved, saved and chance.random() < 0.4))
        return steps

    def wanted(self, number: int) -> list[int]:
        """Return what a call is to store."""
        return [number * _PARTS, *(part for part, _, undone in self._steps(number) if not undone)]

    async def outermost(self, number: int) -> None:
        """Make the call."""
        await self._inner(number * _PARTS, False)
        for part, saved, undone in self._steps(number):
            try:
                await (self._saved if saved else self._joined)(part, undone)
            except _Undone:
                continue
        await self._face.handle("session").execute(_COUNT, {"id": number % _COUNTERS})

    async def _inner(self, part: int, undone: bool) -> None:
        await self._face.handle("session").execute(_APPEND, {"element": part})
        self._face.after_commit(lambda: self._parts.hooks.append(part))
        if undone:
            raise _Undone
