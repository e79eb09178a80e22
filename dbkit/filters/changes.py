"""UPDATE and DELETE of guarded tables: no hidden row is changed, and what is deleted may be marked in place of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnElement, Table, update
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.visitors import iterate
from sqlalchemy.util import immutabledict

from dbkit.exceptions import BlindUpdate, FilterError
from dbkit.filters.froms import Guarding, table_in, with_own_parameters
from dbkit.filters.marks import removal_of, version_of
from dbkit.filters.options import is_blind


def guarded_update(statement: Any, state: Any, guarding: Guarding) -> Any:
    """Return an UPDATE or DELETE as plain Core that leaves hidden rows alone; itself if it reaches no guarded table.

    :param statement: what SQLAlchemy has made of the statement.
    :param state: in which SQLAlchemy tells the further tables.
    """
    target, criteria = guarding.one(statement.table)
    for each in state._extra_froms:
        if each is not statement.table:
            other, wanted = guarding.one(each)
            if other is not each:
                raise FilterError(
                    "an UPDATE or DELETE with an outer join of a table whose rows are filtered beside its own table "
                    "cannot be written with the rule; join in a subquery"
                )
            criteria = [*criteria, *wanted]
    if not criteria and target is statement.table:
        return statement
    found = _plain(statement)
    found.table = target
    found._where_criteria = (*statement._where_criteria, *criteria)
    return found


def refuse_blind_update(statement: Any, asked: Any, keys: Any) -> Any:
    """Return an UPDATE that counts the version of its rows up; itself if it does so already, or there is none.

    :param asked: the statement as it was given, with its options.
    :param keys: the columns that come as parameters.
    :raises BlindUpdate: it would overwrite what others have written, and they would not notice.
    """
    table = statement.table
    version = version_of(table._deannotate()) if isinstance(table, Table) else None
    if version is None or _sets(statement, keys, version):
        return statement
    if not is_blind(asked) and not _names(statement._where_criteria, version):
        raise BlindUpdate(
            f"an UPDATE of the table {version.table.name!r} neither looks at its version, column {version.name!r}, nor "
            "counts it up: it would overwrite changes of others, and they would not notice; use "
            "dbkit.queries.compare_and_swap(), add a condition on the version to WHERE, change the objects through the "
            "session, or say that it is meant: .options(dbkit.blind_update()), which counts the version up"
        )
    return _with_value(statement, version, version + 1)


def removing(statement: Any, off: frozenset[str], dialect: Dialect) -> Any:
    """Return the UPDATE that marks what a DELETE would delete; None where rows are deleted.

    :raises FilterError: it wants to have the rows back, and the database gives them back only from a DELETE.
    """
    leaf = statement.table
    table = table_in(leaf)
    removal = removal_of(table) if isinstance(table, Table) else None
    if removal is None or removal.rule in off:
        return None
    assert isinstance(table, Table)
    if statement._returning and not dialect.update_returning:
        raise FilterError(
            f"DELETE ... RETURNING of the table {table.name!r}, whose rows are marked in place of being deleted (rule "
            f"{removal.rule!r}), is an UPDATE ... RETURNING, and {dialect.name} has none; select the rows first, for "
            "update, or delete without returning()"
        )
    values = dict(removal.values(leaf))
    columns = {each.name: each for each in leaf.columns}
    version = version_of(table)
    if version is not None:
        values.setdefault(version.name, columns[version.name] + 1)
    for column in table.columns:
        if column.onupdate is not None or column.server_onupdate is not None:
            values.setdefault(column.name, columns[column.name])  # the row is not changed, it is deleted
    if not values:
        values = {each.name: columns[each.name] for each in table.primary_key}
    keys = {each.name: each.key for each in table.columns}
    found = update(leaf).values({keys[name]: with_own_parameters(value) for name, value in values.items()})
    for name in _CARRIED:
        if name in statement.__dict__:
            found.__dict__[name] = statement.__dict__[name]
    return _plain(_with_kwargs(found, statement))


# Where SQLAlchemy 2.0 keeps the values of ordered_values(); 2.1 has one place for all.
_ORDERED = "_ordered_values"

# What a DELETE and the UPDATE in its place have in common.
_CARRIED = (
    "_where_criteria", "_returning", "_return_defaults", "_return_defaults_columns", "_supplemental_returning",
    "_prefixes", "_hints", "_independent_ctes", "_independent_ctes_opts", "_with_options", "_execution_options",
    "_annotations", "_post_criteria_clause",
)  # fmt: skip


def _with_kwargs(found: Any, statement: Any) -> Any:
    # the limit of a DELETE is that of the UPDATE: mysql_limit, mariadb_limit
    limits = {name: value for name, value in statement.kwargs.items() if name.endswith("_limit")}
    return found.with_dialect_options(**limits) if limits else found


def _plain(statement: Any) -> Any:
    """Return a copy that SQLAlchemy compiles as Core: the ORM has had its turn."""
    found = statement._clone()
    found._propagate_attrs = immutabledict()
    return found


def _sets(statement: Any, keys: Any, version: Column[Any]) -> bool:
    if keys is not None and version.key in keys:
        return True
    given = statement._values or dict(getattr(statement, _ORDERED, None) or ())
    return any(each in (version.key, version.name) or _is(each, version) for each in given)


def _with_value(statement: Any, version: Column[Any], value: ColumnElement[Any]) -> Any:
    found = _plain(statement)
    ordered = getattr(found, _ORDERED, None)
    if ordered:
        setattr(found, _ORDERED, (*ordered, (version, value)))
    else:
        found._values = immutabledict({**(found._values or {}), version: value})
    return found


def _names(criteria: Any, version: Column[Any]) -> bool:
    return any(_is(each, version) for one in criteria for each in iterate(one))


def _is(element: Any, version: Column[Any]) -> bool:
    if not isinstance(element, Column) or element.name != version.name:
        return False
    table: Any = element.table
    return table is not None and table._deannotate() is version.table
