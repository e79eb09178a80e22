"""``paginate_query`` with oslo.db's signature, right for NULL; and its small companions."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Boolean, ColumnElement, UniqueConstraint, inspect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Mapper
from sqlalchemy.sql.functions import FunctionElement

from dbkit.queries.pagination.conditions import OrderedKey, behind, order_by
from dbkit.queries.pagination.keys import attribute_named
from dbkit.queries.pagination.sources import is_nullable
from dbkit.queries.pagination.style import style_of

LOG = logging.getLogger(__name__)

_NULLS_FIRST = {"": None, "nullsfirst": True, "nullslast": False}
_DIRECTIONS = {
    f"{way}{'-' if placed else ''}{placed}": (way == "desc", first)
    for way in ("asc", "desc")
    for placed, first in _NULLS_FIRST.items()
}


class _AsSorted(FunctionElement[bool]):
    """Two conditions, of which the one is sent that fits where the database puts NULL."""

    name = "dbkit_as_sorted"
    type = Boolean()
    inherit_cache = True


@compiles(_AsSorted)  # type: ignore[no-untyped-call,untyped-decorator,unused-ignore]
def _compile(element: _AsSorted, compiler: Any, **options: Any) -> str:
    smallest, largest = element.clauses
    chosen = largest if style_of(compiler.dialect).nulls_are_smallest is False else smallest
    return str(compiler.process(chosen.self_group(), **options))


def paginate_query(
    query: Any,
    model: Any,
    limit: int | None,
    sort_keys: Sequence[str],
    marker: Any = None,
    sort_dir: str | None = None,
    sort_dirs: Sequence[str] | None = None,
) -> Any:
    """Return the query with ORDER BY, with the condition that rows stand behind the marker, and with LIMIT.

    :param query: a ``Query`` or a ``select()``.
    :param limit: None for no limit.
    :param marker: an object with the attributes ``sort_keys``; the page begins behind it.
    :param sort_dir: one direction for all keys: ``asc`` or ``desc``, with ``-nullsfirst`` or ``-nullslast`` if wished.
    :param sort_dirs: a direction for each key.
    :raises InvalidSortKey: the model has no such column, hybrid or column property.
    :raises AssertionError: both are given, or not as many directions as keys.
    :raises ValueError: there is no such direction.

    .. versionadded:: 0.1
    """
    if sort_dir is not None and sort_dirs is not None:
        raise AssertionError("give sort_dir or sort_dirs, not both")
    directions = [sort_dir or "asc"] * len(sort_keys) if sort_dirs is None else list(sort_dirs)
    if len(directions) != len(sort_keys):
        raise AssertionError("sort_dirs and sort_keys must have the same length")
    unknown = [each for each in directions if each not in _DIRECTIONS]
    if unknown:
        raise ValueError(f"unknown sort direction {unknown[0]!r}, must be one of: {', '.join(_DIRECTIONS)}")
    names = get_unique_keys(model)
    if names is not None and not any(each <= set(sort_keys) for each in names):
        LOG.warning("Unique keys not in sort_keys. The order of pages may be unstable.")
    mapper = inspect(model).mapper
    attributes = [attribute_named(name, model, mapper).__clause_element__() for name in sort_keys]
    values = [None if marker is None else getattr(marker, name) for name in sort_keys]
    smallest, largest = (
        [_key(*each, smallest) for each in zip(attributes, directions, values, strict=True)]
        for smallest in (True, False)
    )
    query = query.order_by(*order_by(smallest, places_nulls=False))
    if marker is not None and smallest:
        query = query.where(_AsSorted(behind(smallest, values), behind(largest, values)))
    return query if limit is None else query.limit(limit)


def _key(attribute: ColumnElement[Any], direction: str, value: Any, nulls_are_smallest: bool) -> OrderedKey:
    descending, nulls_first = _DIRECTIONS[direction]
    if nulls_first is not None:
        return OrderedKey(attribute, attribute, attribute, descending, nulls_first, is_placed=False)
    can_be_null = value is None or is_nullable(attribute, set())
    nulls_first = nulls_are_smallest is not descending if can_be_null else None
    return OrderedKey(attribute, attribute, attribute, descending, nulls_first)


def get_unique_keys(model: Any) -> list[set[str]] | None:
    """Return the sets of attributes that are unique in a model's table; None if it is not mapped.

    .. versionadded:: 0.1
    """
    inspected = inspect(model, raiseerr=False)
    if inspected is None or not isinstance(getattr(inspected, "mapper", None), Mapper):
        return None
    mapper = inspected.mapper
    table: Any = mapper.local_table
    found: list[Iterable[Any]] = [table.primary_key.columns]
    found += [each.columns for each in getattr(table, "constraints", ()) if isinstance(each, UniqueConstraint)]
    found += [each.columns for each in getattr(table, "indexes", ()) if each.unique]
    return [{mapper.get_property_by_column(column).key for column in each} for each in found]


def to_list(x: Any, default: list[Any] | None = None) -> list[Any] | None:
    """Return a list: the default for None, of one element for a text and what cannot be iterated.

    .. versionadded:: 0.1
    """
    if x is None:
        return default
    if isinstance(x, list):
        return x
    return [x] if isinstance(x, str) or not isinstance(x, Iterable) else list(x)
