"""Increments of one row and of a hot set by eight workers at once: not one may be lost, whichever way it is made.

Each row is read in one block and written in another, as a form is shown and sent; where the way says so, in one block
that is run again. On Galera the workers use the three nodes in turn.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import dbkit
from dbkit import queries
from dbkit.clock import SYSTEM_CLOCK
from dbkit.exceptions import Conflict
from dbkit.filters.options import blind_update
from dbkit.models import VersionMixin
from dbkit.spec import Colour
from dbkit.testing import servers
from dbkit.tests.behaviours.colours import AsyncioColour, BlockingColour
from dbkit.tests.behaviours.combinations import Combination, Product
from dbkit.tests.behaviours.faces import DatabaseFace, Opener
from dbkit.tests.soak.crew import run_together
from dbkit.tests.soak.figures import Figures
from dbkit.tests.soak.ground import Ground, kind_of

_NODES = 3
_HOT_SET = 8
_MOMENT_S = 0.001
_OBSERVERS = {"postgresql": "psycopg", "mysql": "pymysql"}

Way = Callable[[Any], Callable[[int], Coroutine[Any, Any, None]]]


class Base(DeclarativeBase):
    """The one table."""


class Number(VersionMixin, Base):
    """A row that all want to change; row 0 is the hottest."""

    __tablename__ = "numbers"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[int] = mapped_column(default=0)


class _Worker:
    """A worker's database, and its ways to add 1 to a row; each returns when it is known to be stored.

    :ivar conflicts: how often it was told that somebody else was faster.
    """

    def __init__(self, database: dbkit.Database, colour: AsyncioColour | BlockingColour, combiner: Any) -> None:
        self.database = database
        self.face = DatabaseFace(database, colour)
        self.conflicts = 0
        self._is_asyncio = isinstance(colour, AsyncioColour)
        self._combiner = combiner
        retrying = database.writer.retrying(-1, interval_s=0.001, max_interval_s=0.05)
        self._rerun = Opener(retrying, colour)(self._swap_what_it_reads)
        self._count = Opener(retrying, colour)(self._increment)

    async def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if self._is_asyncio:
            return await getattr(queries, f"a{name}")(self.database, *args, **kwargs)
        return getattr(queries, name)(self.database, *args, **kwargs)

    async def _again(self, attempt: Callable[[int], Coroutine[Any, Any, None]], number: int) -> None:
        while True:
            try:
                await attempt(number)
                return
            except Conflict:
                self.conflicts += 1

    async def cas(self, number: int) -> None:
        """Read, then compare and swap; if somebody else was faster, again."""
        await self._again(self._cas, number)

    async def _cas(self, number: int) -> None:
        async with self.face.reader() as session:
            seen = (await session.execute(sa.select(Number.value, Number.version).where(Number.id == number))).one()
        async with self.face.writer():
            await self._call("compare_and_swap", Number, number, seen.version, {"value": seen.value + 1})

    async def flush(self, number: int) -> None:
        """Read an object, then let a session write it; if somebody else was faster, again."""
        await self._again(self._flush, number)

    async def _flush(self, number: int) -> None:
        async with self.face.reader() as session:
            row = await session.get(Number, number)
        row.value += 1
        async with self.face.writer() as session:
            session.add(row)

    async def rerun(self, number: int) -> None:
        """Read and swap in one block, which is run again."""
        await self._rerun(number)

    async def _swap_what_it_reads(self, number: int) -> None:
        session = self.face.handle("session")
        row = await session.get(Number, number)
        await self._call("compare_and_swap", row, values={"value": row.value + 1})

    async def counter(self, number: int) -> None:
        """Let the database add."""
        await self._count(number)

    async def _increment(self, number: int) -> None:
        await self._call("increment", Number.value, number)

    async def combiner(self, number: int) -> None:
        """Let it be stored together with what others want."""
        await (self._combiner.aadd(number) if self._is_asyncio else _now(self._combiner.add, number))

    async def blind(self, number: int) -> None:
        """Read and write without a look at the version, again if the database itself says no: the control."""
        await self._again(self._blind, number)

    async def _blind(self, number: int) -> None:
        async with self.face.reader() as session:
            value = (await session.execute(sa.select(Number.value).where(Number.id == number))).scalar_one()
        await self._think()
        async with self.face.writer() as session:
            statement = sa.update(Number).where(Number.id == number).values(value=value + 1)
            await session.execute(statement.options(blind_update()))

    async def _think(self) -> None:
        """Let a moment pass, in which others may write."""
        if self._is_asyncio:
            await SYSTEM_CLOCK.asleep(_MOMENT_S)
        else:
            SYSTEM_CLOCK.sleep(_MOMENT_S)


async def _now(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


def run(
    combination: Combination,
    *,
    size: int,
    seed: int = 1,
    workers: int = 8,
    way: str = "cas",
    control: str | None = None,
    cluster: bool = False,
) -> Figures:
    """Run the workload, and return its figures.

    :param way: which method of the worker adds.
    :param control: ``"blind"``, in the place of the way.
    :param cluster: on three nodes of Galera.
    """
    name = f"updates {control or way}" + (" on Galera" if cluster else "")
    figures = Figures(name, combination.name, seed, must_break=control and "one row")
    with contextlib.ExitStack() as stack:
        urls, observe = _place(stack, combination, cluster)
        colour = AsyncioColour() if combination.colour is Colour.ASYNCIO else BlockingColour()
        if isinstance(colour, AsyncioColour):
            stack.callback(colour.runner.close)
        with Ground.plain_engine(observe[0]).connect() as connection:
            Base.metadata.create_all(connection)
            rows = [{"id": number, "value": 0, "version": 1} for number in range(_HOT_SET + 1)]
            connection.execute(sa.insert(Number.__table__), rows)
        databases = [stack.enter_context(_database(url, combination, colour)) for url in urls]
        combiners = [queries.Combiner(each, Number.value) for each in databases]
        crew = [_Worker(databases[place % len(urls)], colour, combiners[place % len(urls)]) for place in range(workers)]
        done: Counter[int] = Counter()
        lock = threading.Lock()

        def work(place: int) -> Callable[[], Coroutine[Any, Any, None]]:
            add, choice = getattr(crew[place], control or way), random.Random(seed * 1000 + place)

            async def adding() -> None:
                for _ in range(place, size, workers):
                    number = 0 if choice.random() < 0.5 else choice.randint(1, _HOT_SET)
                    await add(number)
                    with lock:
                        done[number] += 1

            return adding

        run_together(colour, [work(place) for place in range(workers)])
        figures.end()
        _compare(figures, done, observe, cluster)
        figures.report("conflicts", sum(each.conflicts for each in crew) + sum(_reruns(each) for each in databases))
        if way == "combiner" and control is None:
            needed = sum(each.transactions for each in combiners)
            figures.report("transactions", needed)
            figures.expect("fewer transactions than writes", True, needed < size)
    return figures


def _compare(figures: Figures, done: Counter[int], observe: list[sa.URL], cluster: bool) -> None:
    figures.report("writes", done.total())
    for place, url in enumerate(observe):
        with Ground.plain_engine(url).connect() as connection:
            if cluster:
                connection.execute(sa.text("SET SESSION wsrep_sync_wait = 1"))
            values = {row[0]: row[1] for row in connection.execute(sa.select(Number.__table__.c["id", "value"]))}
        where = f" on node {place + 1}" if place else ""
        figures.expect(f"one row{where}", done[0], values[0])
        hot = sum(count for number, count in done.items() if number)
        figures.expect(f"hot set{where}", hot, sum(value for number, value in values.items() if number))


def _reruns(database: dbkit.Database) -> int:
    statistics = database.retry_statistics
    return statistics.conflicts + statistics.overloads


def _place(stack: contextlib.ExitStack, combination: Combination, cluster: bool) -> tuple[list[sa.URL], list[sa.URL]]:
    """Return the URLs of the program's databases, and those of one who looks from outside."""
    if combination.product is Product.SQLITE_FILE:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="dbkit-updates-"))
        file = str(Path(folder) / "updates.db")
        return (
            [sa.URL.create(f"sqlite+{combination.driver}", database=file)],
            [sa.URL.create("sqlite", database=file)],
        )
    kind = kind_of(combination)
    if cluster:
        found = servers.or_skip("galera", lambda: stack.enter_context(servers.galera(_NODES)))
        nodes: list[Any] = list(found.nodes)
    else:
        nodes = [servers.require_or_skip(kind)]
    name = nodes[0].create_database()
    return (
        [node.url(combination.driver, name, combination.scheme) for node in nodes],
        [node.url(_OBSERVERS[kind], name) for node in nodes],
    )


@contextlib.contextmanager
def _database(
    url: sa.URL, combination: Combination, colour: AsyncioColour | BlockingColour
) -> Iterator[dbkit.Database]:
    # PyMySQL reads all certificates of the machine anew for each connect, 40 ms
    quickly = {"connect_args": {"ssl_disabled": True}} if combination.driver == "pymysql" else {}
    # of conflicts there are more here than any budget allows for
    budgets = {"db_retry_budget": 1000, "db_conflict_retry_budget": 1000}
    database = dbkit.Database(url, max_pool_size=20, sqlite_synchronous=False, **quickly, **budgets)
    try:
        yield database
    finally:
        colour.run(_dispose(database, colour))


async def _dispose(database: dbkit.Database, colour: AsyncioColour | BlockingColour) -> None:
    if isinstance(colour, AsyncioColour):
        await database.adispose()
    else:
        database.dispose()
