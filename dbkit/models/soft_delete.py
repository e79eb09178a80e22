"""Deleted rows that stay: mixins for mapped classes, and the same for any table.

Each puts the rule ``soft_delete`` on the table, which hides what is deleted from every statement of a block, and says
what DELETE does to a row.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, Table, event
from sqlalchemy.orm import Mapped, Mapper, Session, mapped_column

from dbkit.exceptions import InvalidModel
from dbkit.models.alive import complete_waiting
from dbkit.models.columns import ensure_column, has_column, mixed_in, moment_type, set_default
from dbkit.models.dying import condemn
from dbkit.models.marking import Flavour, Marking, empty_key, key_name, marking_of, set_marking
from dbkit.models.types import SoftDeleteInteger

# Behind all that a class declares: the mark takes the type of the key, which must be there.
_ORDER = 1000


class KeyType(sa.types.TypeEngine[Any]):
    """Stands for the type of the table's key until the column is in the table."""

    __visit_name__ = "null"
    cache_ok = True


class _SoftDeletes:
    """What the mixins have in common."""

    @mixed_in
    def deleted_at(cls) -> Mapped[datetime | None]:
        """When the row was deleted; None if it lives."""
        return mapped_column(moment_type(), nullable=True, sort_order=_ORDER + 1)

    def soft_delete(self, session: Session) -> None:
        """Mark the object's row as deleted, with what dies with it, and flush.

        In asyncio: ``await session.run_sync(server.soft_delete)``.
        """
        condemn(session, self)
        session.flush()


class SoftDeleteMixin(_SoftDeletes):
    """``deleted`` holds the row's own key once it is deleted and 0 before, as oslo.db's; ``deleted_at`` says when.

    The column has the type of the primary key: 0 for numbers, an empty text, the nil UUID. So a unique constraint over
    ``(name, deleted)`` counts the living rows only. A class with a primary key of several columns names the one that
    tells its rows apart as ``__soft_delete_key__``.

    .. versionadded:: 0.1
    """

    @mixed_in
    def deleted(cls) -> Mapped[Any]:
        """The row's key if it is deleted."""
        made: Any = mapped_column(KeyType(), nullable=False, sort_order=_ORDER)
        marking = Marking(Flavour.KEY, "deleted", "deleted_at", getattr(cls, "__soft_delete_key__", None))
        _mark_when_attached(made.column, marking)
        return made  # type: ignore[no-any-return]


class DeletedAtMixin(_SoftDeletes):
    """``deleted_at`` is NULL while the row lives and says when it was deleted.

    .. versionadded:: 0.1
    """

    @mixed_in
    def deleted_at(cls) -> Mapped[datetime | None]:
        """When the row was deleted; None if it lives."""
        made: Any = mapped_column(moment_type(), nullable=True, sort_order=_ORDER)
        _mark_when_attached(made.column, Marking(Flavour.TIME, "deleted_at", "deleted_at"))
        return made  # type: ignore[no-any-return]


class DeletedFlagMixin(_SoftDeletes):
    """``deleted`` is true once the row is deleted; ``deleted_at`` says when.

    .. versionadded:: 0.1
    """

    @mixed_in
    def deleted(cls) -> Mapped[bool]:
        """Whether the row is deleted."""
        made: Any = mapped_column(
            sa.Boolean(), nullable=False, insert_default=False, server_default=sa.false(), sort_order=_ORDER
        )
        _mark_when_attached(made.column, Marking(Flavour.FLAG, "deleted", "deleted_at"))
        return made  # type: ignore[no-any-return]


def soft_deletable(
    table: Table,
    flavour: Flavour | str = Flavour.KEY,
    *,
    mark: str | None = None,
    moment: str | None = "deleted_at",
    key: str | None = None,
) -> Table:
    """Let a table's rows be marked as deleted in place of being deleted; columns that it lacks are added.

    It is called before the table is mapped, and needs no class at all.

    :param flavour: ``"key"``, ``"time"`` or ``"flag"``; see :class:`Flavour`.
    :param mark: the column that says that a row is deleted: ``deleted``, or ``deleted_at`` of the flavour ``"time"``.
    :param moment: the column that says when; None if there is none. Without one, nothing can be purged by its age.
    :param key: the column whose value the mark takes, where the primary key has several.
    :raises InvalidModel: the table cannot be marked in this way.

    .. versionadded:: 0.1
    """
    try:
        chosen = Flavour(flavour)
    except ValueError as error:
        known = ", ".join(repr(each.value) for each in Flavour)
        raise InvalidModel(f"there is no flavour {flavour!r} of soft delete; there are {known}") from error
    if chosen is Flavour.TIME:
        name = mark or moment or "deleted_at"
        marking = Marking(chosen, name, name)
        ensure_column(table, name, lambda: Column(name, moment_type(), nullable=True))
    else:
        name = mark or "deleted"
        marking = Marking(chosen, name, moment, key)
        if chosen is Flavour.KEY:
            ensure_column(table, name, lambda: Column(name, KeyType(), nullable=False))
            _adjust(table, marking)
        else:
            ensure_column(
                table,
                name,
                lambda: Column(name, sa.Boolean(), nullable=False, default=False, server_default=sa.false()),
            )
        if moment is not None:
            ensure_column(table, moment, lambda: Column(moment, moment_type(), nullable=True))
    _mark(table, marking)
    return table


def _mark_when_attached(column: Column[Any], marking: Marking) -> None:
    """Mark the table that a column gets into, and every copy of it."""

    def attached(own: Column[Any], parent: Any) -> None:
        if isinstance(parent, Table):
            if marking.flavour is Flavour.KEY:
                _adjust(parent, marking)
            _mark(parent, marking)

    event.listen(column, "after_parent_attach", attached)


def _mark(table: Table, marking: Marking) -> None:
    set_marking(table, marking)
    complete_waiting(table)


def _adjust(table: Table, marking: Marking) -> None:
    """Give the mark the type of the key, and a default."""
    mark = table.columns[marking.mark] if marking.mark in table.columns else None
    if mark is None:
        return
    name = key_name(table, marking)
    if not has_column(table, name):
        raise InvalidModel(f"the table {table.name} has no column {name}, whose value marks a deleted row")
    kind: Any = table.columns[name].type
    if isinstance(mark.type, KeyType):
        if isinstance(kind, sa.types.NullType):
            raise InvalidModel(
                f"the column {table.name}.{name} has no type of its own, and a deleted row is marked by its value; "
                "give the column a type beside its foreign key"
            )
        plain = isinstance(kind, sa.Integer) and type(kind) is sa.Integer
        mark.type = SoftDeleteInteger() if plain else kind
    empty = empty_key(mark)
    set_default(mark, empty)
    if mark.server_default is None and isinstance(empty, int | str):
        made: Any = sa.DefaultClause(str(empty))
        made.column = mark
        mark.server_default = made


@event.listens_for(Mapper, "instrument_class")
def _refuse_half_marked(mapper: Mapper[Any], class_: type) -> None:
    above = mapper.inherits
    if above is None or mapper.concrete or mapper.local_table is above.local_table:
        return
    if marking_of(mapper.local_table) is not None and marking_of(mapper.base_mapper.local_table) is None:
        raise InvalidModel(
            f"{class_.__name__} marks its deleted rows in its own table, and the other half of each row, in the table "
            f"of {mapper.base_mapper.class_.__name__}, would stay alive; put the mixin on "
            f"{mapper.base_mapper.class_.__name__}"
        )
