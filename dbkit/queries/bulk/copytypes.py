"""What PostgreSQL's COPY understands of each type as an INSERT would, and how it is written."""

from __future__ import annotations

import datetime
import decimal
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.ranges import AbstractMultiRange, AbstractRange, MultiRange, Range
from sqlalchemy.engine import Dialect

Write = Callable[[Any], str]
Writers = Mapping[type, Write]


class Unwritable(Exception):
    """A value of a column cannot be written for COPY; the text says which."""


@dataclass(frozen=True, slots=True)
class Type:
    """How the values of a column are written.

    :ivar writers: by the class of the value.
    :ivar is_wrapped: drivers wrap values of it in objects of their own.
    :ivar is_composed: what is written is yet to be escaped.
    :ivar is_given: the value is taken as it was given, before SQLAlchemy makes the driver's of it.
    :ivar has_zone: whether a time knows its time zone.
    """

    writers: Writers
    is_wrapped: bool = False
    is_composed: bool = False
    is_given: bool = False
    has_zone: bool = False

    def is_unlike(self, value: Any) -> bool:
        """Return whether a time and its column differ in whether they know a time zone."""
        return (value.tzinfo is not None) is not self.has_zone


def escaped(value: str) -> str:
    """Return a text with what COPY would take for its own escaped."""
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def unwrapped(value: Any) -> Any:
    """Return what a driver's wrapper of JSON or bytes holds, as text or bytes."""
    if not type(value).__module__.startswith("psycopg"):
        return value
    if hasattr(value, "dumps"):
        text = (value.dumps or json.dumps)(value.obj)
        return text if isinstance(text, str) else text.decode()
    return getattr(value, "obj", getattr(value, "adapted", value))


# -- scalars ----------------------------------------------------------------------------------------------------------


def _boolean(value: bool) -> str:
    return "t" if value else "f"


def _bytes(value: bytes) -> str:
    return "\\\\x" + value.hex()


def _exact(value: float) -> str:
    # the shortest text that means a number of eight bytes may round to another one of four
    return str(decimal.Decimal(value))


def _fifteen(value: float) -> str:
    return format(value, ".15g")


def _interval(value: datetime.timedelta) -> str:
    # each part with its sign: what one without means depends on the server's IntervalStyle
    return f"{value.days:+d} days {value.seconds:+d} secs {value.microseconds:+d} microseconds"


def _moment(value: datetime.datetime) -> str:
    if value == datetime.datetime.max:
        return "infinity"
    return "-infinity" if value == datetime.datetime.min else value.isoformat()


def _day(value: datetime.date) -> str:
    if value == datetime.date.max:
        return "infinity"
    return "-infinity" if value == datetime.date.min else value.isoformat()


_TEXTS: Writers = {str: escaped}
_MOMENTS: Writers = {datetime.datetime: datetime.datetime.isoformat}
_DAYS: Writers = {datetime.date: datetime.date.isoformat}
_BYTES: Writers = {bytes: _bytes, bytearray: _bytes, memoryview: _bytes}

#: By driver: how values of a class are written, in a column that takes Decimals or not.
_BY_DRIVER: Mapping[str, Mapping[tuple[type, bool], Write]] = {
    # it sends a float8, of which the server's cast to numeric takes DBL_DIG digits: float8_numeric() in numeric.c
    "psycopg": {(float, True): _fifteen},
    "asyncpg": {
        (float, True): _exact,
        # infinity is stored where the last or first moment of Python is given: pgproto/codecs/datetime.pyx
        (datetime.datetime, False): _moment,
        (datetime.date, False): _day,
    },
}

#: The first that fits counts.
_WRITERS: tuple[tuple[type[Any], Writers], ...] = (
    (sa.Integer, {int: str}),
    (sa.Float, {int: str, float: repr}),
    (sa.Numeric, {int: str, float: repr, decimal.Decimal: str}),
    (sa.Boolean, {bool: _boolean}),
    (postgresql.INTERVAL, {datetime.timedelta: _interval}),
    (sa.DateTime, _MOMENTS),
    (sa.Date, _DAYS),
    (sa.Time, {datetime.time: datetime.time.isoformat}),
    (sa.LargeBinary, _BYTES),
    (sa.Uuid, {uuid.UUID: str, str: escaped}),
    (sa.Enum, _TEXTS),
    (sa.String, _TEXTS),
    (sa.JSON, _TEXTS),
)


