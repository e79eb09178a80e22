"""A transaction that is cancelled at each place where it waits: what its caller is told must be what is stored."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from dbkit.exceptions import Outcome
from dbkit.testing.faults import Fault, after, before
from dbkit.testing.histories import Kind, kind_of
from dbkit.tests.soak.figures import Figures
from dbkit.tests.soak.ground import Ground
from dbkit.tests.soak.stepping import Steps
from dbkit.tests.soak.ways import protected

_APPEND = text("INSERT INTO elements (element) VALUES (:element)")
_LOOK = text("SELECT value FROM counters")
_PATIENCE = 3000

#: What else happens to the COMMIT.
STORMS = ("none", "before", "after", "late")


def run(
    ground: Ground,
    *,
    seed: int = 1,
    protections: Sequence[str] = ("exactly_once",),
    storm: str = "none",
    times: int = 1,
    stride: int = 1,
    control: str | None = None,
    cold: bool = False,
) -> Figures:
    """Cancel at the first place, at the second and so on, until a transaction ends before its turn.

    :param storm: what happens to the first COMMIT of each beside it.
    :param times: at how many places in a row a transaction is cancelled.
    :param stride: look at each so manieth place only.
    :param control: ``"sqlalchemy"``, plain.
    :param cold: begin each with a pool without connections, so that connecting is cancelled too.
    """
    name = f"cancel {control or '+'.join(protections) or 'plain'}" + (
        "" if storm == "none" else f", COMMIT cut {storm}"
    )
    name += (f", {times} times" if times > 1 else "") + (", cold" if cold else "")
    figures = Figures(name, ground.where, seed, must_break=control and "told otherwise")
    ground.do("INSERT INTO counters VALUES (1, 0)")
    fault = _Storm(ground, storm)
    hooks: list[int] | None = None
    if control:
        told = ground.colour.run(_bare(ground, times, stride))
    else:
        with ground.database() as database:
            told, hooks, used = ground.colour.run(_walk(ground, database, protections, fault, times, stride, cold))
        figures.expect("connections left in use", 0, used)
    fault.end()
    ground.settle(leaves_connections=control is not None)
    figures.end()
    _judge(figures, told, ground.ask("SELECT element FROM elements"), hooks, is_control=control is not None)
    return figures


class _Storm:
    """What happens to the first COMMIT of each transaction, and to no other: not to that of who asks about it."""

    def __init__(self, ground: Ground, name: str) -> None:
        self._proxy = ground.proxy
        self._name = name
        self._fault: Fault | None = None

    def rise(self) -> None:
        """Strike at the next COMMIT."""
        self.end()
        choice = {"last_ran": "INTO elements"}
        if self._name == "late":
            self._fault = self._proxy.abandon(before("COMMIT"), seconds=0.05, **choice)
        elif self._name != "none":
            self._fault = self._proxy.cut({"before": before, "after": after}[self._name]("COMMIT"), **choice)

    def end(self) -> None:
        """Strike no more."""
        if self._fault is not None:
            self._fault.remove()
            self._fault = None


@dataclass(frozen=True)
class Told:
    """What the caller was told that was cancelled at a place. The error itself would keep connections alive.

    :ivar error: the name of its class; empty if there was none.
    :ivar is_stored: what it says; None if it says that nobody knows.
    :ivar was_cancelled: whether the transaction has come to the place.
    """

    place: int
    error: str
    outcome: Outcome | None
    is_stored: bool | None
    was_cancelled: bool

    @classmethod
    def by(cls, error: BaseException | None, place: int, was_cancelled: bool) -> Told:
        """Return what an error tells."""
        outcome = getattr(error, "outcome", None)
        if error is None or outcome is Outcome.COMMITTED:
            says: bool | None = True
        else:
            says = None if kind_of(error) is Kind.INFO else False
        return cls(place, "" if error is None else type(error).__name__, outcome, says, was_cancelled)


async def _walk(
    ground: Ground, database: Any, protections: Sequence[str], storm: _Storm, times: int, stride: int, cold: bool
) -> tuple[list[Told], list[int], int]:
    hooks: list[int] = []

    def body(number: int) -> Callable[[], Coroutine[Any, Any, Any]]:
        async def append() -> None:
            session = database.async_session
            database.after_commit(lambda: hooks.append(number))
            await session.scalar(_LOOK)
            await session.execute(_APPEND, {"element": number})

        if "retrying" in protections:
            function: Callable[[], Coroutine[Any, Any, Any]] = protected(database.writer, protections)(append)
            return function

        async def block() -> None:
            async with protected(database.writer, protections)():
                await append()

        return block

    async def prepare() -> None:
        storm.rise()
        if cold:
            await database.adispose()

    told = await _each_place(body, prepare, times, stride)
    return told, hooks, database.factory.engines(ground.combination.colour).writer.engine.pool.checkedout()


async def _bare(ground: Ground, times: int, stride: int) -> list[Told]:
    engine = create_async_engine(ground.through)

    def body(number: int) -> Callable[[], Coroutine[Any, Any, Any]]:
        async def block() -> None:
            async with engine.begin() as connection:
                await connection.scalar(_LOOK)
                await connection.execute(_APPEND, {"element": number})

        return block

    async def prepare() -> None: ...

    told = await _each_place(body, prepare, times, stride)
    await engine.dispose()
    return told


async def _each_place(
    body: Callable[[int], Callable[[], Coroutine[Any, Any, Any]]],
    prepare: Callable[[], Coroutine[Any, Any, Any]],
    times: int,
    stride: int,
) -> list[Told]:
    """Return what the caller was told for each place, and for none at all."""
    await prepare()
    told = [Told.by(await Steps(None).run(body(0)), 0, False)]  # with it goes what is done once only
    for place in range(1, _PATIENCE, stride):
        await prepare()
        steps = Steps(place, times)
        told.append(Told.by(await steps.run(body(place)), place, steps.has_struck))
        if not steps.has_struck:
            return told
    raise AssertionError(f"a transaction has waited at {_PATIENCE} places")


def _judge(
    figures: Figures, told: Sequence[Told], stored: Sequence[int], hooks: Sequence[int] | None, *, is_control: bool
) -> None:
    def is_wrong(each: Told) -> bool:
        # of plain SQLAlchemy everyone takes a cancellation for a failure
        says = not each.error if is_control else each.is_stored
        return says is not None and says != (each.place in stored)

    wrong = [each for each in told if is_wrong(each)]
    figures.report("places", len(told) - 1)
    figures.report("cancelled", sum(each.error == "CancelledError" for each in told))
    figures.report("stored", len(stored))
    figures.expect("told otherwise", 0, len(wrong))
    figures.damage += [f"{each} {'is' if each.place in stored else 'is not'} stored" for each in wrong[:5]]
    figures.expect("doubled", 0, len(stored) - len(set(stored)))
    if not is_control:
        figures.expect("not told", 0, sum(bool(each.error) and each.outcome is None for each in told))
        figures.expect("unknown", 0, sum(each.is_stored is None for each in told))
        figures.expect("swallowed", 0, sum(each.was_cancelled and not each.error for each in told))
        others = [each for each in told if each.error not in ("", "CancelledError") and each.was_cancelled]
        figures.expect("other errors", 0, len(others))
        figures.damage += [str(each) for each in others[:5]]
    if hooks is not None:
        figures.expect("hooks", sorted(set(stored)), sorted(hooks))
        figures.counts["hooks"] = len(hooks)
