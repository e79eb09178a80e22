"""What each database makes of sorting: where it puts NULL, and which form of a condition its indexes serve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Double, Enum, Float, Integer, Numeric, String, Time, cast, literal_column, type_coerce
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

# Since when ORDER BY takes NULLS FIRST and NULLS LAST there. Source: SQLite's release notes.
_SQLITE_PLACES_NULLS = (3, 30)


def _as_it_is(expression: Any, kind: TypeEngine[Any]) -> Any:
    return type_coerce(expression, kind)


def _exactly(expression: Any, kind: TypeEngine[Any]) -> Any:
    if isinstance(kind, Numeric) and not isinstance(kind, Float):  # its own type may make a float of it
        return type_coerce(expression, Numeric(kind.precision, kind.scale))
    return type_coerce(expression, kind)


def _on_sqlite(expression: Any, kind: TypeEngine[Any]) -> Any:
    # a NUMERIC is a double there; SQLAlchemy's Decimal of it is rounded and may be another number
    return type_coerce(expression, Double(asdecimal=False) if isinstance(kind, Numeric | Float) else kind)


def _on_postgresql(expression: Any, kind: TypeEngine[Any]) -> Any:
    # a REAL as the driver shows it and the double that is sent for it are not equal
    return cast(expression, Double(asdecimal=False)) if isinstance(kind, Float) else _exactly(expression, kind)


def _on_mysql(expression: Any, kind: TypeEngine[Any]) -> Any:
    if isinstance(kind, Float):  # a FLOAT is shown with six digits only
        return cast(expression, Double(asdecimal=False))
    if isinstance(kind, Enum) and kind.native_enum:  # it is sorted by number, and compared with a number by it too
        return type_coerce(expression, Integer()).op("+", return_type=Integer())(literal_column("0"))
    if isinstance(kind, Time):  # there it may be negative or longer than a day, which is no time of Python's
        return cast(expression, String(20))
    return _exactly(expression, kind)


@dataclass(frozen=True, slots=True)
class Style:
    """How one kind of database sorts.

    :param nulls_are_smallest: NULL is sorted before all values if ascending, and behind them if descending; None: it
        is not known, and so is said in each ORDER BY.
    :param places_nulls: ORDER BY takes NULLS FIRST and NULLS LAST.
    :param indexes_place_nulls: so does CREATE INDEX.
    :param compares_rows: ``(a, b) > (x, y)`` is served by an index on both.
    :param merges_ranges: conditions joined by OR are served by an index if each of them is.
    :param having_takes_names: HAVING knows expressions by the names that they have among what is selected, only so.
    :param read: returns the expression by which a sort key is read exactly, from it and its type.
    :param casts: whether that value must be sent as of the type by which it was read.
    """

    nulls_are_smallest: bool | None = None
    places_nulls: bool = False
    indexes_place_nulls: bool = False
    compares_rows: bool = False
    merges_ranges: bool = False
    having_takes_names: bool = False
    read: Callable[[Any, TypeEngine[Any]], Any] = _as_it_is
    casts: Callable[[TypeEngine[Any]], bool] = lambda kind: False


def _is_float(kind: TypeEngine[Any]) -> bool:
    return isinstance(kind, Float)


# What an index serves was seen in the plans and row counts of PostgreSQL 15, MariaDB 10.11 and SQLite 3.40;
# ``tests/behaviours/test_pagination_plans.py`` holds them to it.
_SQLITE = Style(True, places_nulls=True, compares_rows=True, read=_on_sqlite)
_OLD_SQLITE = Style(True, places_nulls=False, compares_rows=True, read=_on_sqlite)
_MYSQL = Style(True, merges_ranges=True, having_takes_names=True, read=_on_mysql)
_POSTGRESQL = Style(
    False, places_nulls=True, indexes_place_nulls=True, compares_rows=True, read=_on_postgresql, casts=_is_float
)
_OTHER = Style()

_STYLES = {"mariadb": _MYSQL, "mysql": _MYSQL, "postgresql": _POSTGRESQL}


def style_of(dialect: Dialect) -> Style:
    """Return how the database behind a dialect sorts."""
    if dialect.name == "sqlite":
        version = getattr(dialect.dbapi, "sqlite_version_info", (0,))
        return _SQLITE if version >= _SQLITE_PLACES_NULLS else _OLD_SQLITE
    return _STYLES.get(dialect.name, _OTHER)


def stored_type(kind: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    """Return the type behind a type of the user's own, whose values the database and a cursor know."""
    while isinstance(kind, TypeDecorator):
        native = kind.dialect_impl(dialect)
        kind = native if not isinstance(native, TypeDecorator) else kind.load_dialect_impl(dialect)
    return kind
