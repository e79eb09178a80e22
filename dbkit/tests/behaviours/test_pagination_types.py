"""Sort keys of each type that a product has: compared as they are sorted, and read exactly."""

from __future__ import annotations

import enum
import uuid
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import cache

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    Enum,
    Float,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Time,
    Uuid,
    insert,
    select,
)
from sqlalchemy.dialects import mysql, postgresql

from dbkit.exceptions import UsageError
from dbkit.queries import Pages
from dbkit.tests.behaviours.base import behaviours, on
from dbkit.tests.behaviours.combinations import MARIADB, ONE_PER_PRODUCT, POSTGRESQL, Product
from dbkit.tests.behaviours.paging import KEY, Paging
from dbkit.tests.behaviours.places import place


class Colour(enum.Enum):
    """Names whose order is neither that of the alphabet nor that of the values."""

    ZED = "2"
    ALPHA = "3"
    MID = "1"


LETTERS = ["a", "A", "b", "B", "ä", "é", "É", ""]
SPACES = ["a", "a ", "A", "b", "B ", "ä", "Ä", "ss", "ß"]
INFINITE = [float("inf"), float("-inf"), 1.0, 0.0, -0.0]
MOMENTS = [datetime(2026, 1, 1, 1, 2, 3, n) for n in (0, 9, 999999)]
LENGTHS = [timedelta(days, 7, micros) for days in (0, 1, 40) for micros in (0, 9)]
ZONES = [datetime(2026, 1, 1, h, tzinfo=timezone(timedelta(hours=z))) for h in (1, 2) for z in (-5, 0, 2)]

EVERYWHERE = {
    "zone": (DateTime(timezone=True), ZONES),
    "moment": (DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), MOMENTS),
    "day": (Date(), [date(2026, 1, n) for n in (1, 2, 3)]),
    "hour": (Time(), [time(n, n, n) for n in (0, 3, 23)]),
    "length": (Interval(), LENGTHS),
    "exact": (Numeric(20, 10), [*map(Decimal, ("1.0000000001", "1.0000000002", "-5", "1234567890.1234567891"))]),
    "exact_as_float": (Numeric(30, 15, asdecimal=False), [1.000000000000001, 123456789012345.6, 0.1]),
    "single": (Float(24), [0.1, 1 / 3, 1e10, -5.5]),
    "double": (Double(), [0.1, 1 / 3, 1e300, -5.5]),
    "name": (Enum(Colour, name="typed_name"), list(Colour)),
    "value": (Enum(Colour, name="typed_value", values_callable=lambda of: [each.value for each in of]), list(Colour)),
    "choice": (Enum("z", "a", "m", native_enum=False), ["z", "a", "m"]),
    "flag": (Boolean(), [True, False]),
    "raw": (LargeBinary(20), [b"a", b"\xff\x00", b"a\x00", b""]),
    "token": (Uuid(), [uuid.uuid5(uuid.NAMESPACE_DNS, str(n)) for n in range(4)]),
    "big": (BigInteger(), [2**62, -(2**62), 2**53 + 1, 2**53]),
    "word": (String(20), LETTERS),
}
OWN = {
    Product.POSTGRESQL: {
        "alike": (String(20, collation="typed_alike"), LETTERS),
        "plain": (String(20, collation="C"), LETTERS),
        "not_a_number": (Double(), [float("nan"), *INFINITE]),
        "single_not_a_number": (Float(24), [float("nan"), *INFINITE]),
        "exact_not_a_number": (Numeric(), [Decimal("NaN"), Decimal("1e30"), Decimal("1.00001")]),
        "span": (postgresql.INTERVAL(), [timedelta(-1, 9), timedelta(0, 0, 3), timedelta(30)]),
    },
    Product.MARIADB: {
        "alike": (String(20, collation="utf8mb4_general_ci"), SPACES),
        "other": (String(20, collation="utf8mb4_unicode_ci"), SPACES),
        "plain": (String(20, collation="utf8mb4_bin"), SPACES),
        "span": (mysql.TIME(fsp=6), [timedelta(hours=30), timedelta(hours=-5), timedelta(0, 1, 7)]),
        "places": (mysql.FLOAT(6, 2), [0.1, 1 / 3, 5.25]),
        "huge": (mysql.BIGINT(unsigned=True), [2**64 - 1, 2**63, 1]),
    },
    Product.SQLITE_FILE: {
        "alike": (String(20, collation="NOCASE"), LETTERS),
        "trimmed": (String(20, collation="RTRIM"), SPACES),
        "infinite": (Double(), INFINITE),
    },
}
REFUSED = {
    Product.POSTGRESQL: {
        "address": (postgresql.INET(), ["10.0.0.1", "::1"]),
        "range": (postgresql.INT4RANGE(), ["[1,2)"]),
    },
    Product.MARIADB: {"set": (mysql.SET("z", "a", "m"), [{"z"}, {"a", "m"}])},
}
ROWS = 11


@cache
def made(product):
    """Create and fill the table, once; return it with the names of its keys. Of each key the last rows have NULL."""
    kinds = {**EVERYWHERE, **OWN[product], **REFUSED.get(product, {})}
    table = Table(
        "typed", MetaData(), Column("id", Integer, primary_key=True), *(Column(name, kinds[name][0]) for name in kinds)
    )
    rows = [
        {name: values[n % len(values)] if n < ROWS - 2 else None for name, (_, values) in kinds.items()}
        for n in range(ROWS)
    ]
    engine = place(product).observer
    with engine.connect() as connection:
        table.drop(connection, checkfirst=True)
        if product is Product.POSTGRESQL:
            connection.exec_driver_sql(
                "CREATE COLLATION IF NOT EXISTS typed_alike "
                "(provider = icu, locale = 'und-u-ks-level1', deterministic = false)"
            )
        table.create(connection)
        connection.execute(insert(table), [{"id": n, **row} for n, row in enumerate(rows, 1)])
    return table, [name for name in kinds if name not in REFUSED.get(product, {})]


@behaviours(ONE_PER_PRODUCT)
class TestTypes(Paging):
    async def test_keys_of_each_type_are_compared_as_they_are_sorted(self):
        table, names = made(self.combination.product)
        wrong = []
        async with self.reader() as session:
            for name in names:
                for key, id_ in ((table.c[name], table.c.id), (table.c[name].desc(), table.c.id.desc())):
                    found = await self.walked(Pages(select(table.c.id), sort_by=[key], key=KEY, size=3))
                    wanted = list((await session.scalars(select(table.c.id).order_by(key, id_))).all())
                    if found != (wanted, wanted):
                        wrong.append((str(key), *found, wanted))
        self.assertEqual([], wrong)

    @on(POSTGRESQL | MARIADB)
    async def test_what_no_cursor_can_hold_is_refused(self):
        table, _ = made(self.combination.product)
        async with self.reader():
            for name in REFUSED[self.combination.product]:
                error = await self.raises(
                    UsageError, self.page, Pages(select(table.c.id), sort_by=[table.c[name]], key=KEY)
                )
                self.assertIn("cursor cannot hold", str(error))
