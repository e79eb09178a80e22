"""How duplicates are marked as deleted in place of being deleted, for a table that no model describes."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Literal, cast

import sqlalchemy as sa
from sqlalchemy import ColumnElement, FromClause, Table

from dbkit.clock import naive_utc_now, utc_now
from dbkit.exceptions import UsageError
from dbkit.schema.places import missing_column

# Stays what it was: a row that is marked was not changed by anybody.
_CHANGE_TIME = "updated_at"

_NIL = uuid.UUID(int=0)


@dataclass(frozen=True, slots=True)
class SoftDelete:
    """How a row is marked as deleted, in a migration, where models are not asked.

    :param flavour: what the column ``mark`` holds: ``"key"``, the row's own key once it is deleted and 0 (or an empty
        text) before; ``"flag"``, a boolean; ``"time"``: ``moment`` alone says it, and is NULL before.
    :param moment: the column that says when; None if there is none.
    :param key: the column whose value the mark takes; None for the primary key.

    .. versionadded:: 0.1
    """

    flavour: Literal["key", "flag", "time"] = "key"
    mark: str = "deleted"
    moment: str | None = "deleted_at"
    key: str | None = None

    def check(self, table: Table) -> None:
        """Refuse a table that lacks a column.

        :raises SchemaMismatch: it does.
        :raises UsageError: there is no such flavour, or it does not fit.
        """
        if self.flavour not in ("key", "flag", "time"):
            raise UsageError(f"there is no flavour {self.flavour!r} of soft delete; there are 'key', 'flag' and 'time'")
        if self.flavour == "time" and self.moment is None:
            raise UsageError("the flavour 'time' of soft delete needs the name of the column: moment='deleted_at'")
        if self.flavour == "key" and self.key is None and len(table.primary_key) != 1:
            raise UsageError(
                f"the table {table.name!r} marks a deleted row by its key, and its primary key has "
                f"{len(table.primary_key)} columns; name the one that tells its rows apart with key=..."
            )
        for name in (None if self.flavour == "time" else self.mark, self.moment, self.key):
            if name is not None and name not in table.columns:
                raise missing_column(name, list(table.columns.keys()), table.name)

    def is_alive(self, table: FromClause) -> ColumnElement[bool]:
        """Return the condition that a row is not deleted."""
        if self.flavour == "time":
            return table.c[cast("str", self.moment)].is_(None)
        mark = table.c[self.mark]
        return mark == sa.false() if self.flavour == "flag" else is_empty(mark)

    def values(self, table: Table) -> dict[str, Any]:
        """Return what the columns of a row become."""
        found: dict[str, Any] = {}
        if self.flavour == "flag":
            found[self.mark] = sa.true()
        elif self.flavour == "key":
            found[self.mark] = table.c[self.key] if self.key else next(iter(table.primary_key))
        if self.moment is not None:
            found[self.moment] = utc_now() if getattr(table.c[self.moment].type, "timezone", False) else naive_utc_now()
        if _CHANGE_TIME in table.c:
            found[_CHANGE_TIME] = table.c[_CHANGE_TIME]
        return found


def empty_of(kind: Any) -> Any:
    """Return what the mark of a living row holds, of a key's type: 0, an empty text, the nil UUID."""
    if isinstance(kind, sa.Uuid):
        return _NIL if kind.as_uuid else str(_NIL)
    if isinstance(kind, sa.CHAR) and kind.length == len(_NIL.hex):
        return _NIL.hex  # so SQLAlchemy stores a UUID where the database has no type for it
    return "" if isinstance(kind, sa.String) else 0


def is_empty(mark: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that a mark holds no key."""
    if isinstance(mark.type, sa.String):
        return mark.in_(["", _NIL.hex, str(_NIL)])
    found: ColumnElement[bool] = mark == empty_of(mark.type)
    return found
