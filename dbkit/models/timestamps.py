"""When a row was made and when it was last changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.orm import Mapped, mapped_column

from dbkit.clock import naive_utc_now, utc_now
from dbkit.models.columns import ensure_column, mixed_in, moment_type, set_default
from dbkit.models.types import UtcDateTime

_UPDATED = "dbkit.updated_at"

# Beside what a class declares itself, and before what marks the deleted rows.
_ORDER = 900


class TimestampMixin:
    """``created_at`` and ``updated_at`` in UTC without a zone, as oslo.db's; the process's clock says when.

    ``updated_at`` is NULL until the first change.

    .. versionadded:: 0.1
    """

    @mixed_in
    def created_at(cls) -> Mapped[datetime | None]:
        """When the row was made."""
        return mapped_column(moment_type(), insert_default=naive_utc_now, nullable=True, sort_order=_ORDER)

    @mixed_in
    def updated_at(cls) -> Mapped[datetime | None]:
        """When the row was last changed; None if it never was."""
        return mapped_column(
            moment_type(), onupdate=naive_utc_now, nullable=True, sort_order=_ORDER, info={_UPDATED: True}
        )


class AwareTimestampMixin:
    """``created_at`` and ``updated_at`` as :class:`TimestampMixin` has them, aware of their zone, which is UTC.

    .. versionadded:: 0.1
    """

    @mixed_in
    def created_at(cls) -> Mapped[datetime]:
        """When the row was made."""
        return mapped_column(UtcDateTime(), insert_default=utc_now, nullable=False, sort_order=_ORDER)

    @mixed_in
    def updated_at(cls) -> Mapped[datetime | None]:
        """When the row was last changed; None if it never was."""
        return mapped_column(UtcDateTime(), onupdate=utc_now, nullable=True, sort_order=_ORDER, info={_UPDATED: True})


def timestamped(
    table: Table, *, created: str = "created_at", updated: str = "updated_at", aware: bool = False
) -> Table:
    """Let a table say when its rows were made and changed; columns that it lacks are added.

    It is called before the table is mapped. Columns that are there keep their type and get what they lack.

    .. versionadded:: 0.1
    """
    now = utc_now if aware else naive_utc_now
    kind: Any = UtcDateTime() if aware else moment_type()
    set_default(ensure_column(table, created, lambda: Column(created, kind, nullable=True)), now)
    column = ensure_column(table, updated, lambda: Column(updated, kind, nullable=True))
    set_default(column, now, for_update=True)
    column.info[_UPDATED] = True
    return table


def is_change_time(column: Any) -> bool:
    """Return whether a column says when its row was last changed."""
    return bool(column.info.get(_UPDATED))
