"""Increments and appends to a set, while the replies to COMMIT are lost: each must take effect once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from dbkit.tests.soak import weather
from dbkit.tests.soak.crew import run_together
from dbkit.tests.soak.figures import Figures
from dbkit.tests.soak.ground import Ground
from dbkit.tests.soak.tally import Tally
from dbkit.tests.soak.ways import Call, by_hand, by_oslo_db, protected

_ADD = text("UPDATE counters SET value = value + 1 WHERE id = :id")
_APPEND = text("INSERT INTO elements (element) VALUES (:element)")
_COUNTERS = 4


def run(
    ground: Ground,
    *,
    size: int,
    seed: int = 1,
    workers: int = 4,
    chance: float = 0.05,
    protections: Sequence[str] = ("retrying", "exactly_once"),
    control: str | None = None,
    fence: str = "table",
) -> Figures:
    """Run the workload, and return its figures.

    :param fence: how a lost COMMIT is decided.
    :param control: ``"by_hand"`` or ``"oslo.db"``, in the place of the protections.
    """
    name = f"counter {control or '+'.join(protections)}" + ("" if fence == "table" else f", by {fence}")
    figures = Figures(name, ground.where, seed, must_break=control and "doubled")
    for number in range(_COUNTERS):
        ground.do(f"INSERT INTO counters VALUES ({number}, 0)")
    tally = Tally()
    numbers = [range(worker, size, workers) for worker in range(workers)]
    with weather.commits_are_lost(ground.proxy, seed, chance) as storms:
        if control == "oslo.db":
            _by_oslo_db(ground, tally, numbers)
        else:
            with ground.database(commit_fence=fence) as database:
                call = incrementing(ground, database, tally, protections, control, _COUNTERS)
                run_together(ground.colour, [_work(tally, call, mine) for mine in numbers])
        figures.report("faults", weather.fired(storms))
    ground.settle()
    figures.end()
    figures.report("wanted", size)
    tally.compare(figures, ground.ask("SELECT element FROM elements"), hooks=control != "oslo.db")
    figures.expect("value", len(tally.acknowledged), sum(ground.ask("SELECT value FROM counters")))
    tally.tell_errors(figures)
    return figures


def incrementing(
    ground: Ground, database: Any, tally: Tally, protections: Sequence[str], control: str | None, counters: int
) -> Call:
    """Return what increments one of the counters by a number, and appends it to the set."""
    face = ground.face(database)

    async def body(number: int) -> None:
        session = face.handle("session")
        await session.execute(_ADD, {"id": number % counters})
        await session.execute(_APPEND, {"element": number})
        face.after_commit(lambda: tally.hooks.append(number))

    manager = database.writer if control else protected(database.writer, protections)
    call: Call = ground.opener(manager)(body)
    return by_hand(call) if control else call


def _work(tally: Tally, call: Call, numbers: Sequence[int]) -> Any:
    async def work() -> None:
        for number in numbers:
            await tally.note(number, call)

    return work


def _by_oslo_db(ground: Ground, tally: Tally, numbers: Sequence[Sequence[int]]) -> None:
    def body(session: Any, number: int) -> None:
        session.execute(_ADD, {"id": number % _COUNTERS})
        session.execute(_APPEND, {"element": number})

    function, close = by_oslo_db(ground.through, body)

    async def call(number: int) -> None:
        function(number)

    try:
        run_together(ground.colour, [_work(tally, call, mine) for mine in numbers])
    finally:
        close()
