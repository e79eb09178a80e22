"""A column that counts the changes of a row, so that a stale one is refused."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, Table, event
from sqlalchemy.orm import Mapped, Mapper, mapped_column

from dbkit.exceptions import InvalidModel
from dbkit.filters.marks import set_version, version_of
from dbkit.models.columns import ensure_column, mixed_in, set_default

_ORDER = 950


class VersionMixin:
    """``version`` counts the changes of a row; the unit of work looks at it in each UPDATE and DELETE.

    .. versionadded:: 0.1
    """

    @mixed_in
    def version(cls) -> Mapped[int]:
        """How often the row was written."""
        made: Any = mapped_column(sa.Integer(), nullable=False, insert_default=1, server_default="1", sort_order=_ORDER)

        def attached(column: Column[Any], parent: Any) -> None:
            if isinstance(parent, Table):
                set_version(parent, column)

        event.listen(made.column, "after_parent_attach", attached)
        return made  # type: ignore[no-any-return]


def versioned(table: Table, column: str = "version") -> Table:
    """Let a column count the changes of a table's rows; it is added if there is none.

    It is called before the table is mapped: a class that is mapped to it has the column as its ``version_id_col``.

    :raises InvalidModel: the column holds something other than integers.

    .. versionadded:: 0.1
    """
    found = ensure_column(
        table, column, lambda: Column(column, sa.Integer(), nullable=False, default=1, server_default="1")
    )
    _refuse_other_types(table, found)
    set_default(found, 1)
    set_version(table, found)
    return table


def _refuse_other_types(table: Table, column: Column[Any]) -> None:
    kind: Any = getattr(column.type, "impl_instance", column.type)
    if isinstance(kind, sa.Integer):
        return
    reason = (
        "two changes can fall into one moment, and clocks can be set back; "
        if isinstance(kind, sa.DateTime | sa.Date | sa.Time)
        else ""
    )
    raise InvalidModel(
        f"the column {table.name}.{column.name} of type {column.type!r} cannot be the version of a row: {reason}"
        "use an integer column, which counts"
    )


@event.listens_for(Mapper, "instrument_class")
def _use_version(mapper: Mapper[Any], class_: type) -> None:
    """Let the unit of work use the version of a table that has one, whichever way the class is mapped."""
    table: Any = mapper.local_table
    own = mapper.version_id_col
    if not isinstance(table, Table):
        return
    if own is not None:
        if isinstance(own, Column) and own.table is table and version_of(table) is None:
            if isinstance(own.type, sa.Integer) and mapper.version_id_generator is not False:
                set_version(table, own)
        return
    column = version_of(table)
    if column is not None and mapper.inherits is None:
        mapper.version_id_col = column
