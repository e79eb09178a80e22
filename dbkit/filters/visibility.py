"""Which statements may change what is hidden."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.sql.dml import Delete
from sqlalchemy.sql.visitors import iterate

from dbkit.filters.froms import table_in
from dbkit.filters.marks import Rule, inherited_rules, removal_of, rules_of

_HIDING = "dbkit.hiding"


def changed_by(statement: Any, parameters: Any, options: Any, off: frozenset[str]) -> Table | None:
    """Return the table of which an UPDATE or DELETE may hide rows or show them again; None if there is none.

    :param options: by which the ORM tells that it sees to its own objects after a DELETE.
    """
    table = table_in(statement.table)
    if not isinstance(table, Table) or not (rules_of(table) or inherited_rules(table)):
        return None
    if isinstance(statement, Delete):
        if removal_of(table) is None or _sees_to_itself(options):
            return None
        return table
    hiding = _hiding_columns(table)
    given = statement._values or dict(getattr(statement, "_ordered_values", None) or ())
    names = {each if isinstance(each, str) else getattr(each, "key", None) for each in given}
    many = parameters if isinstance(parameters, (list, tuple)) else (parameters,)
    first = next(iter(many), None)
    if isinstance(first, Mapping):
        names.update(first)
    return table if hiding & names else None


def _hiding_columns(table: Table) -> frozenset[str]:
    """Return the keys of the columns at which the rules of a table look."""
    rules = rules_of(table)
    kept: tuple[tuple[Rule, ...], frozenset[str]] | None = table.info.get(_HIDING)
    if kept is None or kept[0] is not rules:
        keys = frozenset(
            each.key for rule in rules for each in iterate(rule.criterion(table)) if isinstance(each, Column)
        )
        kept = table.info[_HIDING] = (rules, keys)
    return kept[1]


def _sees_to_itself(options: Any) -> bool:
    asked = None if not options else options.get("_sa_orm_update_options")
    return asked is not None and asked._synchronize_session not in (None, False)
