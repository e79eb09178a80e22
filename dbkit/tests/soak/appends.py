"""Reads and appends of lists, while connections are lost; their history is checked."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import text

from dbkit.testing.histories import Anomaly, Append, Kind, Level, Read, Recorder, check, to_edn
from dbkit.tests.soak import weather
from dbkit.tests.soak.crew import run_together
from dbkit.tests.soak.figures import Figures
from dbkit.tests.soak.ground import Ground
from dbkit.tests.soak.ways import by_hand, protected

_READ = text("SELECT elements FROM lists WHERE id = :id")
_AT_ONCE = 4
_PER_LIST = 12
_LONGEST = 4


def run(
    ground: Ground,
    *,
    size: int,
    seed: int = 1,
    workers: int = 6,
    chance: float = 0.01,
    commits: float | None = None,
    protections: Sequence[str] = ("retrying", "exactly_once", "serializable"),
    control: str | None = None,
    must_break: str | None = None,
    level: Level = Level.SERIALIZABLE,
    keep: Path | None = None,
) -> Figures:
    """Run the workload, check its history, and return the figures.

    :param chance: with which a connection is lost, before and after each statement.
    :param commits: the same for COMMIT, if it is another.
    :param control: ``"by_hand"``: protections but exactly_once and retrying, which a loop replaces.
    :param must_break: the anomaly that must be found.
    :param keep: where the history is written, for another checker.
    """
    name = "+".join([*([control] if control else []), *protections])
    figures = Figures(f"appends {name}", ground.where, seed, must_break=must_break)
    plans = _plans(size, seed)
    lists = sorted({each.key for plan in plans for each in plan})
    ground.do("INSERT INTO lists VALUES " + ", ".join(f"({number}, '')" for number in lists))
    recorder, hooks, acknowledged = Recorder(), [], []
    turn = itertools.count()
    with (
        weather.commits_are_lost(ground.proxy, seed, chance if commits is None else commits) as ends,
        weather.statements_are_lost(ground.proxy, seed + 1, chance) as losses,
        ground.database() as database,
    ):
        face = ground.face(database)

        async def body(number: int) -> list[Any]:
            session = face.handle("session")
            done: list[Any] = []
            for each in plans[number]:
                if isinstance(each, Append):
                    await session.execute(_appending(each))
                    done.append(each)
                else:
                    done.append(Read(each.key, _elements(await session.scalar(_READ, {"id": each.key}))))
            face.after_commit(lambda: hooks.append(number))
            return done

        call = ground.opener(protected(database.writer, protections))(body)
        call = by_hand(call) if control else call

        def work(process: int) -> Any:
            async def appending() -> None:
                # an unknown end may still happen: whoever goes on is another process, as Jepsen has it
                current = process
                while (number := next(turn)) < size:
                    noted = recorder.invoke(current, plans[number])
                    try:
                        done = await call(number)
                    except (Exception, asyncio.CancelledError) as error:
                        if noted.failed(error) is Kind.INFO:
                            current += workers
                    else:
                        noted.ok(done)
                        acknowledged.append(number)

            return appending

        run_together(ground.colour, [work(process) for process in range(workers)])
        figures.report("faults", weather.fired([*ends, *losses]))
    ground.settle()
    last = recorder.invoke(workers * (size + 1), [Read(each) for each in lists])
    stored = dict(ground.ask("SELECT id, elements FROM lists"))
    last.ok([Read(each, _elements(stored[each])) for each in lists])
    history = recorder.history()
    if keep is not None:
        keep.write_text(to_edn(history), encoding="utf-8")
    report = check(history, level)
    figures.end()
    for kind in (Kind.OK, Kind.FAIL, Kind.INFO):
        figures.report(kind.value, history.count(kind))
    for anomaly in Anomaly:
        if anomaly in report.anomalies or anomaly is Anomaly.LOST_UPDATE:
            found = [each for each in report.findings if each.anomaly is anomaly]
            figures.expect(anomaly.value, 0, 0 if level.allows(anomaly) else len(found))
            figures.damage += [str(each) for each in found[:1] if not level.allows(anomaly)]
    figures.expect("circles and dirty reads", 0, len(report.forbidden))
    figures.expect("hooks", len(acknowledged), len(hooks))
    return figures


def _plans(size: int, seed: int) -> list[list[Any]]:
    """Return what each transaction is to do. New lists are taken in the course of the run."""
    chance, elements = random.Random(seed), itertools.count(1)
    plans: list[list[Any]] = []
    written = 0
    for _ in range(size):
        plan: list[Any] = []
        for _ in range(chance.randint(1, _LONGEST)):
            key = written // (_PER_LIST * _AT_ONCE) * _AT_ONCE + chance.randrange(_AT_ONCE)
            if chance.random() < 0.5:
                plan.append(Append(key, next(elements)))
                written += 1
            else:
                plan.append(Read(key))
        plans.append(plan)
    return plans


def _appending(append: Append) -> Any:
    # numbers of our own, as literals: a parameter of CONCAT has no type that asyncpg could know
    return text(f"UPDATE lists SET elements = CONCAT(elements, '{append.element},') WHERE id = {append.key}")


def _elements(told: str) -> tuple[int, ...]:
    return tuple(int(each) for each in told.split(",") if each)
