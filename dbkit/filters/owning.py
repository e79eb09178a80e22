"""Whose a written row is: what INSERT and UPDATE put into the column of a tenant is his own, or is refused.

When a statement is compiled it is noted where its values come from; when it is sent, the values are looked at, all rows
together. What the database itself would compute is refused at once: nobody could tell whose the row would be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, FromClause, Table, bindparam
from sqlalchemy.sql.elements import BindParameter, ClauseElement, Grouping, Label, Null, TypeCoerce
from sqlalchemy.sql.selectable import CompoundSelect, FromGrouping, Join, Select

from dbkit.exceptions import ForeignScope
from dbkit.filters.froms import table_in
from dbkit.filters.options import switched_off
from dbkit.filters.tenants import Tenant, tenants_of

OWNED = "_dbkit_owned"
"""Where a compiled statement keeps what is looked at each time that it is sent; missing where there is nothing."""

_ABSENT: Any = object()
_WRAPPED = (Label, Grouping, TypeCoerce)


@dataclass(slots=True)
class Written:
    """What one statement writes into the column of a tenant.

    :ivar names: of parameters that SQLAlchemy makes itself.
    :ivar parameters: those of the statement; their values are known when it is sent.
    :ivar values: what is known already.
    """

    tenant: Tenant
    table: str
    key: str
    names: set[str] = field(default_factory=set)
    parameters: list[Any] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    _places: list[str] | None = None

    def check(self, compiled: Any, rows: Iterable[Mapping[str, Any]]) -> None:
        """Refuse values that are another tenant's; rows of many parameters are looked at together.

        :raises ForeignScope: one is.
        """
        places = self._places
        if places is None:
            places = self._places = list(self._look_up(compiled))
        found = list(self.values)
        for name in places:
            found += [row[name] for row in rows]
        if found:
            self.tenant.refuse_values(found, self.table, self.key)

    def _look_up(self, compiled: Any) -> Iterator[str]:
        """Yield the names under which the values stand among the parameters of a statement that is compiled."""
        wanted = set(self.parameters)
        for parameter, name in compiled.bind_names.items():
            if name in self.names or not wanted.isdisjoint(parameter._cloned_set):
                yield name


class Owning:
    """Looks at the statements of one compilation.

    :param off: the names of the rules that do not count.
    """

    def __init__(self, off: frozenset[str]) -> None:
        self._off = off
        self.written: list[Written] = []

    def inserted(self, statement: Any, state: Any, keys: Any, *, in_cte: bool) -> Any:
        """Look at an INSERT; return it, with the tenant filled in where a column's default would not be.

        :param statement: as it was given.
        :param state: what SQLAlchemy has made of it.
        :param keys: the columns that come as parameters.
        :raises ForeignScope: the database would compute whose the row is.
        """
        for tenant in tenants_of(table_in(statement.table), self._off):
            column = tenant.column_of(statement.table)
            written = self._note(tenant, column)
            if state.statement._select_names:
                self._look_at_select(written, state.statement, column)
                continue
            rows = state._multi_parameters if state._has_multi_parameters else [state._dict_parameters or {}]
            for row in rows:
                value = _given(row, column)
                if value is not _ABSENT:
                    self._look_at(written, value, ())
                elif not keys or column.key not in keys:
                    if column.default is not None and column.default.is_clause_element:
                        raise _computed(written)
                    if column.default is None and state._has_multi_parameters:
                        raise _computed(written, "nothing fills it in")
                    if column.default is None or (in_cte and not state._has_multi_parameters):
                        fill = bindparam(None, callable_=tenant.filler(written.table), type_=column.type, unique=True)
                        statement = statement.values({column: fill})
            _name_all(written, column.key, len(rows))
        return statement

    def updated(self, statement: Any, state: Any, keys: Any) -> None:
        """Look at what an UPDATE sets.

        :raises ForeignScope: the database would compute whose the row is.
        """
        froms = (statement.table, *state._extra_froms)
        given = state._dict_parameters or {}
        for place in froms:
            for tenant in tenants_of(table_in(place), self._off):
                column = tenant.column_of(place)
                value = _given(given, column, by_name=place is statement.table)
                named = place is statement.table and bool(keys) and column.key in keys
                if value is _ABSENT and not named:
                    continue
                written = self._note(tenant, column)
                if value is not _ABSENT:
                    self._look_at(written, value, froms)
                if named:
                    _name_all(written, column.key, 1)

    def upserted(self, values: Mapping[Any, Any], table: Any, excluded: str) -> dict[Any, Any]:
        """Look at what an INSERT sets of a row that is there already; return the values, each with a known name.

        :param excluded: the name of the alias by which the row is meant that was to be inserted.
        :raises ForeignScope: the database would compute whose the row is.
        """
        found = dict(values)
        for tenant in tenants_of(table_in(table), self._off):
            column = tenant.column_of(table)
            for key, value in found.items():
                if not _is_key(key, column):
                    continue
                if not isinstance(value, ClauseElement) and not hasattr(value, "__clause_element__"):
                    value = bindparam(None, value, type_=column.type, unique=True)
                elif isinstance(value, BindParameter) and value.type._isnull:
                    value = value._with_binary_element_type(column.type)
                found[key] = value
                self._look_at(self._note(tenant, column), value, (table,), excluded)
        return found

    def _note(self, tenant: Tenant, column: Column[Any]) -> Written:
        made = Written(tenant, getattr(column.table, "name", "?"), column.key)
        self.written.append(made)
        return made

    def _look_at(self, written: Written, value: Any, froms: Iterable[Any], excluded: str | None = None) -> None:
        if not isinstance(value, ClauseElement) and hasattr(value, "__clause_element__"):
            value = value.__clause_element__()
        while isinstance(value, _WRAPPED):
            value = value.clause if isinstance(value, TypeCoerce) else value.element
        if isinstance(value, BindParameter):
            written.parameters.append(value)
        elif not isinstance(value, ClauseElement):
            written.values.append(value)
        elif isinstance(value, Null):
            written.values.append(None)
        elif not self._is_own(written.tenant, value, froms, excluded):
            raise _computed(written)

    def _is_own(self, tenant: Tenant, value: ClauseElement, froms: Iterable[Any], excluded: str | None) -> bool:
        """Return whether an expression is the column of a row that the tenant sees, or one that was looked at."""
        if not isinstance(value, Column) or value.table is None or value.name != tenant.column:
            return False
        if excluded is not None and getattr(value.table, "name", None) == excluded:
            return True
        if tenant.shares or not any(tenant.is_like(each) for each in tenants_of(table_in(value.table), self._off)):
            return False
        return any(_same(value.table, each) for each in froms)

    def _look_at_select(self, written: Written, statement: Any, column: Column[Any]) -> None:
        names = [getattr(each, "key", each) for each in statement._select_names]
        if column.key not in names:
            if not statement.include_insert_from_select_defaults:
                raise _computed(written, "nothing fills it in, with include_defaults=False")
            return
        for leg in _legs(statement.select):
            columns = _columns(leg)
            if columns is None or len(columns) != len(names):
                raise _computed(written, "columns of a SELECT that are not named one by one can't be told apart")
            # a leg may see more than the statement that it stands in
            off = self._off | switched_off(leg) | switched_off(statement.select)
            value = columns[names.index(column.key)]
            self._less(off)._look_at(written, value, list(_kept(leg.get_final_froms())))

    def _less(self, off: frozenset[str]) -> Owning:
        other = Owning(off)
        other.written = self.written
        return other


def _computed(written: Written, why: str = "it is computed by the database") -> ForeignScope:
    return ForeignScope(
        f"nobody can tell whose a row of {written.table!r} would be, by the rule {written.tenant.name!r}, from the "
        f"value that the statement gives to {written.key!r}: {why}; leave the column out, which is filled in, give a "
        f"plain value, or open the block with .without({written.tenant.name!r})"
    )


def _given(row: Mapping[Any, Any], column: Column[Any], *, by_name: bool = True) -> Any:
    for key, value in row.items():
        if _is_key(key, column, by_name=by_name):
            return value
    return _ABSENT


def _is_key(key: Any, column: Column[Any], *, by_name: bool = True) -> bool:
    if isinstance(key, str):
        return by_name and key == column.key
    table = getattr(key, "table", None)
    if getattr(key, "key", None) != column.key:
        return False
    return by_name if table is None else _same(table, column.table)


def _name_all(written: Written, key: str, rows: int) -> None:
    """Take note of the names that SQLAlchemy gives to parameters which it makes itself; there may be none such."""
    written.names.add(key)
    written.names.update(f"{key}_m{number}" for number in range(rows if rows > 1 else 0))


def _same(one: Any, other: Any) -> bool:
    return one is other or (
        isinstance(one, FromClause) and isinstance(other, FromClause) and one._deannotate() is other._deannotate()
    )


def _legs(select: Any) -> Iterator[Any]:
    if isinstance(select, CompoundSelect):
        for each in select.selects:
            yield from _legs(each)
    elif hasattr(select, "element") and not isinstance(select, Select):
        yield from _legs(select.element)
    else:
        yield select


def _columns(leg: Any) -> list[Any] | None:
    """Return the expressions of a SELECT, in order; None if they are not named one by one."""
    if not isinstance(leg, Select) or any(isinstance(each, FromClause) for each in leg._raw_columns):
        return None
    return list(leg._raw_columns)


def _kept(froms: Iterable[Any]) -> Iterator[Any]:
    """Yield the tables of which each row of a SELECT has one, none of them from beyond an outer join."""
    for each in froms:
        if isinstance(each, FromGrouping):
            yield from _kept([each.element])
        elif isinstance(each, Join):
            if not each.full:
                yield from _kept([each.left] if each.isouter else [each.left, each.right])
        else:
            yield each


def is_looked_at(table: Any, off: frozenset[str]) -> bool:
    """Return whether anybody asks whose the rows of a table are."""
    found = table_in(table)
    return found is not None and (not isinstance(found, Table) or bool(tenants_of(found, off)))