def type_for(kind: Any, dialect: Dialect) -> Type | None:
    """Return how the values of a column are written; None if nothing is known of its type."""
    is_decorated = isinstance(kind, sa.TypeDecorator)
    is_short = isinstance(kind, sa.REAL) and dialect.driver != "psycopg2"  # which writes numbers as text itself
    kind = kind.dialect_impl(dialect)
    kind = getattr(kind, "impl_instance", kind)
    has_zone = bool(getattr(kind, "timezone", False))
    for known, writers in _WRITERS:
        if isinstance(kind, known):
            writers = {int: str, float: _exact} if is_short else _as_driver(writers, dialect)
            return Type(writers, is_wrapped=isinstance(kind, (sa.JSON, sa.LargeBinary)), has_zone=has_zone)
    if isinstance(kind, sa.ARRAY):
        return _array_type(kind, dialect)
    if isinstance(kind, (AbstractRange, AbstractMultiRange)) and not is_decorated:
        return _range_type(kind, dialect)
    return None


def _as_driver(writers: Writers, dialect: Dialect) -> Writers:
    """Return the writers with what a driver does otherwise than Python's own text would."""
    own = _BY_DRIVER.get(dialect.driver.removesuffix("_async"), {})
    return {each: own.get((each, decimal.Decimal in writers), write) for each, write in writers.items()}


# -- what has parts, which a comma divides ----------------------------------------------------------------------------


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _timed(has_zone: bool, write: Write, value: Any) -> str:
    if (value.tzinfo is not None) is not has_zone:
        raise Unwritable("a time with a time zone, or one without where it needs one")
    return f'"{write(value)}"'


def _part_writers(writers: Writers, has_zone: bool) -> dict[type, Write]:
    special: dict[type, Write] = {
        str: _quoted,
        bytes: lambda value: f'"\\\\x{value.hex()}"',
        datetime.timedelta: lambda value: f'"{_interval(value)}"',
    }
    for each in (datetime.datetime, datetime.time):
        if each in writers:
            special[each] = partial(_timed, has_zone, writers[each])
    return {each: special.get(each, write) for each, write in writers.items()}


def _array_type(kind: Any, dialect: Dialect) -> Type | None:
    item = type_for(kind.item_type, dialect)
    if item is None or item.is_composed or isinstance(kind.item_type, sa.JSON):
        return None
    parts = _part_writers(item.writers, item.has_zone)

    def write(values: Any) -> str:
        return "{" + ",".join([_item(each) for each in values]) + "}"

    def _item(value: Any) -> str:
        if value is None:
            return "NULL"
        if item.is_wrapped:
            value = unwrapped(value)
        found = parts.get(type(value))
        if found is not None:
            return found(value)
        if isinstance(value, (list, tuple)) and value:
            return write(value)
        raise Unwritable(f"a value of class {type(value).__name__} in an array")

    return Type({list: write, tuple: write}, is_composed=True)


_BOUNDS: dict[str, Writers] = {
    "INT4RANGE": {int: str},
    "INT8RANGE": {int: str},
    "NUMRANGE": {int: str, float: repr, decimal.Decimal: str},
    "DATERANGE": _DAYS,
    "TSRANGE": _MOMENTS,
    "TSTZRANGE": _MOMENTS,
}
"""What the bounds of a range may be, by the name of its type."""


def _range_type(kind: Any, dialect: Dialect) -> Type | None:
    name = str(kind.__visit_name__).replace("MULTIRANGE", "RANGE")
    if name not in _BOUNDS:
        return None
    parts = {type(None): lambda value: "", **_part_writers(_as_driver(_BOUNDS[name], dialect), name == "TSTZRANGE")}

    def write(value: Range[Any]) -> str:
        if value.empty:
            return "empty"
        try:
            lower, upper = (parts[type(each)](each) for each in (value.lower, value.upper))
        except KeyError as unknown:
            raise Unwritable(f"a bound of class {unknown.args[0].__name__} of a range") from None
        return f"{value.bounds[0]}{lower},{upper}{value.bounds[1]}"

    def several(values: Any) -> str:
        if any(type(each) is not Range for each in values):
            raise Unwritable("something else than a range among several")
        return "{" + ",".join(map(write, values)) + "}"

    if isinstance(kind, AbstractMultiRange):
        return Type({list: several, MultiRange: several}, is_composed=True, is_given=True)
    return Type({Range: write}, is_composed=True, is_given=True)
