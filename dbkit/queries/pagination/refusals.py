"""Which statements and sort keys cannot be paged, and why: their pages would not be all rows, each once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from sqlalchemy import ARRAY, JSON, Select, Tuple
from sqlalchemy.orm import Query
from sqlalchemy.sql import functions
from sqlalchemy.types import TypeDecorator

from dbkit.exceptions import InvalidSortKey, UsageError

#: Functions that give another value each time they are asked.
_VOLATILE = frozenset({"random", "rand", "random_bytes", "newid", "uuid", "gen_random_uuid", "clock_timestamp"})

_GROUPINGS = (functions.rollup, functions.cube, functions.grouping_sets)


def pageable(statement: Any) -> Select[Any]:
    """Return a statement of which pages can be made.

    :raises UsageError: there are none of this one.
    """
    if isinstance(statement, Query):
        statement = statement.statement
    if not isinstance(statement, Select):
        raise UsageError(
            "pages are made of a select() or a Query; select from the subquery() of anything else, such as a union"
        )
    # SQLAlchemy has no public place for what a statement has of these; a test holds the names against it
    if statement._order_by_clauses:
        raise UsageError("the statement has an ORDER BY of its own; take it off, and name the keys in sort_by")
    has_bounds = (statement._limit_clause, statement._offset_clause, statement._fetch_clause)
    if any(each is not None for each in has_bounds) or statement._distinct_on:
        raise UsageError("the statement has a LIMIT, an OFFSET or DISTINCT ON; put it into a subquery and page that")
    if statement._distinct and statement._group_by_clauses:
        raise UsageError("the statement has GROUP BY and DISTINCT; put it into a subquery and page that")
    if any(isinstance(each, _GROUPINGS) for clause in statement._group_by_clauses for each in outside(clause)):
        raise UsageError(
            "the statement is grouped by ROLLUP, CUBE or GROUPING SETS, whose totals have the keys of other rows; put "
            "it into a subquery and page that"
        )
    if any(each.__visit_name__ == "over" for column in statement.selected_columns for each in outside(column)):
        raise UsageError(
            "the statement selects a window function, which would count the rows of each page anew; select it in a "
            "subquery and page that"
        )
    _refuse_collections(statement)
    return statement


def _refuse_collections(statement: Select[Any]) -> None:
    for option in statement._with_options:
        for each in getattr(option, "context", ()):
            if "eager_from_alias" in each.local_opts and any(getattr(part, "uselist", False) for part in each.path):
                raise UsageError(
                    "contains_eager() loads a collection from the rows of the statement, of which a page has a part; "
                    "load it with selectinload() or joinedload()"
                )


def refuse_key(element: Any) -> None:
    """Refuse an expression by which rows have no place, or none that a cursor can hold.

    :raises UsageError: it is such a one; where it is no expression of one value, an :class:`.InvalidSortKey`.
    """
    if isinstance(element, Tuple):
        raise InvalidSortKey("tuple_()")
    for each in outside(element):
        if each.__visit_name__ == "over":
            raise UsageError(
                "a window function cannot be a sort key of a page, because the rows behind a cursor are another "
                "window; select it in a subquery and sort by its column there"
            )
        if isinstance(each, functions.FunctionElement) and getattr(each, "name", "").lower() in _VOLATILE:
            raise UsageError(
                f"{each.name}() is another value each time, so rows have no place by it; store it in a column"
            )
    kind = element.type
    while isinstance(kind, TypeDecorator):
        kind = kind.impl_instance
    if isinstance(kind, JSON | ARRAY):
        raise UsageError(
            f"a sort key is of type {type(kind).__name__}, whose values a cursor cannot hold; sort by one element of "
            "it, such as column['name'].as_string()"
        )


def refuse_strangers(elements: Iterable[Any], known: Collection[Any]) -> None:
    """Refuse sort keys of tables that the statement does not read: each of its rows would be joined with all of theirs.

    :param known: the tables, aliases and subqueries that it reads.
    :raises UsageError: there is one.
    """
    for element in elements:
        for column in outside(element):
            if is_of_a_table(column) and column.table not in known:
                raise UsageError(
                    f"a sort key is of {name_of(column.table)}, which the statement does not read; join it, or sort by "
                    "something that is selected"
                )


def is_of_a_table(element: Any) -> bool:
    """Return whether it is a column of something that is read."""
    return element.__visit_name__ == "column" and element.table is not None


def name_of(source: Any) -> str:
    """Return what an error text calls a FROM."""
    name = str(getattr(source, "name", None) or "")
    kind = type(source).__name__.removeprefix("Annotated").lower()
    return name if name and not name.startswith("%(") else f"the {kind}"


def outside(element: Any) -> Iterator[Any]:
    """Yield the parts of an expression, without what stands in its subqueries."""
    yield element
    for each in element.get_children():
        if each.__visit_name__ not in ("select", "compound_select"):
            yield from outside(each)
