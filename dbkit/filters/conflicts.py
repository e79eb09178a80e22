"""INSERTs that meet a row which is there already: one that is hidden stays as it is."""

from __future__ import annotations

import copy
import re
from typing import Any

from sqlalchemy import and_, case, literal
from sqlalchemy.sql.elements import ClauseElement

from dbkit.exceptions import FilterError
from dbkit.filters.froms import Criteria, Guarding

_REPLACES = re.compile(r"\bREPLACE\b", re.IGNORECASE)


def refuse_replacing(statement: Any, guarding: Guarding) -> None:
    """Refuse an INSERT OR REPLACE into a guarded table: the row that it deletes could be a hidden one.

    :raises FilterError: it is one.
    """
    for prefix, _dialect in statement._prefixes:
        text = getattr(prefix, "text", "")
        if _REPLACES.search(text) and guarding.is_guarded(statement.table):
            raise FilterError(
                f"INSERT {text} into the table {statement.table.name!r}, whose rows are filtered, would delete rows "
                "that a rule hides, and nobody would notice; use on_conflict_do_update()"
            )


def guarded_upsert(on_duplicate: Any, table: Any, criteria: Criteria) -> Any:
    """Return an ON DUPLICATE KEY UPDATE, which has no WHERE, that gives each column of a hidden row its own value."""
    found = copy.copy(on_duplicate)
    is_seen = and_(*criteria)
    looked_at = {getattr(each, "name", None) for one in criteria for each in one.get_children()}
    columns = {**{each.name: each for each in table.columns}, **dict(table.columns)}
    changed = {
        key: case(
            (is_seen, value if isinstance(value, ClauseElement) else literal(value, columns[_key(key)].type)),
            else_=columns[_key(key)],
        )
        for key, value in on_duplicate.update.items()
    }
    # MySQL assigns from left to right, and what is assigned counts at once: what the rule looks at comes last
    last = [key for key in changed if columns[_key(key)].name in looked_at]
    found.update = {key: changed[key] for key in (*(each for each in changed if each not in last), *last)}
    found._parameter_ordering = list(found.update)
    return found


def _key(key: Any) -> Any:
    return key if isinstance(key, str) else key.key
