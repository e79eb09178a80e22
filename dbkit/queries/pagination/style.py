"""What each database makes of sorting: where it puts NULL, and which form of a condition its indexes serve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Double, Enum, Float, Numeric, String, cast, type_coerce
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

# Since when ORDER BY takes NULLS FIRST and NULLS LAST there. Source: SQLite's release notes.
_SQLITE_PLACES_NULLS = (3, 30)


def _as_it_is(expression: Any, kind: TypeEngine[Any]) -> Any:
    return type_coerce(expression, kind)


def _on_sqlite(expression: Any, kind: TypeEngine[Any]) -> Any:
    # a NUMERIC is a double there; SQLAlchemy's Decimal of it is rounded and may be another number
    return type_coerce(expression, Double(asdecimal=False) if isinstance(kind, Numeric | Float) else kind)


def _on_postgresql(expression: Any, kind: TypeEngine[Any]) -> Any:
    # a REAL and the double that is sent for it are not equal; the cast of what is a double already is dropped
    return cast(expression, Double(asdecimal=False)) if isinstance(kind, Float) else type_coerce(expression, kind)


def _on_mysql(expression: Any, kind: TypeEngine[Any]) -> Any:
    if isinstance(kind, Float):  # a FLOAT is shown with six digits only
        return cast(expression, Double(asdecimal=False))
    if isinstance(kind, Enum) and kind.native_enum:  # it is sorted by number, and compared with < as a text
        return type_coerce(cast(expression, String(_longest(kind))), Enum(*_arguments(kind), native_enum=False))
    return type_coerce(expression, kind)


def _longest(kind: Enum) -> int:
    return max((len(each) for each in kind.enums), default=1)


def _arguments(kind: Enum) -> Any:
    return (kind.enum_class,) if kind.enum_class is not None else kind.enums


@dataclass(frozen=True, slots=True)
class Style:
    """How one kind of database sorts.

    :param nulls_are_smallest: NULL is sorted before all values if ascending, and behind them if descending; None: it
        is not known, and so is said in each ORDER BY.
    :param places_nulls: ORDER BY takes NULLS FIRST and NULLS LAST.
    :param compares_rows: ``(a, b) > (x, y)`` is served by an index on both.
    :param having_takes_names: HAVING knows expressions by the names that they have among what is selected, only so.
    :param value: returns the expression by which a sort key is compared and read exactly, from it and its type.
    :param sorts_by_value: whether that is what rows must be sorted by, instead of the key itself.
    """

    nulls_are_smallest: bool | None = None
    places_nulls: bool = False
    compares_rows: bool = False
    having_takes_names: bool = False
    value: Callable[[Any, TypeEngine[Any]], Any] = _as_it_is
    sorts_by_value: Callable[[TypeEngine[Any]], bool] = lambda kind: False


def _is_native_enum(kind: TypeEngine[Any]) -> bool:
    return isinstance(kind, Enum) and kind.native_enum


_SQLITE = Style(True, places_nulls=True, compares_rows=True, value=_on_sqlite)
_OLD_SQLITE = Style(True, places_nulls=False, compares_rows=True, value=_on_sqlite)
_MYSQL = Style(True, having_takes_names=True, value=_on_mysql, sorts_by_value=_is_native_enum)
_OTHER = Style()

_STYLES = {
    "mariadb": _MYSQL,
    "mysql": _MYSQL,
    "postgresql": Style(False, places_nulls=True, compares_rows=True, value=_on_postgresql),
}


def style_of(dialect: Dialect) -> Style:
    """Return how the database behind a dialect sorts."""
    if dialect.name == "sqlite":
        version = getattr(dialect.dbapi, "sqlite_version_info", (0,))
        return _SQLITE if version >= _SQLITE_PLACES_NULLS else _OLD_SQLITE
    return _STYLES.get(dialect.name, _OTHER)


def stored_type(kind: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    """Return the type behind a type of the user's own, whose values the database and a cursor know."""
    while isinstance(kind, TypeDecorator):
        kind = kind.load_dialect_impl(dialect)
    return kind
