"""How many rows an upsert says it has inserted and changed, with others who write at the same time."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from dbkit.filters import scope
from dbkit.tests.behaviours.base import behaviours, on
from dbkit.tests.behaviours.combinations import MARIADB, ONE_PER_PRODUCT, SERVERS, Product
from dbkit.tests.behaviours.heaps import Pair, Stock, Ware
from dbkit.tests.behaviours.test_bulk import Bulk


@behaviours((ONE_PER_PRODUCT & SERVERS) | MARIADB)
class TestCounts(Bulk):
    async def put(self, where: Any, *codes: str, amount: int = 1) -> tuple[int | None, int | None]:
        rows = [{"code": code, "amount": amount} for code in codes]
        done = await self.do("upsert", where, Stock, rows, conflict=["code"])
        return done.inserted, done.updated

    async def test_rows_that_are_new_changed_and_left_as_they_are(self):
        is_told = not self.is_on(Product.MARIADB)  # where a row that stays as it was is changed all the same
        self.assertEqual((1, 0), await self.put(self.db, "a"))
        self.assertEqual((0, int(is_told)), await self.put(self.db, "a"))
        self.assertEqual((0, 1), await self.put(self.db, "a", amount=2))
        self.assertEqual((2, int(is_told)), await self.put(self.db, "a", "b", "c", amount=2))
        self.assertEqual((1, 3), await self.put(self.db, "a", "b", "c", "d", amount=3))

    @on(ONE_PER_PRODUCT)
    async def test_rows_that_rules_hide_are_neither(self):
        with scope(heap_house="b"):
            await self.do("insert_many", self.db, Ware, [{"id": 9, "code": 9}])
        with scope(heap_house="a"):
            await self.do("insert_many", self.db, Ware, [{"id": n, "code": n} for n in (1, 2)])
            await self.do("delete_many", self.db, Ware, [2])
            for ids, told in (((2,), (0, 0)), ((9,), (0, 0)), ((1, 2, 9, 3), (1, 1))):
                rows = [{"id": n, "code": 50 + n} for n in ids]
                for changed in (None, []):
                    done = await self.do("upsert", self.db, Ware, rows, update=changed)
                    expected = told if changed is None else (0, 0)
                    self.assertEqual(expected, (done.inserted, done.updated), (ids, changed))

    @on(ONE_PER_PRODUCT)
    async def test_a_key_of_two_columns_which_the_caller_sets_too(self):
        rows = [{"one": 1, "two": "x", "amount": 1}, {"one": 1, "two": "y", "amount": sa.literal(4) + 1}]
        done = await self.do("upsert", self.db, Pair, rows)
        self.assertEqual((2, 0), (done.inserted, done.updated))
        done = await self.do("upsert", self.db, Pair, rows, update=["one", "two", "amount"], only_if=Pair.amount > 9)
        self.assertEqual((0, 0), (done.inserted, done.updated))

    @on(ONE_PER_PRODUCT)
    async def test_what_others_have_stored_and_deleted_since_the_block_began(self):
        self.place.do("INSERT INTO heap_stock (code, amount) VALUES ('b', 0)")
        async with self.writer() as session:
            count = sa.select(sa.func.count()).select_from(Stock)
            self.assertEqual(1, await session.scalar(count))
            self.place.do("INSERT INTO heap_stock (code, amount) VALUES ('a', 0)")
            self.place.do("INSERT INTO heap_stock (code, amount) VALUES ('a2', 0)")
            self.place.do("DELETE FROM heap_stock WHERE code = 'b'")
            if self.is_on(Product.MARIADB):
                # who looks first sees what was there when the block began, and would tell of three new rows
                self.assertEqual(["b"], (await session.scalars(sa.select(Stock.code))).all())
            self.assertEqual((2, 2), await self.put(session, "a", "a2", "b", "c"))
            self.assertEqual((1, 0), await self.put(session, "d"))
