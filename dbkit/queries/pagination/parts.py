"""The rows of a page as one or two parts of an index: those whose first key is NULL lie at one end of it.

``a > 5 OR a IS NULL`` is no range to PostgreSQL and SQLite, which would read the index from its beginning. Read one
after the other, and the second one only if the first has not filled the page, both parts are ranges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, and_

from dbkit.queries.pagination.conditions import OrderedKey, behind
from dbkit.queries.pagination.style import Style


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Rows that stand together in an order.

    :param condition: which they are; None: all.
    :param keys: by which they are sorted; a key that has one value only is not among them.
    """

    condition: ColumnElement[bool] | None
    keys: Sequence[OrderedKey]


def parts(
    keys: Sequence[OrderedKey], values: Sequence[Any] | None, style: Style, *, inclusive: bool, splits: bool
) -> list[Part]:
    """Return the parts in which rows are read, in their order.

    :param values: of the row behind which they stand; None: all rows.
    :param inclusive: the row itself is one of them.
    :param splits: more than one part is allowed.
    """
    first = keys[0]
    if not splits or first.nulls_first is None or _is_one_range(first, values, style):
        condition = None if values is None else _behind(keys, values, style, inclusive)
        return [Part(condition, keys)]
    filled = [replace(first, nulls_first=None), *keys[1:]]
    # what PostgreSQL has as an index with NULL at the other end, it knows by these words only
    sorted_by = keys if style.indexes_place_nulls else filled
    is_null, is_filled = first.compared.is_(None), first.compared.is_not(None)
    others = keys[1:] or keys
    if values is None:
        found = [Part(is_null, others), Part(is_filled, sorted_by)]
        return found if first.nulls_first else found[::-1]
    if values[0] is None:
        here = Part(and_(is_null, _behind(keys[1:], values[1:], style, inclusive)), others)
        return [here, Part(is_filled, sorted_by)] if first.nulls_first else [here]
    here = Part(_behind(filled, values, style, inclusive), sorted_by)
    return [here] if first.nulls_first else [here, Part(is_null, others)]


def _is_one_range(first: OrderedKey, values: Sequence[Any] | None, style: Style) -> bool:
    """Return whether one statement reads an index in its order, and only what it needs of it."""
    if values is None:
        return first.is_placed or style.indexes_place_nulls
    return first.is_placed and style.merges_ranges and (values[0] is not None or bool(first.nulls_first))


def _behind(keys: Sequence[OrderedKey], values: Sequence[Any], style: Style, inclusive: bool) -> ColumnElement[bool]:
    return behind(keys, values, inclusive=inclusive, compares_rows=style.compares_rows)
