"""Rows as COPY reads them: what is written, in how many parts, and how few calls a row takes."""

from __future__ import annotations

import datetime
import decimal
import sys
import unittest
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import Range

from dbkit.exceptions import UsageError
from dbkit.queries.bulk.batches import Rows
from dbkit.queries.bulk.copytext import Cells, LaterSource, Source, lines
from dbkit.queries.bulk.copytypes import Unwritable, type_for
from dbkit.queries.target import target_of

DIALECT = postgresql.dialect()
MOMENT = datetime.datetime(2020, 1, 2, 3, 4, 5)
TABLE = sa.Table(
    "copied",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("label", sa.String(20)),
    sa.Column("found", sa.DateTime),
)


def cells(kind: Any, *values: Any) -> Cells:
    known = type_for(kind, DIALECT)
    assert known is not None
    return Cells("x", known, values)


def calls(work: Callable[[], object]) -> int:
    """Return how many functions are called, of Python and of C."""
    count = 0

    def seen(frame: Any, what: str, argument: Any) -> None:
        nonlocal count
        count += what in ("call", "c_call")

    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


class TestTexts(unittest.TestCase):
    def test_values_are_written_as_copy_reads_them(self) -> None:
        cases: list[tuple[Any, Any, str]] = [
            (sa.Integer(), 5, "5"),
            (sa.Text(), None, "\\N"),
            (sa.Text(), "\\N", "\\\\N"),
            (sa.Text(), "a\tb\nc\rd", "a\\tb\\nc\\rd"),
            (sa.Boolean(), True, "t"),
            (sa.LargeBinary(), b"\x00\xff", "\\\\x00ff"),
            (sa.Float(), float("-inf"), "-inf"),
            (sa.Numeric(), decimal.Decimal("1E+2"), "1E+2"),
            (sa.Interval(), datetime.timedelta(-1, 2, 3), "-1 days +2 secs +3 microseconds"),
            (postgresql.ARRAY(sa.Text), ['a"b', None, "c\\"], '{"a\\\\"b",NULL,"c\\\\\\\\"}'),
            (postgresql.ARRAY(sa.Integer), [[1, 2], [3, 4]], "{{1,2},{3,4}}"),
            (postgresql.ARRAY(sa.LargeBinary), [b"\x01"], '{"\\\\\\\\x01"}'),
            (postgresql.TSRANGE(), Range(MOMENT, None), '["2020-01-02T03:04:05",)'),
            (postgresql.INT4MULTIRANGE(), [Range(1, 2), Range(empty=True)], "{[1,2),empty}"),
        ]
        for kind, value, text in cases:
            with self.subTest(kind=kind, value=value):
                self.assertEqual([text], list(cells(kind, value).texts(0, 1)))

    def test_nulls_and_classes_may_be_mixed_in_a_column(self) -> None:
        self.assertEqual(["a\\tb", "\\N", ""], list(cells(sa.Text(), "a\tb", None, "").texts(0, 3)))
        self.assertEqual(["a", "\\N"], list(cells(sa.Text(), "a", None).texts(0, 2)))
        mixed = cells(sa.Numeric(), 1, None, decimal.Decimal("2.50"), 0.5)
        self.assertEqual(["1", "\\N", "2.50", "0.5"], list(mixed.texts(0, 4)))

    def test_what_insert_would_cast_is_refused_before_anything_is_written(self) -> None:
        cases: list[tuple[Any, Any]] = [
            (sa.Integer(), True), (sa.Text(), 5), (sa.Boolean(), 1), (sa.DateTime(timezone=True), MOMENT),
            (sa.DateTime(), MOMENT.replace(tzinfo=datetime.UTC)), (sa.Date(), MOMENT), (sa.Date(), "infinity"),
            (postgresql.ARRAY(sa.Integer), [1, "2"]), (postgresql.ARRAY(sa.Integer), [[]]),
            (postgresql.INT4RANGE(), "[1,2)"), (postgresql.INT4RANGE(), Range(1, 2.5)),
        ]  # fmt: skip
        for kind, value in cases:
            with self.subTest(kind=kind, value=value), self.assertRaises(Unwritable):
                cells(kind, None, value)
        for kind in (postgresql.INET(), postgresql.HSTORE(), postgresql.ARRAY(sa.JSON), sa.types.NullType()):
            self.assertIsNone(type_for(kind, DIALECT))

    def test_rows_come_in_parts_to_every_kind_of_driver(self) -> None:
        columns = [cells(sa.Integer(), *range(1203)), cells(sa.Text(), *["é"] * 1203)]
        whole = "".join(f"{number}\té\n" for number in range(1203)).encode()
        parts = list(lines(columns, 1203))
        self.assertEqual((3, whole), (len(parts), b"".join(parts)))
        source = Source(iter(parts))
        self.assertEqual((*parts, b"", b""), tuple(source.read(10) for _ in range(5)))

        async def gathered() -> list[bytes]:
            return [part async for part in LaterSource(iter(parts))]

        coroutine = gathered()
        with self.assertRaises(StopIteration) as ended:
            coroutine.send(None)
        self.assertEqual(parts, ended.exception.value)


class TestGrids(unittest.TestCase):
    def rows(self, *given: Any, columns: Any = None) -> list[tuple[tuple[str, ...], list[dict[str, Any]]]]:
        grids = Rows(target_of(TABLE), columns).grids(list(given))
        return [(grid.keys, list(grid)) for grid in grids]

    def test_rows_alike_are_one_grid_and_others_several(self) -> None:
        one, other = {"id": 1, "label": "a"}, {"id": 2, "label": "b"}
        self.assertEqual([(("id", "label"), [one, other])], self.rows(one, other))
        self.assertEqual(
            [(("id", "label"), [one, other])],
            self.rows(*((r["id"], r["label"]) for r in (one, other)), columns=["id", "label"]),
        )
        self.assertEqual([(("id", "label"), [one]), (("id",), [{"id": 3}])], self.rows(one, {"id": 3}))
        computed = {"id": 4, "label": sa.func.now()}
        self.assertEqual([1, 1, 1], [len(rows) for _, rows in self.rows(one, computed, other)])
        self.assertEqual([((), [{}, {}])], self.rows({}, {}))
        with self.assertRaises(UsageError):
            self.rows({"id": 1, "nothing": 2})

    def test_a_row_in_another_order_is_alike(self) -> None:
        found = self.rows({"id": 1, "label": "a"}, {"label": "b", "id": 2})
        self.assertEqual([2], [len(rows) for _, rows in found])

    def test_what_is_filled_in_changes_no_row_of_the_caller(self) -> None:
        given = {"id": 1}
        grid = Rows(target_of(TABLE)).grids([given])[0].filled({"id": [9], "label": ["x"]})
        self.assertEqual(([{"id": 1, "label": "x"}], {"id": 1}), (grid.rows, given))

    def test_a_row_takes_few_calls(self) -> None:
        rows = [{"id": n, "label": f"row {n}", "found": MOMENT} for n in range(5000)]

        def write() -> None:
            (grid,) = Rows(target_of(TABLE)).grids(rows)
            columns = [cells(TABLE.c[key].type, *values) for key, values in zip(grid.keys, grid.columns, strict=True)]
            for _ in lines(columns, len(grid)):
                pass

        self.assertLess(calls(write) / len(rows), 9)
