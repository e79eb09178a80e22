"""Transfers between a few hot accounts, while connections are lost and deadlocks and lock timeouts happen."""

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

_ACCOUNTS = 8
_OPENING = 1000
_LOOK = text("SELECT balance FROM accounts WHERE id = :id FOR UPDATE")
_LOOK_AT_ONCE = text("SELECT balance FROM accounts WHERE id = :id FOR UPDATE NOWAIT")
_PUT = text("UPDATE accounts SET balance = :balance WHERE id = :id")
_ENTER = text("INSERT INTO transfers (number, source, target) VALUES (:number, :source, :target)")


def run(
    ground: Ground,
    *,
    size: int,
    seed: int = 1,
    workers: int = 8,
    chance: float = 0.01,
    commits: float | None = None,
    protections: Sequence[str] = ("retrying", "exactly_once"),
    control: str | None = None,
    unverified: bool = False,
) -> Figures:
    """Run the workload, and return its figures.

    :param chance: with which a connection is lost, before and after each statement.
    :param commits: the same for COMMIT, if it is another.
    :param control: ``"by_hand"``, in the place of the protections.
    :param unverified: a transaction that is repeated is not compared with what it was, which must corrupt the data.
    """
    name = f"bank {control or '+'.join(protections)}" + (", unverified" if unverified else "")
    must_break = "wrong balances" if unverified else "doubled" if control else None
    figures = Figures(name, ground.where, seed, must_break=must_break)
    for number in range(_ACCOUNTS):
        ground.do(f"INSERT INTO accounts VALUES ({number}, {_OPENING})")
    tally = Tally()
    with (
        weather.commits_are_lost(ground.proxy, seed, chance if commits is None else commits) as ends,
        weather.statements_are_lost(ground.proxy, seed + 1, chance) as losses,
        ground.database() as database,
    ):
        if unverified:
            database.factory.replays.compare = lambda one, other: True
        transfers = _Transfers(ground, database, tally, seed)
        call = ground.opener(database.writer if control else protected(database.writer, protections))(transfers.body)
        call = by_hand(call) if control else call

        def work(worker: int) -> Any:
            async def transferring() -> None:
                for number in range(worker, size, workers):
                    await tally.note(number, call)

            return transferring

        run_together(ground.colour, [work(worker) for worker in range(workers)])
        figures.report("faults", weather.fired([*ends, *losses]))
        if "replaying" in protections and not control:
            figures.report("repeated", database.replays.replayed)
            figures.report("diverged", database.replays.diverged)
    ground.settle()
    figures.end()
    figures.report("bodies run", transfers.runs)
    figures.report("wanted", size)
    stored = ground.ask("SELECT number, source, target FROM transfers")
    tally.compare(figures, [number for number, _, _ in stored])
    balances = dict(ground.ask("SELECT id, balance FROM accounts"))
    figures.expect("total", _ACCOUNTS * _OPENING, sum(balances.values()))
    wanted = dict.fromkeys(range(_ACCOUNTS), _OPENING)
    for _, source, target in stored:
        wanted[source] -= 1
        wanted[target] += 1
    figures.expect("wrong balances", 0, sum(balances[number] != wanted[number] for number in wanted))
    if "retrying" in protections:
        tally.tell_errors(figures)
    else:
        figures.report("errors", len(tally.refused))
    return figures


class _Transfers:
    """The body: it reads two balances, reckons in Python, and writes what it has reckoned."""

    def __init__(self, ground: Ground, database: Any, tally: Tally, seed: int) -> None:
        self._face = ground.face(database)
        self._tally = tally
        self._seed = seed
        self.runs = 0

    async def body(self, number: int) -> None:
        """Transfer 1. Which accounts they are, and in which order they are locked, is the number's own."""
        self.runs += 1
        chance = random.Random(self._seed * 1_000_003 + number)
        source, target = chance.sample(range(_ACCOUNTS), 2)
        look = _LOOK_AT_ONCE if chance.random() < 0.1 else _LOOK
        session = self._face.handle("session")
        theirs = await session.scalar(look, {"id": source})
        ours = await session.scalar(look, {"id": target})
        await session.execute(_PUT, {"id": source, "balance": theirs - 1})
        await session.execute(_PUT, {"id": target, "balance": ours + 1})
        await session.execute(_ENTER, {"number": number, "source": source, "target": target})
        self._face.after_commit(lambda: self._tally.hooks.append(number))
