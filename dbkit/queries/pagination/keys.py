"""Sort keys: what a page is sorted by, as the user writes it and as it was found in the statement."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Label, Select, UnaryExpression, inspect
from sqlalchemy.ext.hybrid import HybridExtensionType
from sqlalchemy.orm import Mapper, QueryableAttribute, RelationshipProperty
from sqlalchemy.sql import operators, visitors

from dbkit.exceptions import InvalidSortKey
from dbkit.queries.pagination.refusals import is_of_a_table, outside, refuse_key

_DIRECTIONS = {operators.asc_op: False, operators.desc_op: True}
_PLACEMENTS = {operators.nulls_first_op: True, operators.nulls_last_op: False}


@dataclass(frozen=True, slots=True, eq=False)
class SortKey:
    """One sort key.

    :param expression: what the rows are sorted by.
    :param descending: from the largest to the smallest.
    :param nulls_first: whether NULL comes before all values; None: where the database puts it.
    """

    expression: ColumnElement[Any]
    descending: bool = False
    nulls_first: bool | None = None


def parse(key: Any, statement: Select[Any]) -> SortKey:
    """Return a sort key from what a user may write.

    That is a column, an attribute of a model, a hybrid, a label or another expression, each with SQLAlchemy's
    ``.asc()``, ``.desc()``, ``.nulls_first()`` and ``.nulls_last()``; or the name of a selected column, of a label or
    of an attribute of a selected model.

    :raises InvalidSortKey: it is none of these.
    :raises UsageError: rows have no place by it.
    """
    if isinstance(key, QueryableAttribute) and isinstance(getattr(key, "property", None), RelationshipProperty):
        raise InvalidSortKey(str(key))  # its SQL is a condition, by which nobody wants to sort
    element = _clause_of(key)
    descending, nulls_first = False, None
    while isinstance(element, UnaryExpression):
        if element.modifier in _DIRECTIONS:
            descending = _DIRECTIONS[element.modifier]
        elif element.modifier in _PLACEMENTS:
            nulls_first = _PLACEMENTS[element.modifier]
        else:
            break
        element = _clause_of(element.element)
    return SortKey(_found(element, statement), descending, nulls_first)


def _clause_of(key: Any) -> Any:
    while not isinstance(key, ColumnElement) and hasattr(key, "__clause_element__"):
        key = key.__clause_element__()
    if getattr(key, "__visit_name__", None) == "textual_label_reference":  # desc("name")
        return key.element
    return key


def _found(element: Any, statement: Select[Any]) -> ColumnElement[Any]:
    if isinstance(element, str):
        element = _clause_of(_named(element, statement))
    while isinstance(element, Label):
        element = element.element
    if not isinstance(element, ColumnElement):
        raise InvalidSortKey(element if isinstance(element, str) else type(element).__name__)
    refuse_key(element)
    return element


def _named(name: str, statement: Select[Any]) -> Any:
    for described in statement.column_descriptions:
        if described["name"] == name and isinstance(_clause_of(described["expr"]), ColumnElement):
            return described["expr"]
    for described in statement.column_descriptions:
        mapper = inspect(described["expr"], raiseerr=False)
        if mapper is not None and described.get("entity") is described["expr"]:
            return attribute_named(name, described["entity"], mapper.mapper)
    raise InvalidSortKey(name)


def attribute_named(name: str, entity: Any, mapper: Mapper[Any]) -> Any:
    """Return an attribute of a model, or of an alias of one, by which rows can be sorted.

    :raises InvalidSortKey: there is none.
    """
    found = mapper.all_orm_descriptors.get(name)
    if found is None or found.extension_type is HybridExtensionType.HYBRID_METHOD or name in mapper.relationships:
        raise InvalidSortKey(name)
    return getattr(entity, name)


def as_read(element: Any, sources: Collection[Any]) -> Any:
    """Return a sort key with the columns of what a statement reads in place of a model's attributes.

    By an attribute, SQLAlchemy would read a subclass's tables once more beside those of a polymorphic model.

    :param sources: the tables, aliases and subqueries.
    """

    def replaced(each: Any, **_others: Any) -> Any:
        if is_of_a_table(each) and each.table in sources:
            return each.table.c.get(each.key, each)
        return None

    inner = [each for part in outside(element) for each in part.get_children() if each.__visit_name__ == "select"]
    traverse: Any = visitors.replacement_traverse
    return traverse(element, {"stop_on": inner}, replaced)


def columns_in(element: Any) -> Iterator[Any]:
    """Yield each column that stands in an expression."""
    for each in visitors.iterate(element):
        if each.__visit_name__ == "column":
            yield each
