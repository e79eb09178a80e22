"""Columns of tables that are there already: found, or added."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Column, ColumnDefault, DateTime, FromClause, Table
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, declared_attr

from dbkit.exceptions import InvalidModel

T = TypeVar("T")


def moment_type(aware: bool = False) -> DateTime:
    """Return a type of moments that keeps microseconds on every backend."""
    return DateTime(timezone=aware).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def mixed_in(make: Callable[[Any], Mapped[T]]) -> declared_attr[T]:
    """Decorate a function that makes a column of a mixin, in a class that may be a dataclass or not."""
    # a function that is seen to return Mapped makes a field of the dataclass, whose mixins must then be dataclasses too
    make.__annotations__ = {}
    return declared_attr(make)


def column_of(table: FromClause, name: str) -> Column[Any]:
    """Return the column that has this name in the database; its key may be another.

    :raises InvalidModel: there is none.
    """
    for column in table.columns:
        if column.name == name:
            return column  # type: ignore[return-value]
    raise InvalidModel(f"the table {getattr(table, 'name', table)} has no column {name}")


def has_column(table: Table, name: str) -> bool:
    """Return whether a table has a column of this name."""
    return any(column.name == name for column in table.columns)


def ensure_column(table: Table, name: str, make: Callable[[], Column[Any]]) -> Column[Any]:
    """Return the column of this name, which is added if the table has none."""
    if not has_column(table, name):
        table.append_column(make())
    return column_of(table, name)


def set_default(column: Column[Any], value: Any, *, for_update: bool = False) -> None:
    """Give a column that has no default one, at insert or at update."""
    name = "onupdate" if for_update else "default"
    if getattr(column, name) is None:
        default: Any = ColumnDefault(value, for_update=for_update)
        default.column = column
        setattr(column, name, default)
