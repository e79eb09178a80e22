"""COPY stores what INSERT stores, of each type; what it is not known to understand is inserted."""

from __future__ import annotations

import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.dialects.postgresql import Range

from dbkit.exceptions import DBError
from dbkit.tests.behaviours import grains, heaps
from dbkit.tests.behaviours.base import behaviours
from dbkit.tests.behaviours.combinations import POSTGRESQL
from dbkit.tests.behaviours.test_bulk import Bulk


class Word(str):
    """A text of which nobody knows what it means to a driver."""

    __slots__ = ()


_STRANGE = sa.Table(
    "grain_strange",
    grains.METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("moment", sa.DateTime()),
    sa.Column("zoned", sa.DateTime(timezone=True)),
    sa.Column("numbers", pg.ARRAY(sa.Integer)),
    sa.Column("span", pg.INT4RANGE()),
    sa.Column("label", sa.Text()),
)

_ALWAYS = sa.Table(
    "grain_always",
    grains.METADATA,
    sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    sa.Column("label", sa.Text()),
)


@behaviours(POSTGRESQL)
class TestCopiedTypes(Bulk):
    def setUp(self) -> None:
        super().setUp()
        observer = heaps.tables(self.combination.product).observer
        grains.METADATA.drop_all(observer)
        grains.METADATA.create_all(observer)

    def stored(self, name: str, under: str, above: str) -> list[Any]:
        return self.rows(f'SELECT CAST("{name}" AS text) FROM grain_kinds WHERE id {under} {above} ORDER BY id')

    async def test_each_value_of_each_type_is_stored_as_by_insert(self):
        given = grains.rows()
        done = await self.do("insert_many", self.db, grains.TABLE, [{"id": n, **r} for n, r in enumerate(given)])
        self.assertEqual(("COPY", None, 1), (done.way, done.reason, done.statements))
        async with self.writer.connection() as connection:
            for n, row in enumerate(given):
                if self.combination.driver == "psycopg2":
                    del row["many"]  # with it, SQLAlchemy cannot bind them
                await connection.execute(sa.insert(grains.TABLE).values(id=1000 + n, **row))
        wrong = []
        for name in given[0]:
            copied, inserted = self.stored(name, "<", "1000"), self.stored(name, ">=", "1000")
            self.assertEqual(len(given), len(copied))
            wrong += [(name, one, other) for one, other in zip(copied, inserted, strict=True) if one != other]
        if self.combination.driver == "psycopg2":
            # its INSERT loses what COPY keeps: the sign of a zero, and infinity of a Decimal
            wrong = [each for each in wrong if each[2] not in (("0",), ("NaN",))]
        self.assertEqual([], wrong)

    async def test_what_copy_may_take_for_something_else_is_inserted(self):
        zoned = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        cases: list[tuple[str, Any, str]] = [
            ("moment", zoned, "time zone"),
            ("zoned", zoned.replace(tzinfo=None), "time zone"),
            ("numbers", [True], "bool"),
            ("span", Range(1.5, 2), "float"),
        ]
        if self.combination.driver == "asyncpg":
            cases = cases[3:]  # asyncpg itself refuses the others
        for name, value, reason in cases:
            row = {"id": 1, name: value}
            try:
                done = await self.do("insert_many", self.db, _STRANGE, [row])
            except Exception as error:
                self.assertNotIn("COPY", str(error))  # the driver or the server refuses the INSERT
                continue
            self.assertEqual("INSERT", done.way, name)
            self.assertIn(reason, str(done.reason))
            self.assertEqual(1, len(self.rows("DELETE FROM grain_strange RETURNING id")))

    async def test_a_key_that_only_the_server_makes_is_refused_as_by_insert(self):
        done = await self.do("insert_many", self.db, _ALWAYS, [{"label": "a"}])
        self.assertEqual("COPY", done.way)
        await self.raises(DBError, lambda: self.do("insert_many", self.db, _ALWAYS, [{"id": 7, "label": "b"}]))
        self.assertEqual([("a",)], self.rows("SELECT label FROM grain_always"))

    async def test_one_batch_that_was_inserted_is_told_of_all(self):
        rows = [{"id": n, "label": Word("x") if n == 2 else "x"} for n in range(6)]
        told: list[str] = []
        done = await self.do(
            "insert_many", self.db, _STRANGE, rows, batch=2, progress=lambda state: told.append(state.way)
        )  # fmt: skip
        self.assertEqual((["COPY", "INSERT", "INSERT"], 6), (told, done.rows))
        self.assertIn("class Word", str(done.reason))
        self.assertEqual([("x",)] * 6, self.rows("SELECT label FROM grain_strange"))

    async def test_a_text_that_is_none_is_told_before_anything_is_sent(self):
        async with self.writer() as session:
            with self.raising(UnicodeEncodeError):
                await self.do("insert_many", session, _STRANGE, [{"id": 1, "label": "\ud800"}])
            self.assertEqual(0, await session.scalar(sa.select(sa.func.count()).select_from(_STRANGE)))

    async def test_rows_without_a_value_for_any_column_are_inserted(self):
        done = await self.do("insert_many", self.db, heaps.Numbered, [{}, {}])
        self.assertEqual((2, "INSERT"), (done.rows, done.way))
        self.assertIn("no column", str(done.reason))
        self.assertEqual([(5,), (5,)], self.rows("SELECT amount FROM heap_numbered"))
