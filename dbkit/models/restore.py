"""Deleted rows that live again, with what died with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, and_, inspect, or_, select, tuple_, update
from sqlalchemy.orm import Session

from dbkit.exceptions import DBError, InvalidModel, RestoreConflict, Staleness, StaleRow
from dbkit.filters.options import without
from dbkit.models.alive import living_keys
from dbkit.models.columns import column_of
from dbkit.models.dying import MarkedClass, children, marked_class
from dbkit.models.marking import RULE

M = TypeVar("M")

_MOST_KEYS = 500


def restore(session: Session, model: type[M], key: Any, *, tree: bool = True) -> M:
    """Let a deleted row live again, with what died with it; return its object.

    What died with it is what a relationship with the cascade "delete" leads to and was marked at the very same moment.
    A row that lives is returned as it is. In asyncio: ``await session.run_sync(models.restore, Server, 7)``.

    :param key: the primary key; a tuple if it has several columns.
    :param tree: what died with it lives again too.
    :raises StaleRow: there is no such row.
    :raises RestoreConflict: a living row has taken what must be unique; nothing is restored.
    :raises DBDuplicateEntry: a row that lives since a moment ago has, or a row of another transaction.

    .. versionadded:: 0.1
    """
    marked = _marked(model)
    mapper = inspect(model)
    values = tuple(key) if isinstance(key, tuple | list) else (key,)
    condition = and_(*(column == value for column, value in zip(mapper.primary_key, values, strict=True)))
    found = _load(session, model, condition)
    if not found:
        raise StaleRow(
            Staleness.MISSING,
            key=key,
            table=marked.table.name,
            transient=False,
            message=f"there is no row of the table {marked.table.name} with this key, neither a living nor a deleted "
            "one; it may have been purged, or another rule of the table hides it",
        )
    _revive(session, found, tree)
    return found[0]


def restore_where(session: Session, model: type[M], *criteria: ColumnElement[bool], tree: bool = True) -> list[M]:
    """Let all deleted rows that meet the criteria live again, with what died with them; return their objects.

    Raises what :func:`restore` does, except for a missing row; then nothing is restored.

    .. versionadded:: 0.1
    """
    marked = _marked(model)
    found = _load(session, model, marked.marking.is_dead(marked.table), *criteria)
    _revive(session, found, tree)
    return found


def _marked(model: Any) -> MarkedClass:
    mapper = inspect(model, raiseerr=False)
    marked = None if mapper is None else marked_class(mapper)
    if marked is None:
        raise InvalidModel(
            f"{getattr(model, '__name__', model)} is no class whose rows are marked when they are deleted, so that "
            "none can be restored; give it a mixin of soft delete"
        )
    return marked


def _load(session: Session, model: type[M], *criteria: Any) -> list[M]:
    # as it is in the database: what the session has of a row may be from before its death
    query = select(model).where(*criteria).options(without(RULE)).execution_options(populate_existing=True)
    return list(session.scalars(query).unique())


def _revive(session: Session, roots: list[Any], tree: bool) -> None:
    reviving: dict[int, Any] = {}
    for each in roots:
        for one in _family(session, each) if tree else (each,):
            marked = marked_class(inspect(one).mapper)
            if marked is not None and marked.is_marked(one):
                reviving[id(one)] = one
    by_class: dict[int, tuple[MarkedClass, list[Any]]] = {}
    for one in reviving.values():
        marked = marked_class(inspect(one).mapper)
        assert marked is not None
        by_class.setdefault(id(marked.table), (marked, []))[1].append(one)
    for marked, objects in by_class.values():
        _look_for_rivals(session, marked, objects)
    for marked, objects in by_class.values():
        for some in _parts(objects):
            statement = update(marked.table).where(_are(marked, some)).values(marked.marking.restored(marked.table))
            try:
                session.connection().execute(statement.options(without(RULE)))
            except DBError as error:
                error.add_note(f"dbkit: it came up while deleted rows of the table {marked.table.name} were restored")
                raise
    for one in reviving.values():
        session.expire(one)


def _family(session: Session, root: Any) -> Iterator[Any]:
    """Yield an object and what died with it."""
    waiting, seen = [root], set()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        moment = _moment(each)
        if moment is None:
            continue
        options = (without(RULE),)
        waiting.extend(one for one in children(session, each, *options) if _moment(one) == moment)


def _moment(instance: Any) -> Any:
    marked = marked_class(inspect(instance).mapper)
    if marked is None or marked.marking.moment is None:
        return None
    moment = getattr(instance, marked.attribute(marked.marking.moment))
    # a table may store moments with their zone, and that of its children without: both are in UTC
    return moment if moment is None or moment.tzinfo is None else moment.replace(tzinfo=None)


def _look_for_rivals(session: Session, marked: MarkedClass, objects: list[Any]) -> None:
    """Refuse if a living row has taken what a deleted one held."""
    table, keys = marked.table, list(marked.table.primary_key)
    for _name, columns in living_keys(table):
        names = [marked.attribute(each) for each in columns]
        wanted: dict[tuple[Any, ...], Any] = {}
        for each in objects:
            other = wanted.setdefault(tuple(getattr(each, name) for name in names), each)
            if other is not each and all(getattr(each, name) is not None for name in names):
                first, second = (_plain(marked.mapper.primary_key_from_instance(one)) for one in (other, each))
                raise RestoreConflict(
                    columns,
                    key=second,
                    living=first,
                    table=table.name,
                    message=f"two deleted rows of the table {table.name} cannot live again together: they have the "
                    f"same {', '.join(columns)}, and the keys that are in this error's attributes key and living; "
                    "restore one of them, or change it first",
                )
        held = [column_of(table, each) for each in columns]
        for some in _parts([each for each in wanted if None not in each]):  # NULL is like no other NULL
            taken = tuple_(*held).in_(some) if len(held) > 1 else held[0].in_([value for (value,) in some])
            query = select(*keys, *held).where(taken, marked.marking.is_alive(table)).options(without(RULE)).limit(1)
            row = session.connection().execute(query).first()
            if row is not None:
                dead = wanted.get(tuple(row[len(keys) :]))
                raise RestoreConflict(
                    columns,
                    key=None if dead is None else _plain(marked.mapper.primary_key_from_instance(dead)),
                    living=_plain(row[: len(keys)]),
                    table=table.name,
                    message=f"a deleted row of the table {table.name} cannot live again: a living row, whose key is in "
                    f"this error's attribute living, has taken its {', '.join(columns)}; change or delete that row "
                    "first",
                )


def _plain(key: Any) -> Any:
    values = tuple(key)
    return values[0] if len(values) == 1 else values


def _are(marked: MarkedClass, objects: list[Any]) -> ColumnElement[bool]:
    keys = [column_of(marked.table, column.name) for column in marked.table.primary_key]
    rows = [tuple(marked.mapper.primary_key_from_instance(each)) for each in objects]
    if len(keys) == 1:
        return keys[0].in_([value for (value,) in rows])
    return or_(*(and_(*(key == value for key, value in zip(keys, row, strict=True))) for row in rows))


def _parts(items: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(items), _MOST_KEYS):
        yield items[start : start + _MOST_KEYS]
