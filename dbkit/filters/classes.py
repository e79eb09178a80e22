"""Rules for mapped classes: on the table of each, and of each class that is mapped later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Table, event, inspect
from sqlalchemy.exc import NoInspectionAvailable
from sqlalchemy.orm import Mapper
from sqlalchemy.sql.elements import BinaryExpression
from sqlalchemy.sql.operators import eq
from sqlalchemy.sql.visitors import iterate

from dbkit.exceptions import FilterError
from dbkit.filters.marks import Parent, Rule, guard, set_parent


def put(rule: Rule, target: Any) -> None:
    """Put a rule on a table, or on the tables of a mapped class or of all classes with a mixin.

    A class that inherits with a table of its own obeys the rule through the table of the class that it inherits from.

    :raises FilterError: the class has no table of its own, or is no class that could be mapped.
    """
    if isinstance(target, Table):
        guard(target, rule)
        return
    each_mapper(target, lambda mapper: _mark(mapper, rule, target))


def each_mapper(target: Any, act: Callable[[Mapper[Any]], None]) -> None:
    """Call a function for the mapper of a class and of each class under it, now and when one is mapped later.

    :raises FilterError: it is no class.
    """
    if not isinstance(target, type):
        raise FilterError(f"a rule is put on a Table, a mapped class or a mixin of mapped classes; {target!r} is none")

    def constructed(mapper: Mapper[Any], cls: type) -> None:
        act(mapper)

    for mapper in _mappers_under(target):
        act(mapper)
    event.listen(target, "after_mapper_constructed", constructed, propagate=True)


def follow_inheritance(mapper: Mapper[Any]) -> bool:
    """Note on the table of a class where the other half of its rows stands; return whether there is another half."""
    above = mapper.inherits
    if above is None or mapper.concrete or not isinstance(mapper.local_table, Table):
        return False
    table, other = mapper.local_table, above.local_table
    if table is other or not isinstance(other, Table) or mapper.inherit_condition is None:
        return table is other
    pairs = []
    for each in iterate(mapper.inherit_condition):
        if isinstance(each, BinaryExpression) and each.operator is eq:
            left, right = each.left, each.right
            if left.table is table:
                left, right = right, left
            pairs.append((left.name, right.name))
    set_parent(table, Parent(other, tuple(pairs)))
    return True


def _mark(mapper: Mapper[Any], rule: Rule, target: type) -> None:
    above = mapper.inherits
    if above is not None and issubclass(above.class_, target):
        follow_inheritance(mapper)  # the rule stands on the class above
        return
    table = mapper.local_table
    if not isinstance(table, Table) or (above is not None and table is above.local_table):
        raise FilterError(
            f"the rule {rule.name!r} cannot be put on {mapper.class_.__name__}, which has no table of its own: a rule "
            "counts for all rows of a table; put it on the class that has the table"
        )
    guard(table, rule)


def _mappers_under(cls: type[Any]) -> Iterator[Mapper[Any]]:
    mapper: Any
    try:
        mapper = inspect(cls)
    except NoInspectionAvailable:
        mapper = None
    if isinstance(mapper, Mapper):
        yield mapper
    under: list[type[Any]] = cls.__subclasses__()
    for each in under:
        yield from _mappers_under(each)
