"""Many rows: written, changed, put in place of others, deleted and read as a stream."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import sqlalchemy as sa

import dbkit
from dbkit.exceptions import (
    BlindUpdate,
    DBDuplicateEntry,
    DBReadOnly,
    ForeignScope,
    NoTransaction,
    TransactionDoomed,
    UsageError,
)
from dbkit.filters import scope
from dbkit.queries.bulk import many, streaming
from dbkit.tests.behaviours import heaps
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.colours import Waitless
from dbkit.tests.behaviours.combinations import ONE_PER_PRODUCT, POSTGRESQL, Product
from dbkit.tests.behaviours.heaps import Grain, Pair, Stock, Ware

MOMENT = datetime.datetime(2020, 1, 2, 3, 4, 5)
ROUGH = "tab\tline\nreturn\rback\\slash \\N é 'quote' \"double\" %s {}"


class Bulk(Behaviour):
    def setUp(self) -> None:
        super().setUp()
        heaps.emptied(self.combination.product)

    async def do(self, name: str, *arguments: Any, **named: Any) -> Any:
        """Call a function of either colour."""
        arguments = (bare(arguments[0]), *arguments[1:])
        if self.is_asyncio:
            return await getattr(many, f"a{name}")(*arguments, **named)
        return getattr(many, name)(*arguments, **named)

    async def streamed(self, where: Any, statement: Any, stop: int | None = None, **named: Any) -> list[Any]:
        found: list[Any] = []
        where = bare(where)
        if self.is_asyncio:
            source = streaming.astream(where, statement, **named)
            async for each in source:
                found.append(each)
                if len(found) == stop:
                    break
            await source.aclose()
            return found
        for each in streaming.stream(where, statement, **named):
            found.append(each)
            if len(found) == stop:
                break
        return found

    async def counted_stream(self, where: Any, statement: Any, **named: Any) -> int:
        """Return how many rows a stream brings, and keep none."""
        count = 0
        if self.is_asyncio:
            async for _ in streaming.astream(bare(where), statement, **named):
                count += 1
            return count
        for _ in streaming.stream(bare(where), statement, **named):
            count += 1
        return count

    def rows(self, sql: str) -> list[Any]:
        with self.place.observer.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(sql)]


def bare(where: Any) -> Any:
    """Return the blocking handle of a block, where the bodies for both colours have it wrapped."""
    return where.sync_session if isinstance(where, Waitless) else where


@behaviours(ONE_PER_PRODUCT | POSTGRESQL)
class TestInserting(Bulk):
    async def test_each_type_arrives_as_the_unit_of_work_would_store_it(self):
        full = {
            "label": ROUGH, "weight": decimal.Decimal("1.25"), "ratio": 0.1, "found": MOMENT, "day": MOMENT.date(),
            "good": True, "data": b"\x00\\x\xff", "more": {"a": [1, "é\n"]},
        }  # fmt: skip
        empty = dict.fromkeys(full)
        done = await self.do("insert_many", self.db, Grain, [full, empty, {**full, "label": ""}], batch=2)
        self.assertEqual((3, 3, 0), (done.rows, done.inserted, done.updated))
        is_copied = self.is_on(Product.POSTGRESQL)
        self.assertEqual("COPY" if is_copied else "INSERT", done.way)
        self.assertEqual(is_copied, done.reason is None)
        async with self.writer() as session:
            session.add(Grain(**full))
            await session.flush()
            found = (await session.scalars(sa.select(Grain).order_by(Grain.id))).all()
            told = [[getattr(each, name) for name in (*full, "made", "doubled", "by_server")] for each in found]
        self.assertEqual(told[0], told[3])
        self.assertEqual([*full.values(), 7, f"{ROUGH}!", 5], told[0])
        self.assertEqual([None] * 7, told[1][:7])
        self.assertEqual(["", "!"], [told[2][0], told[2][9]])

    async def test_rows_of_every_form_from_a_generator_and_what_goes_wrong(self):
        told: list[int] = []
        async with self.writer.connection() as connection:
            done = await self.do(
                "insert_many", connection, Pair, ((n, "x", None) for n in range(25)), columns=["one", "two", "amount"],
                batch=10, progress=lambda state: told.append(state.rows),
            )  # fmt: skip
        self.assertEqual((25, [10, 20, 25]), (done.rows, told))
        async with self.writer() as session:
            session.add(Pair(one=99, two="pending"))
            done = await self.do("insert_many", session, Pair, [Pair(one=30, two="y"), {"one": 31, "two": "z"}])
        mixed = [{"one": 32, "two": "a"}, {"one": 33, "two": "b", "amount": sa.literal(4) + 1}, {"one": 34, "two": "c"}]
        done = await self.do("insert_many", self.db, Pair, mixed, commit_each=True)
        self.assertEqual("INSERT", done.way)
        found = self.rows("SELECT one, amount FROM heap_pair WHERE one >= 30 ORDER BY one")
        self.assertEqual(
            [30, 31, 32, (33, 5), 34, 99], [each if isinstance(each, tuple) else each for each in _short(found)]
        )
        await self.raises(DBDuplicateEntry, lambda: self.do("insert_many", self.db, Pair, [mixed[0]]))
        if self.is_on(Product.POSTGRESQL):
            with self.raising(TransactionDoomed):
                async with self.writer() as session:
                    await self.raises(DBDuplicateEntry, lambda: self.do("insert_many", session, Pair, [mixed[0]]))
                    await session.scalar(sa.select(Pair.one))

    async def test_keys_are_returned_in_the_order_of_the_rows(self):
        done = await self.do(
            "insert_many", self.db, Stock, ({"code": str(n)} for n in range(30)), returning=True, batch=7
        )
        found = self.rows("SELECT id, code FROM heap_stock")
        self.assertEqual([str(n) for n in range(30)], [dict(map(tuple, found))[key] for key in done.keys])

    async def test_a_protected_block(self):
        with dbkit.within(50):
            async with self.writer() as session:
                await self.do("insert_many", session, Pair, [{"one": n, "two": "x"} for n in range(3)])
        self.assertEqual(3, len(self.rows("SELECT one FROM heap_pair")))

    async def test_tenants_and_readers(self):
        with scope(heap_house="a"):
            await self.do("insert_many", self.db, Ware, [{"id": 1, "code": 1}])
            foreign = [{"id": 2, "code": 2, "house": "b"}]
            await self.raises(ForeignScope, lambda: self.do("insert_many", self.db, Ware, foreign))
            nobodys = [{"id": 2, "code": 2, "house": None}]
            await self.raises(ForeignScope, lambda: self.do("insert_many", self.db, Ware, nobodys))
        self.assertEqual([(1, "a", 1)], list(map(tuple, self.rows("SELECT id, house, version FROM heap_ware"))))
        async with self.writer(), self.reader() as session:
            await self.raises(DBReadOnly, lambda: self.do("insert_many", session, Pair, [{"one": 1, "two": "x"}]))


def _short(found: list[Any]) -> list[Any]:
    return [each[0] if each[1] is None else tuple(each) for each in found]


@behaviours(ONE_PER_PRODUCT)
class TestChanging(Bulk):
    async def store(self, *ids: int, house: str = "a") -> None:  # type: ignore[override]
        with scope(heap_house=house):
            await self.do("insert_many", self.db, Ware, [{"id": each, "code": each} for each in ids])

    def wares(self, what: str = "id, amount, version") -> list[tuple[Any, ...]]:
        return [tuple(each) for each in self.rows(f"SELECT {what} FROM heap_ware ORDER BY id")]

    async def test_rows_get_values_of_their_own_and_versions_count(self):
        await self.store(1, 2, 3)
        await self.store(4, house="b")
        with scope(heap_house="a"):
            rows = [{"id": n, "version": 1, "amount": n * 10} for n in (1, 2, 4)] + [
                {"id": 3, "version": 8, "amount": 1}
            ]
            done = await self.do("update_many", self.db, Ware, rows)
            self.assertEqual(2, done.rows)
            self.assertEqual([(1, 10, 2), (2, 20, 2), (3, 0, 1), (4, 0, 1)], self.wares())
            blind = [{"id": n, "amount": n} for n in (1, 2, 2)]
            await self.raises(BlindUpdate, lambda: self.do("update_many", self.db, Ware, blind))
            done = await self.do("update_many", self.db, Ware, blind, blind=True, commit_each=True, batch=1)
            self.assertEqual((3, 3), (done.rows, done.statements))
            self.assertEqual([(1, 1, 3, 9), (2, 2, 4, 9)], self.wares("id, amount, version, touched")[:2])

    async def test_rows_are_deleted_by_keys_and_by_what_they_share(self):
        await self.store(*range(1, 12))
        await self.store(99, house="b")
        told: list[int] = []
        with scope(heap_house="a"):
            done = await self.do("delete_many", self.db, Ware, (n for n in (1, 2, 99)), batch=2)
            self.assertEqual((2, 2), (done.rows, done.statements))
            done = await self.do(
                "delete_many", self.db, Ware, criterion=Ware.code > 5, batch=4, commit_each=True,
                progress=lambda state: told.append(state.rows),
            )  # fmt: skip
            self.assertEqual((6, [4, 6]), (done.rows, told))
        self.assertEqual(12, len(self.wares()))
        await self.do("insert_many", self.db, Pair, [{"one": n, "two": "x"} for n in range(5)])
        done = await self.do("delete_many", self.db, Pair, [(1, "x"), (2, "x"), (2, "y")])
        self.assertEqual(2, done.rows)
        done = await self.do("delete_many", self.db, Pair, criterion=sa.true(), batch=2)
        self.assertEqual(3, done.rows)

    async def test_upsert(self):
        await self.store(1, 2, 3)
        await self.store(9, house="b")
        with scope(heap_house="a"):
            await self.do("delete_many", self.db, Ware, [3])
            rows = [{"id": n, "code": n, "amount": n} for n in (1, 3, 4, 9)] + [{"id": 1, "code": 1, "amount": 5}]
            done = await self.do("upsert", self.db, Ware, rows, update=["amount"], returning=True)
            self.assertEqual((1, 2), (done.inserted, done.updated), done)
            self.assertEqual({1, 4}, set(done.keys))
            self.assertEqual([(1, 5, 3), (2, 0, 1), (3, 0), (4, 4, 1), (9, 0, 1)], _without_version(self.wares()))
            done = await self.do("upsert", self.db, Ware, [rows[0], {"id": 5, "code": 5, "amount": 0}], update=[])
            self.assertEqual((1, 0), (done.inserted, done.updated))
            done = await self.do(
                "upsert", self.db, Ware, [{"id": n, "code": n, "amount": 70 + n} for n in (1, 2)],
                only_if=Ware.amount.between(3, 6),
            )  # fmt: skip
            self.assertEqual([(1, 71, 4, 9), (2, 0, 1, 0)], self.wares("id, amount, version, touched")[:2])
            self.assertEqual((0, 1), (done.inserted, done.updated))

    async def test_upsert_by_another_key_than_the_primary_one(self):
        rows = [{"code": str(n), "amount": n} for n in range(20)]
        self.assertEqual(20, (await self.do("upsert", self.db, Stock, rows, conflict=["code"])).inserted)
        done = await self.do(
            "upsert", self.db, Stock, [{**row, "amount": 50} for row in rows[:5]], conflict=[Stock.code], batch=2
        )
        self.assertEqual((0, 5), (done.inserted, done.updated))
        if self.is_on(Product.MARIADB):
            row = {"id": 1, "code": "1", "amount": 1}
            error = await self.raises(UsageError, lambda: self.do("upsert", self.db, Stock, [row], conflict=["code"]))
            self.assertIn("(id)", str(error))

    async def test_streams(self):
        await self.do("insert_many", self.db, Pair, [{"one": n, "two": "x", "amount": n} for n in range(50)])
        async with self.reader() as session:
            found = await self.streamed(session, sa.select(Pair).order_by(Pair.one), batch=7)
            self.assertEqual(list(range(50)), [each.one for each in found])
            del found
            rows = await self.streamed(session, sa.select(Pair.one, Pair.amount), stop=10, batch=7)
            self.assertEqual(10, len(rows))
            self.assertEqual(50, await session.scalar(sa.select(sa.func.count()).select_from(Pair)))
        async with self.reader.connection() as connection:
            rows = await self.streamed(connection, sa.select(Pair.__table__), batch=7)
            self.assertEqual(50, len(rows))
        with self.raising(NoTransaction):
            await self.streamed(self.db, sa.select(Pair))

    async def test_misuse_is_refused(self):
        pair = {"one": 1, "two": "x"}
        cases: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
            ("insert_many", ([pair],), {"batch": 0}, "at least 1"),
            ("insert_many", ([{"three": 1}],), {}, "no column named"),
            ("insert_many", ([(1, "x")],), {}, "need columns="),
            ("insert_many", ([(1,)],), {"columns": ["one", "two"]}, "1 values for 2"),
            ("insert_many", ([5],), {}, "a row is a mapping"),
            ("update_many", ([{"one": 1, "amount": 1}],), {}, "needs 'two'"),
            ("update_many", ([pair],), {}, "nothing was given"),
            ("delete_many", (), {}, "either the keys"),
            ("upsert", ([{"one": 1}],), {}, "needs a value for 'two'"),
        ]
        for name, arguments, named, text in cases:
            error = await self.raises(
                UsageError, lambda n=name, a=arguments, k=named: self.do(n, self.db, Pair, *a, **k)
            )
            self.assertIn(text, str(error))
        async with self.writer() as session:
            error = await self.raises(UsageError, lambda: self.do("insert_many", session, Pair, [], commit_each=True))
            self.assertIn("outside of any block", str(error))


def _without_version(found: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [each[:2] if each[0] == 3 else each for each in found]
