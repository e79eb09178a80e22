"""Joined inheritance: a row stands in several tables, and the rules of one count for all its parts."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Table, event
from sqlalchemy.orm import Mapper

from dbkit.filters.marks import Parent, set_parent


@event.listens_for(Mapper, "after_mapper_constructed")
def _note_parent(mapper: Mapper[Any], class_: type) -> None:
    above = mapper.inherits
    if above is None or mapper.concrete or mapper.inherit_condition is None:
        return
    here, there = mapper.local_table, above.local_table
    if here is there or not isinstance(here, Table) or not isinstance(there, Table):
        return
    pairs = tuple((theirs.name, ours.name) for theirs, ours in _oriented(mapper, there, here))
    if pairs:
        set_parent(here, Parent(there, pairs))


def _oriented(mapper: Mapper[Any], there: Table, here: Table) -> list[tuple[Column[Any], Column[Any]]]:
    found = []
    condition: Any = mapper.inherit_condition
    for each in _comparisons(condition):
        sides = {side.table: side for side in (each.left, each.right) if isinstance(side, Column)}
        if there in sides and here in sides:
            found.append((sides[there], sides[here]))
    return found


def _comparisons(condition: Any) -> list[Any]:
    if hasattr(condition, "clauses"):
        return [each for clause in condition.clauses for each in _comparisons(clause)]
    return [condition] if hasattr(condition, "left") and hasattr(condition, "right") else []
