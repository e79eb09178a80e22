"""What both peers' models are made from: the columns of SQLAlchemy's tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column
from sqlalchemy import types as sqltypes

#: In this order: a Text is a String too.
_KINDS: tuple[tuple[Any, str], ...] = (
    (sqltypes.Boolean, "boolean"),
    (sqltypes.DateTime, "datetime"),
    (sqltypes.Integer, "integer"),
    (sqltypes.Text, "text"),
    (sqltypes.String, "string"),
)
KINDS: Sequence[str] = tuple(kind for _, kind in _KINDS)


def kind_of(column: Column[Any]) -> str:
    """Return which of the kinds a column's type is."""
    return next(kind for type_, kind in _KINDS if isinstance(column.type, type_))


def target_of(column: Column[Any]) -> Column[Any] | None:
    """Return the column that a foreign key points to."""
    return next((key.column for key in column.foreign_keys), None)


def relation_of(column: Column[Any]) -> str:
    """Return the name under which the object stands that a foreign key points to."""
    return column.name.removesuffix("_id").removesuffix("_uuid")


def class_name_of(table_name: str) -> str:
    """Return the name of a table's model."""
    return table_name.title().replace("_", "").removesuffix("s")
