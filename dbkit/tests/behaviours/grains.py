"""A table of PostgreSQL with a column of each kind that COPY knows, and values that are hard to write."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.dialects.postgresql import Range

ROUGH = "tab\tline\nreturn\rback\\slash \\N \\. é 'quote' \"double\" {a,b} %s {} \x0b \x08 NULL"
_ZONE = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
_D = decimal.Decimal
_DAY = datetime.date
_AT = datetime.datetime
_IDS = (uuid.UUID(int=0), uuid.UUID("12345678-1234-5678-1234-567812345678"))


class Colour(enum.Enum):
    """A value of an enumeration whose names need care."""

    RED = "r"
    DARK_BLUE = "d b"


class Shouted(sa.TypeDecorator[str]):
    """A type that changes what it is given."""

    impl = sa.String(200)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Return it in capitals; of nothing it makes something."""
        return "NOTHING" if value is None else value.upper()


_COLUMNS: tuple[tuple[str, Any, tuple[Any, ...]], ...] = (
    ("whole", sa.BigInteger(), (0, -1, 2**63 - 1)),
    ("real", sa.Float(), (float("inf"), float("-inf"), float("nan"), -0.0, 1e300, 5e-324, 3)),
    ("exact", sa.Numeric(30, 10), (_D("NaN"), _D("1E+5"), _D("-0.0000000001"), 7)),
    ("short", sa.REAL(), (1 + 2**-24, 0.1, 3, float("-inf"))),
    ("endless", sa.Numeric(), (0.1 + 0.2, 1 / 3, 1e22, _D("Infinity"), _D("-Infinity"), _D("1" * 40 + ".5"))),
    ("good", sa.Boolean(), (True, False)),
    ("label", sa.String(200), (ROUGH, "", "\\N", "\\.", "é", " ", "\u2028")),
    ("long", sa.Text(), (ROUGH * 50, "\U0001f600")),
    ("native", sa.Enum(Colour, name="grain_colour"), (Colour.RED, Colour.DARK_BLUE)),
    ("plain", sa.Enum("a b", "c\\d", native_enum=False), ("a b", "c\\d")),
    ("moment", sa.DateTime(), (_AT(1, 1, 1), _AT(9999, 12, 31, 23, 59, 59, 999999))),
    ("zoned", sa.DateTime(timezone=True), (_AT(2020, 1, 1, tzinfo=_ZONE), _AT(1969, 1, 1, 0, 0, 0, 1, datetime.UTC))),
    ("day", sa.Date(), (_DAY(1, 1, 1), _DAY(9999, 12, 31))),
    ("clock", sa.Time(), (datetime.time(0), datetime.time(23, 59, 59, 999999))),
    ("zoned_clock", sa.Time(timezone=True), (datetime.time(1, 2, tzinfo=_ZONE),)),
    ("lasting", sa.Interval(), tuple(datetime.timedelta(0, 0, each) for each in (0, -1, 10**15))),
    ("precise", pg.INTERVAL(), (datetime.timedelta(-5, 7, 9),)),
    ("emulated", sa.Interval(native=False), (datetime.timedelta(2, 3),)),
    ("data", sa.LargeBinary(), (b"", b"\\x00", bytes(range(256)))),
    ("key", sa.Uuid(), _IDS),
    ("text_key", sa.Uuid(as_uuid=False), tuple(map(str, _IDS))),
    ("char_key", sa.Uuid(native_uuid=False), _IDS),
    ("more", sa.JSON(), ({"a": [1, ROUGH, None]}, "text", [], sa.JSON.NULL)),
    ("binary", pg.JSONB(none_as_null=True), ({ROUGH[:20]: 1}, 0, False)),
    ("varied", sa.Text().with_variant(pg.JSONB(), "postgresql"), ({"x": "\\"},)),
    ("shouted", Shouted(), ("ä\tb",)),
    ("pickled", sa.PickleType(), ({"a": (1, 2)},)),
    ("numbers", pg.ARRAY(sa.Integer), ([], [1, None, -3], [[1, 2], [3, 4]])),
    ("texts", pg.ARRAY(sa.Text), ([ROUGH, None, "", "NULL", "a,b"], [[ROUGH], ["x"]])),
    ("exacts", sa.ARRAY(sa.Numeric), ([_D("1.50"), None],)),
    ("keys", pg.ARRAY(sa.Uuid), (list(_IDS),)),
    ("moments", pg.ARRAY(sa.DateTime(timezone=True)), ([_AT(2020, 1, 1, tzinfo=_ZONE)],)),
    ("days", pg.ARRAY(sa.Date), ([_DAY(2020, 1, 1), None],)),
    ("flags", pg.ARRAY(sa.Boolean), ([True, False],)),
    ("bytes", pg.ARRAY(sa.LargeBinary), ([b"\\\x00\"", b""],)),
    ("ints", pg.INT4RANGE(), (Range(1, 5), Range(None, 5, bounds="(]"), Range(empty=True))),
    ("bigs", pg.INT8RANGE(), (Range(2**40, None, bounds="["  ")"),)),
    ("nums", pg.NUMRANGE(), (Range(_D("1.5"), _D("2.5"), bounds="[]"),)),
    ("dates", pg.DATERANGE(), (Range(_DAY(2020, 1, 1), _DAY(2021, 1, 1)),)),
    ("times", pg.TSRANGE(), (Range(_AT(2020, 1, 1), _AT(2021, 1, 1, 5)),)),
    ("zoned_times", pg.TSTZRANGE(), (Range(_AT(2020, 1, 1, tzinfo=_ZONE), None),)),
    ("many", pg.INT4MULTIRANGE(), ([Range(1, 3), Range(7, 9)], [])),
)  # fmt: skip

METADATA = sa.MetaData()
TABLE = sa.Table(
    "grain_kinds",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    *(sa.Column(name, kind, nullable=True) for name, kind, _ in _COLUMNS),
)
NAMES = tuple(name for name, _, _ in _COLUMNS)
_MOST = max(len(values) for _, _, values in _COLUMNS)


def rows() -> list[dict[str, Any]]:
    """Return rows with all values, and one of NULLs."""
    full = [{name: values[at % len(values)] for name, _, values in _COLUMNS} for at in range(_MOST)]
    return [*full, dict.fromkeys(NAMES)]
