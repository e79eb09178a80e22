"""A session's objects whose rows are hidden from it: they leave the session, as deleted ones do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import Table, select, tuple_
from sqlalchemy.orm import Mapper, Session, object_mapper
from sqlalchemy.orm.attributes import instance_dict, instance_state

from dbkit.filters.marks import inherited_rules, rules_of


def guarded_objects(session: Session, table: Table | None = None) -> list[Any]:
    """Return the objects of a session whose rows obey rules.

    :param table: only those that have a part of their row there.
    """
    found = []
    for each in session.identity_map.values():
        mapper: Mapper[Any] = object_mapper(each)
        if table is not None:
            if table in mapper.tables:
                found.append(each)
        elif any(isinstance(one, Table) and (rules_of(one) or inherited_rules(one)) for one in mapper.tables):
            found.append(each)
    return found


def forget_hidden(session: Session, objects: Iterable[Any]) -> None:
    """Take those objects out of a session whose rows it does not see; they keep what was loaded.

    It costs a query for each class among the objects; none if there are none.
    """
    by_class: dict[Any, dict[tuple[Any, ...], Any]] = defaultdict(dict)
    for each in objects:
        mapper = object_mapper(each).base_mapper
        by_class[mapper][tuple(mapper.primary_key_from_instance(each))] = each
    hidden = []
    with session.no_autoflush:
        for mapper, wanted in by_class.items():
            keys = mapper.primary_key
            query = select(*keys).where(
                tuple_(*keys).in_(list(wanted)) if len(keys) > 1 else keys[0].in_([key for (key,) in wanted])
            )
            seen = {tuple(row) for row in session.execute(query)}
            hidden += [each for key, each in wanted.items() if key not in seen]
    if hidden:
        _unlink(session, hidden)
        for each in hidden:
            if each in session:
                session.expunge(each)


def _unlink(session: Session, hidden: Collection[Any]) -> None:
    """Let relationships that hold hidden objects be loaded anew when they are used next."""
    gone = {id(each) for each in hidden}
    for each in list(session.identity_map.values()):
        if id(each) in gone:
            continue
        state, loaded = instance_state(each), instance_dict(each)
        stale = []
        for relation in object_mapper(each).relationships:
            value = loaded.get(relation.key)
            if value is None:
                continue
            members: Iterable[Any]
            if not relation.uselist:
                members = (value,)
            elif relation.key in state.manager and hasattr(value, "_sa_adapter"):
                members = value._sa_adapter
            else:
                continue
            if any(id(one) in gone for one in members):
                stale.append(relation.key)
        if stale:
            session.expire(each, stale)
