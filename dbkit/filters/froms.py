"""Where the rules of each table in a FROM belong: into WHERE, into the ON of an outer join, or into the FROM itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Column, ColumnElement, FromClause, Table, and_, exists, join, select, true
from sqlalchemy.sql.elements import BinaryExpression, TextClause
from sqlalchemy.sql.operators import eq
from sqlalchemy.sql.selectable import AliasedReturnsRows, FromGrouping, Join, TableClause
from sqlalchemy.sql.visitors import iterate

from dbkit.exceptions import FilterError
from dbkit.filters.marks import Parent, Rule, namesakes, parent_of, rules_of
from dbkit.filters.texts import refuse_guarded

Criteria = list[ColumnElement[bool]]


class Filtered(FromClause):
    """A table in a FROM that shows no hidden rows, under the name that it had.

    A FULL JOIN can't do with conditions: a hidden row would come back as one without a partner.
    """

    __visit_name__ = "dbkit_filtered"

    def __init__(self, leaf: Any) -> None:
        self.leaf = leaf
        self.inner = select(leaf).subquery(leaf.name)

    @property
    def _from_objects(self) -> list[FromClause]:
        found: list[FromClause] = self.leaf._from_objects
        return found


class Guarding:
    """Applies the rules to the FROMs of one statement.

    :param off: the names of the rules that do not count.
    :param schema_of: returns the schema with which a table's name is written.
    """

    def __init__(self, off: frozenset[str], schema_of: Callable[[Any], str | None]) -> None:
        self._off = off
        self._schema_of = schema_of
        self._whole: set[Any] = set()

    def all_of(self, froms: list[FromClause]) -> tuple[list[FromClause], Criteria]:
        """Return the FROMs of a statement, changed where they must be, and what belongs into its WHERE."""
        found: list[FromClause] = []
        criteria: Criteria = []
        for each in froms:
            one, wanted = self.one(each)
            found.append(one)
            criteria.extend(wanted)
        return found, criteria

    def one(self, from_: Any) -> tuple[Any, Criteria]:
        """Return one FROM, changed if it must be, and what belongs into the WHERE that it stands before."""
        if isinstance(from_, FromGrouping):
            inner, criteria = self.one(from_.element)
            return (from_ if inner is from_.element else _grouped(inner)), criteria
        if isinstance(from_, Join):
            return self._joined(from_)
        if isinstance(from_, TextClause):
            refuse_guarded(f"FROM {from_.text}", self._off)
            return from_, []
        return from_, self.criteria(from_)

    def criteria(self, leaf: FromClause) -> Criteria:
        """Return the conditions of a table or an alias of one; none for anything else, which has FROMs of its own."""
        table = table_in(leaf)
        if table is None:
            return []
        found: Criteria = []
        for rules, place in self._places(table, leaf):
            found.extend(_condition(rule, place, table) for rule in rules if rule.name not in self._off)
        parent = parent_of(table) if isinstance(table, Table) else None
        if parent is not None and leaf not in self._whole:
            found.extend(self._half(leaf, table, parent))
        return found

    def is_guarded(self, leaf: FromClause) -> bool:
        """Return whether any rule counts for it."""
        return bool(self.criteria(leaf))

    def _places(self, table: TableClause, leaf: FromClause) -> Iterator[tuple[tuple[Rule, ...], FromClause]]:
        own = rules_of(table) if isinstance(table, Table) else ()
        if own or (isinstance(table, Table) and parent_of(table) is not None):
            yield own, leaf
            return
        if not isinstance(table, Table) and getattr(table.name, "quote", None) is False:
            refuse_guarded(f"FROM {table.name}", self._off)  # as it is written, whatever it says
        for namesake in namesakes(table):
            # the columns of the guarded table, as the statement will write them
            place = namesake if leaf is table else namesake.alias(leaf.name)  # type: ignore[attr-defined]
            yield rules_of(namesake), place

    def _half(self, leaf: FromClause, table: TableClause, parent: Parent) -> Criteria:
        """Return that the other half of a row is not hidden either."""
        other = parent.table.alias()
        if not Guarding(self._off, self._schema_of).is_guarded(other):
            return []
        here = _columns(leaf)
        there = _columns(other)
        matches = [there[theirs] == here[ours] for theirs, ours in parent.pairs]
        return [exists(true()).select_from(other).where(*matches).correlate(leaf)]

    def _joined(self, from_: Join) -> tuple[FromClause, Criteria]:
        if from_.full:
            left, right = self._derived(from_.left), self._derived(from_.right)
            if left is from_.left and right is from_.right:
                return from_, []
            return join(left, right, from_.onclause, full=True), []
        self._look_for_halves(from_)
        left, kept = self.one(from_.left)
        right, wanted = self.one(from_.right)
        onclause = from_.onclause
        if from_.isouter:
            if wanted:
                onclause = and_(true() if onclause is None else onclause, *wanted)
        else:
            kept = [*kept, *wanted]
        if left is from_.left and right is from_.right and onclause is from_.onclause:
            return from_, kept
        return join(left, right, onclause, isouter=from_.isouter), kept

    def _derived(self, from_: FromClause) -> FromClause:
        """Return the same FROM with each guarded table in it replaced by one that shows no hidden rows."""
        if isinstance(from_, FromGrouping):
            inner = self._derived(from_.element)
            return from_ if inner is from_.element else _grouped(inner)
        if isinstance(from_, Join):
            left, right = self._derived(from_.left), self._derived(from_.right)
            if left is from_.left and right is from_.right:
                return from_
            return join(left, right, from_.onclause, isouter=from_.isouter, full=from_.full)
        if not self.is_guarded(from_):
            return from_
        table = table_in(from_)
        assert table is not None
        if from_ is table and self._schema_of(table):
            raise FilterError(
                f"a FULL JOIN of the table {table.name!r}, whose rows are filtered, cannot be written with the name of "
                "its schema before its columns; join an alias of it, aliased(Model) or table.alias()"
            )
        return Filtered(from_)

    def _look_for_halves(self, from_: Join) -> None:
        """Take note of the tables whose other half is joined to them: the rules are met there."""
        if from_.onclause is None:
            return
        equal = {
            frozenset((each.left, each.right))
            for each in iterate(from_.onclause)
            if isinstance(each, BinaryExpression) and each.operator is eq
        }
        lefts = list(_leaves(from_.left))
        for leaf in _leaves(from_.right):
            table = table_in(leaf)
            parent = parent_of(table) if isinstance(table, Table) else None
            if parent is None:
                continue
            for other in lefts:
                if table_in(other) is not parent.table:
                    continue
                there, here = _columns(other), _columns(leaf)
                if all(frozenset((there[theirs], here[ours])) in equal for theirs, ours in parent.pairs):
                    self._whole.add(leaf)


def table_in(from_: Any) -> TableClause | None:
    """Return the table behind any number of aliases, without what the ORM notes on it; None if it is none."""
    element = from_
    while isinstance(element, (AliasedReturnsRows, FromGrouping)):
        element = element.element
    if isinstance(element, TableClause):
        bare: TableClause = element._deannotate()
        return bare
    return None


def with_own_parameters(expression: Any) -> Any:
    """Return an expression whose parameters have names that nobody gives to the parameters of a statement."""
    try:
        return expression.unique_params()
    except NotImplementedError:  # a column, or a constant such as NULL
        return expression


def _grouped(from_: Any) -> Any:
    return from_.self_group()


def _leaves(from_: FromClause) -> Iterator[FromClause]:
    if isinstance(from_, FromGrouping):
        yield from _leaves(from_.element)
    elif isinstance(from_, Join):
        yield from _leaves(from_.left)
        yield from _leaves(from_.right)
    else:
        yield from_


def _columns(from_: FromClause) -> dict[str, Column[Any]]:
    return {each.name: each for each in from_.columns}  # type: ignore[misc]


def _condition(rule: Rule, place: FromClause, table: TableClause) -> ColumnElement[bool]:
    try:
        found: ColumnElement[bool] = with_own_parameters(rule.criterion(place))
        return found
    except (AttributeError, KeyError) as error:
        raise FilterError(
            f"the rule {rule.name!r} cannot find its column {error} in the table {table.name!r} of this statement"
        ) from error
