"""Ways of loading relationships, each with what it must load when nothing hidden is seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import immediateload, joinedload, lazyload, raiseload, selectinload, subqueryload

from dbkit.tests.leaks.reading import REFUSED, Case, ids, refused

STYLES = {
    "lazy": lazyload,
    "joined": joinedload,
    "selectin": selectinload,
    "subquery": subqueryload,
    "immediate": immediateload,
}

#: Class, relationship, and what it leads to from each object that is seen.
_RELATIONS: tuple[tuple[str, str, dict[int, Any]], ...] = (
    ("Owner", "pets", {1: [1]}),
    ("Pet", "owner", {1: 1, 2: None}),
    ("Note", "owner", {1: 1, 2: None}),
    ("Owner", "tags", {1: [1]}),
    ("Tag", "owners", {1: [1], 2: []}),
    ("Node", "children", {1: [2], 2: [], 3: []}),
    ("Node", "parent", {1: None, 2: 1, 3: None}),
    ("Owner", "things", {1: [1, 2, 3]}),
    ("Owner", "gadgets", {1: [1]}),
    ("Owner", "toys", {1: [2]}),
)


def _value(found: Any) -> Any:
    return ids(found) if isinstance(found, list) else getattr(found, "id", None)


def _all() -> Iterator[Case]:
    for style, load in STYLES.items():
        for cls, name, expected in _RELATIONS:

            def run(s: Any, m: Any, load: Any = load, cls: str = cls, name: str = name) -> Any:
                model = getattr(m, cls)
                s.expunge_all()
                found = s.scalars(select(model).options(load(getattr(model, name)))).unique()
                return {each.id: _value(getattr(each, name)) for each in found}

            yield Case(f"{style} {cls}.{name}", run, expected)

        def deep(s: Any, m: Any, load: Any = load) -> Any:
            s.expunge_all()
            found = s.scalars(select(m.Note).options(load(m.Note.owner).options(load(m.Owner.pets)))).unique()
            return {each.id: None if each.owner is None else ids(each.owner.pets) for each in found}

        yield Case(f"{style} Note.owner and its pets", deep, {1: [1], 2: None})

        def query(s: Any, m: Any, load: Any = load) -> Any:
            s.expunge_all()
            return [ids(each.pets) for each in s.query(m.Owner).options(load(m.Owner.pets))]

        yield Case(f"{style} Query", query, [[1]])
    yield Case("write_only", lambda s, m: ids(s.scalars(s.get(m.Owner, 1).written.select())), [1])
    yield Case("dynamic", lambda s, m: ids(s.get(m.Owner, 1).dynamic), [1])
    yield Case("dynamic count", lambda s, m: s.get(m.Owner, 1).dynamic.count(), 1)
    yield Case("refresh of a relationship", _refreshed, [1])
    yield Case("get with options", lambda s, m: ids(s.get(m.Owner, 1, options=[selectinload(m.Owner.pets)]).pets), [1])
    yield Case("count of a lazy relationship", _counted, 1)
    raising = refused(_raise, InvalidRequestError)
    yield Case("raise", raising, REFUSED)


def _refreshed(s: Any, m: Any) -> Any:
    owner = s.get(m.Owner, 1)
    s.refresh(owner, ["pets"])
    return ids(owner.pets)


def _counted(s: Any, m: Any) -> Any:
    return s.scalar(select(func.count()).select_from(m.Owner).join(m.Owner.pets))


def _raise(s: Any, m: Any) -> Any:
    s.expunge_all()
    return s.scalars(select(m.Owner).options(raiseload(m.Owner.pets))).one().pets


CASES = tuple(_all())
