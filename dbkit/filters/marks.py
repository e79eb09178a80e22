"""What stands on a table for those who read it from there: its rules, its removal, its version column."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, FromClause, Table

_RULES = "dbkit.rules"
_REMOVAL = "dbkit.removal"
_VERSION = "dbkit.version"
_PARENT = "dbkit.parent"
GUARDED = "dbkit.guarded"
"""Stands in the ``info`` of a table that has rules, or is a part of one that may have."""

# By name, in small letters: a text, or a table() without a MetaData, names a table and cannot be asked for its rules.
_BY_NAME: dict[str, weakref.WeakSet[Table]] = {}
# Those of tables that are gone stay: a name is looked up whenever a block switches a rule off.
_RULE_NAMES: set[str] = set()


@dataclass(frozen=True, slots=True)
class Rule:
    """A named condition that the rows of a table must meet to be seen.

    :param name: by which it is switched off.
    :param criterion: returns the condition for a table or an alias of it, whose columns it finds by name. A value that
        depends on who asks is a ``bindparam`` with ``callable_``.
    """

    name: str
    criterion: Callable[[FromClause], ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class Removal:
    """How a row is marked as deleted in place of being deleted.

    :param rule: the name of the rule that hides such rows; with it switched off, DELETE deletes.
    :param values: returns what the columns become, by their names; nothing for a table whose rows are marked in the
        table of the class that it inherits from.
    :param restored: returns what the columns of a living row are, by their names.
    """

    rule: str
    values: Callable[[FromClause], Mapping[str, ColumnElement[Any]]]
    restored: Callable[[FromClause], Mapping[str, ColumnElement[Any]]]


@dataclass(frozen=True, slots=True)
class Parent:
    """The table that holds the other half of each row, by joined inheritance; its rules count for both halves.

    :param pairs: the names of the columns by which the halves belong together: there and here.
    """

    table: Table
    pairs: tuple[tuple[str, str], ...]


def guard(table: Table, rule: Rule) -> None:
    """Put a rule on a table; one of the same name is replaced."""
    rules = [each for each in rules_of(table) if each.name != rule.name]
    table.info[_RULES] = (*rules, rule)
    _RULE_NAMES.add(rule.name)
    _enter(table)


def rules_of(table: Table) -> tuple[Rule, ...]:
    """Return the rules of a table, in the order in which they were put on it."""
    found: tuple[Rule, ...] = table.info.get(_RULES, ())
    return found


def set_removal(table: Table, removal: Removal) -> None:
    """Say what DELETE does to the rows of a table."""
    table.info[_REMOVAL] = removal


def removal_of(table: Table) -> Removal | None:
    """Return what DELETE does to the rows of a table; None if it deletes them."""
    found: Removal | None = table.info.get(_REMOVAL)
    parent = parent_of(table)
    if found is None and parent is not None:
        other = removal_of(parent.table)
        # the row is marked in its other half, and this half stays
        return None if other is None else Removal(other.rule, _nothing, _nothing)
    return found


def set_version(table: Table, column: Column[Any]) -> None:
    """Say which column counts the changes of a row."""
    table.info[_VERSION] = column.name


def version_of(table: Table) -> Column[Any] | None:
    """Return the column that counts the changes of a row; None if none does."""
    name = table.info.get(_VERSION)
    return None if name is None else next(each for each in table.columns if each.name == name)


def set_parent(table: Table, parent: Parent) -> None:
    """Say which table holds the other half of each row; the rules that are put on it later count too."""
    table.info[_PARENT] = parent
    _enter(table)


def parent_of(table: Table) -> Parent | None:
    """Return which table holds the other half of each row; None if the rows are whole."""
    found: Parent | None = table.info.get(_PARENT)
    return found


def inherited_rules(table: Table) -> tuple[Rule, ...]:
    """Return the rules that a row of the table obeys because of its other half, in whichever table above it stands."""
    parent = parent_of(table)
    return () if parent is None else (*rules_of(parent.table), *inherited_rules(parent.table))


def has_guarded() -> bool:
    """Return whether any table of this process has a rule."""
    return bool(_BY_NAME)


def guarded_like(name: str, schema: str | None) -> Iterator[Table]:
    """Yield the tables with rules that the name may stand for; a schema that is not told may be any."""
    for table in tuple(_BY_NAME.get(name.lower(), ())):
        if (rules_of(table) or inherited_rules(table)) and (
            schema is None or table.schema is None or schema.lower() == table.schema.lower()
        ):
            yield table


def namesakes(table: Any) -> list[Table]:
    """Return the guarded tables that are meant by a table that is known by its name only.

    A Table says itself what rules it has: another one of the same name may be another database's.
    """
    if isinstance(table, Table):
        return []
    return list(guarded_like(table.name, getattr(table, "schema", None)))


def guarded_names() -> frozenset[str]:
    """Return the names of all tables with rules, in small letters."""
    return frozenset(name for name, tables in _BY_NAME.items() if len(tables))


def known_rules() -> frozenset[str]:
    """Return the names of all rules of this process."""
    return frozenset(_RULE_NAMES)


def are_known(names: frozenset[str]) -> bool:
    """Return whether there is a rule of each of these names."""
    return names <= _RULE_NAMES


def _nothing(_: FromClause) -> Mapping[str, ColumnElement[Any]]:
    return {}


def _enter(table: Table) -> None:
    table.info[GUARDED] = True
    _BY_NAME.setdefault(table.name.lower(), weakref.WeakSet()).add(table)
