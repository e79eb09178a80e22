"""How many statements and round trips many rows take: so many a batch, whatever its size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from dbkit.testing.assertions import assert_round_trips, count_statements
from dbkit.tests.behaviours.base import behaviours
from dbkit.tests.behaviours.combinations import ONE_PER_PRODUCT, SERVERS, Product
from dbkit.tests.behaviours.heaps import Pair
from dbkit.tests.behaviours.test_bulk import Bulk

_SIZE = 40
_FEW, _MANY = 2, 5

_NAMES = ("insert_many", "upsert", "update_many", "stream", "delete_many")

#: By product: what each function takes once, and what a batch takes; statements first, then round trips. A COPY passes
#: no cursor that could count it: it is two trips, with what leads to the table's kind asked for before the first.
_EXPECTED: Mapping[Product, tuple[tuple[tuple[int, int], tuple[int, int]], ...]] = {
    Product.POSTGRESQL: (((1, 1), (0, 2)), ((0, 0), (1, 1)), ((0, 0), (1, 1)), ((1, 5), (0, 1)), ((0, 0), (1, 1))),
    # an upsert looks for the table's unique keys once, and asks for its count after each statement
    Product.MARIADB: (((0, 0), (1, 1)), ((1, 1), (2, 2)), ((0, 0), (1, 1)), ((1, 1), (0, 0)), ((0, 0), (1, 1))),
    Product.SQLITE_FILE: (((0, 0), (1, 0)), ((0, 0), (2, 0)), ((0, 0), (1, 0)), ((1, 0), (0, 0)), ((0, 0), (1, 0))),
}


def _rows(batches: int, amount: int = 0) -> list[dict[str, Any]]:
    return [{"one": n, "two": "x", "amount": n + amount} for n in range(batches * _SIZE)]


@behaviours(ONE_PER_PRODUCT)
class TestCounts(Bulk):
    async def work(self, name: str, session: Any, batches: int) -> None:
        given: dict[str, tuple[Any, ...]] = {
            "insert_many": (_rows(batches),),
            "upsert": (_rows(batches, 5),),
            "update_many": (_rows(batches, 7),),
            "delete_many": ([(row["one"], "x") for row in _rows(batches)],),
        }
        if name in given:
            await self.do(name, session, Pair, *given[name], batch=_SIZE)
        else:
            await self.streamed(session, sa.select(Pair.__table__), batch=_SIZE)

    async def counted(self, batches: int) -> dict[str, tuple[int, int]]:
        """Return the statements and round trips of each function, without those of the transaction."""
        if self.combination not in SERVERS:
            return await self.each(batches, lambda: 0)
        if self.is_asyncio:
            async with assert_round_trips(self.db, max=10_000) as check:
                return await self.each(batches, lambda: check.count)
        with assert_round_trips(self.db, max=10_000) as check:
            return await self.each(batches, lambda: check.count)

    async def each(self, batches: int, trips: Callable[[], int]) -> dict[str, tuple[int, int]]:
        found = {}
        for name in _NAMES:
            async with self.writer() as session:
                await session.execute(sa.select(1))
                before = trips()
                with count_statements(self.db) as recorder:
                    await self.work(name, session, batches)
                found[name] = (recorder.count, trips() - before)
        return found

    async def test_each_batch_takes_the_same_few_however_many_there_are(self):
        expected = dict(zip(_NAMES, _EXPECTED[self.combination.product], strict=True))
        for batches in (_FEW, _MANY):
            found = await self.counted(batches)
            for name, (once, each) in expected.items():
                wanted = tuple(one + other * batches for one, other in zip(once, each, strict=True))
                self.assertEqual(wanted, found[name], (name, batches))
