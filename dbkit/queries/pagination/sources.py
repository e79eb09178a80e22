"""What a statement reads from: which columns can be NULL there, and which of them name a row."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Alias, Column, Index, Join, Label, Select, Table, UniqueConstraint, literal_column
from sqlalchemy.sql import operators
from sqlalchemy.sql.selectable import FromGrouping

from dbkit.exceptions import UsageError
from dbkit.queries.pagination.keys import as_read, columns_in, parse
from dbkit.queries.pagination.refusals import is_of_a_table, name_of, outside

Columns = frozenset[tuple[Any, str]]


def sources_of(statement: Select[Any]) -> list[Any]:
    """Return the FROM of a statement, without what joined eager loading would add to it."""
    bare: Select[Any] = statement.with_only_columns(literal_column("1"), maintain_column_froms=True)
    return list(bare.group_by(None).get_final_froms())  # it may be grouped by the name of what was selected


def leaves(source: Any) -> Iterator[Any]:
    """Yield the tables, aliases and subqueries of a FROM."""
    source = _bare(source)
    if isinstance(source, Join):
        yield from leaves(source.left)
        yield from leaves(source.right)
    else:
        yield source


def _bare(source: Any) -> Any:
    while isinstance(source, FromGrouping):  # a join inside of a join
        source = source.element
    if isinstance(source, Join):
        return source
    # of a model it is a copy of its table, and columns know the table itself
    known: Any = next((each.table for each in source.columns if getattr(each, "table", None) is not None), source)
    return known if hash(known) == hash(source) else source


def perhaps_missing(sources: Iterable[Any]) -> set[Any]:
    """Return what an outer join may have no row of, so that all of its columns are NULL."""
    found: set[Any] = set()
    for source in map(_bare, sources):
        if isinstance(source, Join):
            if source.full:
                found.update(leaves(source))
            elif source.isouter:
                found.update(leaves(source.right))
            found |= perhaps_missing((source.left, source.right))
    return found


def is_nullable(expression: Any, missing: set[Any]) -> bool:
    """Return whether an expression may be NULL; False for a column alone that the table keeps from being so.

    A subquery's column says of itself what its table says, though an outer join inside may have made it NULL.
    """
    is_kept = isinstance(expression, Column) and expression.nullable is False and table_of(expression.table) is not None
    return not is_kept or expression.table in missing


def table_of(source: Any) -> Table | None:
    """Return the table behind a FROM that is one, or an alias of one."""
    while isinstance(source, Alias):
        source = source.element
    return source if isinstance(source, Table) else None


def unique_keys(table: Table) -> list[frozenset[str]]:
    """Return what names a row of a table for certain, as keys of columns; the primary key first.

    A unique key with a column that may be NULL is none: any number of rows may have NULL there.
    """
    candidates: list[Iterable[Column[Any]]] = [table.primary_key.columns]
    candidates += [each.columns for each in table.constraints if isinstance(each, UniqueConstraint)]
    candidates += [each.columns for each in table.indexes if is_whole(each)]
    chosen = [list(each) for each in candidates]
    return [frozenset(c.key for c in each) for each in chosen if each and not any(c.nullable for c in each)]


def is_whole(index: Index) -> bool:
    """Return whether an index is unique over all rows of its table, and over columns alone."""
    is_partial = any(options.get("where") is not None for options in index.dialect_options.values())
    return bool(index.unique) and not is_partial and len(index.columns) == len(index.expressions)


def columns_of(expressions: Iterable[Any]) -> Columns:
    """Return the columns among sort keys."""
    return frozenset((each.table, each.key) for each in expressions if isinstance(each, Column))


def missing_columns(statement: Select[Any], expressions: Sequence[Any]) -> list[Any]:
    """Return the columns that must be added to sort keys so that no two rows of the statement have the same.

    :raises UsageError: it cannot be told.
    """
    # SQLAlchemy has no public place for what a statement is grouped by and whether it is DISTINCT
    grouped = [parse(each, statement).expression for each in statement._group_by_clauses]
    if grouped:
        return [each for each in grouped if not any(each.compare(known) for known in expressions)]
    known = columns_of(expressions)
    if statement._distinct:
        return _of_distinct(statement, known, expressions)
    added: list[Any] = []
    for source in sources_of(statement):
        for leaf in _decisive(source):
            added += _naming(leaf, known)
    return added


def refuse_more_rows(statement: Select[Any], expressions: Iterable[Any], read: Collection[Any]) -> None:
    """Refuse sort keys that would make more rows of DISTINCT, because they differ where what is selected is the same.

    :param read: the tables, aliases and subqueries that the statement reads.
    :raises UsageError: there is one.
    """
    if not statement._distinct:
        return
    columns = [each.element if isinstance(each, Label) else each for each in statement.selected_columns]
    selected = [as_read(each, read) for each in columns]
    known = columns_of(selected)
    decisive = [leaf for source in sources_of(statement) for leaf in _decisive(source)]
    told = {leaf for leaf in decisive if _is_told(leaf, known)}
    for expression in expressions:
        if any(expression.compare(each) for each in selected):
            continue
        for column in filter(is_of_a_table, outside(expression)):
            owner = column.table
            is_told = owner in told or (owner not in decisive and len(told) == len(decisive))
            if (owner, column.key) not in known and not is_told:
                raise UsageError(
                    f"the statement is DISTINCT, and a sort key is of {name_of(owner)}.{column.key}, which is not "
                    "selected: rows that are the same would be several; select it, or group by what is selected"
                )


def _is_told(source: Any, known: Columns) -> bool:
    table = table_of(source)
    here = {key for owner, key in known if owner is source}
    return table is not None and any(each <= here for each in unique_keys(table))


def _naming(source: Any, known: Columns) -> list[Any]:
    table = table_of(source)
    keys = [] if table is None else unique_keys(table)
    if not keys:
        raise UsageError(
            f"nothing is known by which the rows of {name_of(source)} differ, so pages could repeat or skip some; add "
            "sort keys that differ in each row, and say so with is_unique=True"
        )
    here = {key for owner, key in known if owner is source}
    if any(each <= here for each in keys):
        return []
    return [column for column in source.columns if column.key in keys[0] - here]


def _of_distinct(statement: Select[Any], known: Columns, expressions: Sequence[Any]) -> list[Any]:
    selected = list(statement.selected_columns)
    added: list[Any] = []
    for column in selected:
        owner = getattr(column, "table", None)
        table = table_of(owner)
        here = columns_of(each for each in selected if getattr(each, "table", None) is owner)
        named = (
            next((each for each in unique_keys(table) if {(owner, k) for k in each} <= here), None)
            if (table is not None)
            else None
        )
        is_needed = column.key in named if named is not None else True
        is_known = (owner, column.key) in known or any(column.compare(each) for each in expressions)
        if is_needed and not is_known:
            added.append(column)
    return added


def _decisive(source: Any) -> list[Any]:
    """Return what must differ for two rows of a FROM to differ; what joins one row at most is left out."""
    source = _bare(source)
    if not isinstance(source, Join):
        return [source]
    left = _decisive(source.left)
    return left if _joins_one(source) else left + _decisive(source.right)


def _joins_one(join: Join) -> bool:
    right = _bare(join.right)
    table = table_of(right)
    if table is None or join.full or join.onclause is None:
        return False
    equal = {each.key for each in _compared(join.onclause, right)}
    return any(each <= equal for each in unique_keys(table))


def _compared(condition: Any, source: Any) -> Iterator[Any]:
    """Yield the columns of a source that a condition compares with something that is not of it."""
    if getattr(condition, "operator", None) is operators.and_:
        for each in condition.clauses:
            yield from _compared(each, source)
    elif getattr(condition, "operator", None) is operators.eq:
        for here, there in ((condition.left, condition.right), (condition.right, condition.left)):
            is_here = isinstance(here, Column) and here.table is source
            if is_here and not any(each.table is source for each in columns_in(there)):
                yield here
