"""INSERTs that meet a row which is there already: one that is hidden stays as it is."""

from __future__ import annotations

import copy
import re
from typing import Any

from sqlalchemy import Case, ColumnElement, Select, Table, and_, case, literal, literal_column, null, select
from sqlalchemy.sql.elements import ClauseElement

from dbkit.exceptions import FilterError
from dbkit.filters.froms import Criteria, Guarding
from dbkit.filters.marks import version_of

_COUNTS = "dbkit_counts"
_HITS = "@dbkit_hits"
_REPLACES = re.compile(r"\bREPLACE\b", re.IGNORECASE)


def refuse_replacing(statement: Any, guarding: Guarding) -> None:
    """Refuse INSERT OR REPLACE, and UPDATE OR REPLACE, of a guarded table: what it deletes could be a hidden row.

    :raises FilterError: it is one.
    """
    for prefix, _dialect in statement._prefixes:
        text = getattr(prefix, "text", "")
        if _REPLACES.search(text) and guarding.is_guarded(statement.table):
            verb = type(statement).__name__.removeprefix("Annotated").upper()
            raise FilterError(
                f"{verb} {text} of the table {statement.table.name!r}, whose rows are filtered, would delete rows that "
                "a rule hides, and nobody would notice; use on_conflict_do_update()"
            )


def counting_up(on_conflict: Any, table: Any) -> Any:
    """Return an ON CONFLICT DO UPDATE that counts the version up; itself if it does so, or there is none."""
    version = version_of(table) if isinstance(table, Table) else None
    given = dict(on_conflict.update_values_to_set)
    if version is None or version in given or version.key in given:
        return on_conflict
    found = copy.copy(on_conflict)
    found.update_values_to_set = [*given.items(), (version.key, version + 1)]
    return found


def counting_up_duplicate(on_duplicate: Any, table: Any) -> Any:
    """Return an ON DUPLICATE KEY UPDATE that counts the version up; itself if it does so, or there is none."""
    version = version_of(table) if isinstance(table, Table) else None
    given = dict(on_duplicate.update)
    if version is None or version in given or version.key in given:
        return on_duplicate
    found = copy.copy(on_duplicate)
    found.update = {**given, version.key: version + 1}
    return found


def guarded_upsert(on_duplicate: Any, table: Any, criteria: Criteria) -> Any:
    """Return an ON DUPLICATE KEY UPDATE, which has no WHERE, that gives each column of a hidden row its own value."""
    found = copy.copy(on_duplicate)
    is_seen = and_(*criteria)
    looked_at = {getattr(each, "name", None) for one in criteria for each in one.get_children()}
    columns = {**{each.name: each for each in table.columns}, **dict(table.columns)}

    def guarded(column: ColumnElement[Any], value: Any) -> ColumnElement[Any]:
        if isinstance(value, Case) and _COUNTS in value._annotations:
            return counting_hit(column, guarded(column, value.else_))
        new = value if isinstance(value, ClauseElement) else literal(value, column.type)
        return case((is_seen, new), else_=column)

    changed = {key: guarded(columns[_key(key)], value) for key, value in on_duplicate.update.items()}
    # MySQL assigns from left to right, and what is assigned counts at once: what the rule looks at comes last
    last = [key for key in changed if columns[_key(key)].name in looked_at]
    found.update = {key: changed[key] for key in (*(each for each in changed if each not in last), *last)}
    found._parameter_ordering = list(found.update)
    return found


def counting_hit(column: ColumnElement[Any], value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return what a column becomes, and counts the rows that an INSERT finds there already, hidden ones too.

    MySQL and MariaDB tell of a row that stays as it was the same as of a new one.
    """
    return case((literal_column(f"({_HITS} := {_HITS} + 1) < 0"), column), else_=value)._annotate({_COUNTS: True})


def counting_from_zero(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a value that, read before the first row is stored, lets the count begin."""
    # not IS NULL: the server knows without looking that 0 is not NULL
    return case((literal_column(f"({_HITS} := 0) < 0"), null()), else_=value)


def counted_hits() -> Select[Any]:
    """Return the question for the count of this session's last statement."""
    return select(literal_column(_HITS))


def _key(key: Any) -> Any:
    return key if isinstance(key, str) else key.key
