"""What stands on a table for those who read it from there: its rules, its removal, its version column."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, FromClause, Table

_RULES = "dbkit.rules"
_REMOVAL = "dbkit.removal"
_VERSION = "dbkit.version"


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
    :param values: returns what the columns become, by their names.
    :param restored: returns what the columns of a living row are, by their names.
    """

    rule: str
    values: Callable[[FromClause], Mapping[str, ColumnElement[Any]]]
    restored: Callable[[FromClause], Mapping[str, ColumnElement[Any]]]


def guard(table: Table, rule: Rule) -> None:
    """Put a rule on a table; one of the same name is replaced."""
    rules = [each for each in rules_of(table) if each.name != rule.name]
    table.info[_RULES] = (*rules, rule)


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
    return found


def set_version(table: Table, column: Column[Any]) -> None:
    """Say which column counts the changes of a row."""
    table.info[_VERSION] = column.name


def version_of(table: Table) -> Column[Any] | None:
    """Return the column that counts the changes of a row; None if none does."""
    name = table.info.get(_VERSION)
    return None if name is None else table.columns[name]
