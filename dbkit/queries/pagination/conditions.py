"""ORDER BY, and the condition that a row stands behind another one in that order.

Pure functions of the sort keys and of the values of the row, right for NULL wherever it is put.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, cast, false, or_, true, tuple_

_COMPARED = {(False, False): "__gt__", (False, True): "__ge__", (True, False): "__lt__", (True, True): "__le__"}


@dataclass(frozen=True, slots=True, eq=False)
class OrderedKey:
    """A sort key on a certain database.

    :param expression: stands in ORDER BY.
    :param compared: is compared with the value of a row; an index on the expression serves it.
    :param read: is selected to learn that value exactly.
    :param descending: from the largest to the smallest.
    :param nulls_first: where NULL stands; None if the key is never NULL.
    :param is_placed: NULL stands there by itself.
    :param casts: the value is sent as what it was read as, and so not as the type of the column.
    """

    expression: ColumnElement[Any]
    compared: ColumnElement[Any]
    read: ColumnElement[Any]
    descending: bool
    nulls_first: bool | None
    is_placed: bool = True
    casts: bool = False

    def backward(self) -> OrderedKey:
        """Return the same key, sorted from the end."""
        nulls_first = None if self.nulls_first is None else not self.nulls_first
        return replace(self, descending=not self.descending, nulls_first=nulls_first)


def order_by(keys: Sequence[OrderedKey], *, places_nulls: bool) -> Iterator[ColumnElement[Any]]:
    """Yield the terms of ORDER BY.

    :param places_nulls: the database knows NULLS FIRST and NULLS LAST; otherwise a term of its own says it.
    """
    for key in keys:
        term = key.expression.desc() if key.descending else key.expression.asc()
        if key.nulls_first is None or key.is_placed:
            yield term
        elif places_nulls:
            yield term.nulls_first() if key.nulls_first else term.nulls_last()
        else:
            is_null = key.expression.is_(None)
            yield is_null.desc() if key.nulls_first else is_null.asc()
            yield term


def behind(
    keys: Sequence[OrderedKey], values: Sequence[Any], *, inclusive: bool = False, compares_rows: bool = False
) -> ColumnElement[bool]:
    """Return the condition that a row stands behind the one whose keys have these values.

    :param inclusive: or is that row.
    :param compares_rows: compare several keys at once where that means the same.
    """
    if not keys:
        return true() if inclusive else false()
    alike = _comparable(keys, values) if compares_rows else 1
    if alike > 1 and alike == len(keys):
        return _rows_compared(keys, values, inclusive)
    found = _behind(keys, values, inclusive)
    if len(keys) == 1:
        return found
    # implied by the rest, but the one term that bounds the range of an index
    bound = _rows_compared(keys[:alike], values, True) if alike > 1 else _reached(keys[0], values[0])
    return found if bound is None else and_(bound, found)


def at(keys: Sequence[OrderedKey], values: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition that a row is the one whose keys have these values."""
    return and_(true(), *(_is_equal(key, value) for key, value in zip(keys, values, strict=True)))


def _comparable(keys: Sequence[OrderedKey], values: Sequence[Any]) -> int:
    """Return of how many first keys ``(a, b) > (x, y)`` says it: it holds for no row in which a NULL decides."""
    count = 0
    for key, value in zip(keys, values, strict=True):
        if key.descending is not keys[0].descending or value is None or key.nulls_first is False:
            break
        count += 1
    return count


def _rows_compared(keys: Sequence[OrderedKey], values: Sequence[Any], inclusive: bool) -> ColumnElement[bool]:
    left = tuple_(*(key.compared for key in keys))
    right = tuple_(*(_bound(key, value) for key, value in zip(keys, values, strict=False)))
    condition: ColumnElement[bool] = getattr(left, _COMPARED[keys[0].descending, inclusive])(right)
    return condition


def _behind(keys: Sequence[OrderedKey], values: Sequence[Any], inclusive: bool) -> ColumnElement[bool]:
    key, value = keys[0], values[0]
    if len(keys) == 1:
        return _is_behind(key, value, inclusive)
    same = and_(_is_equal(key, value), _behind(keys[1:], values[1:], inclusive))
    return or_(_is_behind(key, value, False), same)


def _is_behind(key: OrderedKey, value: Any, inclusive: bool) -> ColumnElement[bool]:
    if value is None:
        further = key.compared.is_not(None) if key.nulls_first else false()
        return or_(further, key.compared.is_(None)) if inclusive else further
    further = getattr(key.compared, _COMPARED[key.descending, inclusive])(_bound(key, value))
    return or_(further, key.compared.is_(None)) if key.nulls_first is False else further


def _reached(key: OrderedKey, value: Any) -> ColumnElement[bool] | None:
    """Return the condition that the first key alone sets, None if there is none."""
    if value is None:
        return None if key.nulls_first else key.compared.is_(None)
    return _is_behind(key, value, True)


def _is_equal(key: OrderedKey, value: Any) -> ColumnElement[bool]:
    return key.compared.is_(None) if value is None else key.compared == _bound(key, value)


def _bound(key: OrderedKey, value: Any) -> ColumnElement[Any]:
    sent: ColumnElement[Any] = bindparam(None, value, type_=key.read.type, unique=True)
    return cast(sent, key.read.type) if key.casts else sent
