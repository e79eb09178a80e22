"""What a rule knows that lets each tenant see its own rows: which column says whose a row is, and who asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy import Column, ColumnDefault, ColumnElement, FromClause, Table, bindparam, event, or_
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import get_history
from sqlalchemy.orm.base import PASSIVE_NO_INITIALIZE
from sqlalchemy.orm.exc import UnmappedColumnError
from sqlalchemy.orm.interfaces import EXT_CONTINUE

from dbkit.exceptions import FilterError, ForeignScope, RuleValueMissing
from dbkit.filters.marks import namesakes, rules_of
from dbkit.filters.moments import Moment

_FILLED = "dbkit.filled"

NOT_SHARED: Any = object()
"""No row belongs to everybody."""


class Tenant:
    """What a rule made by :func:`dbkit.filters.scoped` does.

    :ivar name: of the rule.
    :ivar column: the name of the column that says whose a row is.
    :param many: the value is a collection.
    :param shared: what stands in the column of rows that everybody sees.
    """

    def __init__(self, name: str, column: str, moment: Moment, many: bool, shared: Any) -> None:
        self.name = name
        self.column = column
        self._moment = moment
        self._many = many
        self._shared = shared

    @property
    def shares(self) -> bool:
        """Whether rows are seen that are everybody's."""
        return self._shared is not NOT_SHARED

    def is_like(self, other: Tenant) -> bool:
        """Return whether another table's rule means the same tenant."""
        return (self.name, self._many, self._moment.place) == (other.name, other._many, other._moment.place)

    def criterion(self, table: FromClause) -> ColumnElement[bool]:
        """Return that a row is the tenant's, or everybody's."""
        column = self.column_of(table)
        read = self.reader(getattr(table, "name", "?"))
        parameter = bindparam(self.name, callable_=read, type_=column.type, unique=True, expanding=self._many)
        mine: ColumnElement[bool] = column.in_(parameter) if self._many else column == parameter
        if self._shared is NOT_SHARED:
            return mine
        return or_(mine, column.is_(None) if self._shared is None else column == self._shared)

    def fill_in(self, table: Table) -> None:
        """Let the column have the tenant as its default."""
        column: Any = self.column_of(table)
        if column.default is None:
            ColumnDefault(self.filler(table.name))._set_parent_with_dispatch(column)
            column.info[_FILLED] = True

    def filler(self, table: str) -> Callable[[], Any]:
        """Return what returns the tenant for a row of a table that is stored without one."""
        read = self.reader(table)
        return lambda: self._only_one(read(), table)

    def watch(self, mapper: Mapper[Any]) -> None:
        """Fill the column in, and refuse objects of other tenants, for the objects of a class."""
        table = next((each for each in mapper.tables if any(one.name == self.column for one in each.columns)), None)
        if not isinstance(table, Table):
            raise FilterError(f"{mapper.class_.__name__} has no column {self.column!r} for the rule {self.name!r}")
        self.fill_in(table)
        check = ScopeCheck(self, mapper, self.column_of(table))
        # raw and retval: else SQLAlchemy keeps a function of its own, by which the fast path would not know it
        event.listen(mapper, "before_insert", check, raw=True, retval=True)
        event.listen(mapper, "before_update", check, raw=True, retval=True)

    def refuse_foreign(self, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
        """Refuse rows for another tenant."""
        key = self.column_of(table).key
        self.refuse_values([row[key] for row in rows if key in row], table.name, key)

    def refuse_values(self, values: Iterable[Any], table: str, key: str) -> None:
        """Refuse what would be written into the column of a table.

        :raises ForeignScope: one is another tenant's.
        """
        try:
            different: Iterable[Any] = set(values := list(values))
        except TypeError:  # that can't be told apart by hashing
            different = values
        for value in different:
            if not self.is_mine(value, table):
                raise self.foreign(f"a row of {table!r}", key)

    def foreign(self, what: str, key: str) -> ForeignScope:
        """Return the error for what would be another tenant's."""
        return ForeignScope(
            f"{what} would be stored for another {self.name} than the one on whose behalf the code runs; leave {key!r} "
            f"alone, which is filled in, or open the block with .without({self.name!r})"
        )

    def is_mine(self, value: Any, table: str) -> bool:
        """Return whether a value is the tenant on whose behalf the code runs; NULL never is."""
        mine = self.reader(table)()
        return value in mine if self._many else bool(value == mine)

    def column_of(self, table: Any) -> Column[Any]:
        """Return the column that says whose a row is.

        :raises FilterError: the table has none.
        """
        for each in table.columns:
            if each.name == self.column:
                found: Column[Any] = each
                return found
        raise FilterError(f"the table {table} has no column {self.column!r} for the rule {self.name!r}")

    def reader(self, table: str) -> Callable[[], Any]:
        """Return what returns the value of the moment, or raises that it is missing."""
        moment, many = self._moment, self._many

        def read() -> Any:
            found = moment.read()
            if found is None:
                raise moment.missing(table)
            return list(found) if many else found

        return read

    def _only_one(self, found: Any, table: str) -> Any:
        if not self._many:
            return found
        if len(found) != 1:
            raise RuleValueMissing(
                f"a row of {table!r} is stored without {self.column!r}, and the rule {self.name!r} knows "
                f"{len(found)} values that it may have; say which"
            )
        return found[0]


class ScopeCheck:
    """Refuses the objects of a class that would be stored for another tenant: what listens to its mapper.

    :ivar attribute: the name of the attribute that holds the tenant; None if the column is not mapped.
    :ivar looks_at: the names of the rules of which it knows whose each row is; none where a default of the user's own
        says so.
    """

    def __init__(self, tenant: Tenant, mapper: Mapper[Any], column: Column[Any]) -> None:
        self._tenant = tenant
        self._column = column
        self.attribute: str | None = None
        with suppress(UnmappedColumnError):
            self.attribute = mapper.get_property_by_column(column).key
        is_known = self.attribute is not None and _FILLED in column.info
        self.looks_at = frozenset({tenant.name} if is_known else ())

    def __call__(self, mapper: Mapper[Any], connection: Any, state: Any) -> Any:
        if self._tenant.name not in getattr(connection, "off", ()):
            key = mapper.get_property_by_column(self._column).key
            added: Any = get_history(state.obj(), key, PASSIVE_NO_INITIALIZE).added
            # a new object without one is filled in
            is_set = bool(added) and (added[0] is not None or state.key is not None)
            if is_set and not self._tenant.is_mine(added[0], self._column.table.name):
                raise self._tenant.foreign(f"a {state.class_.__name__}", key)
        return EXT_CONTINUE

    def is_foreign(self, off: frozenset[str], value: Any) -> bool:
        """Return whether a value that the attribute was set to is another tenant's.

        :param off: the names of the rules that do not count.
        :raises RuleValueMissing: nobody has said on whose behalf the code runs.
        """
        return self._tenant.name not in off and not self._tenant.is_mine(value, self._column.table.name)


def looked_at_by(listeners: Iterable[Any]) -> frozenset[str]:
    """Return the names of the rules by which listeners of a mapper know whose each row is."""
    return frozenset(name for each in listeners if isinstance(each, ScopeCheck) for name in each.looks_at)


def tenants_of(table: Any, off: frozenset[str]) -> list[Tenant]:
    """Return what says whose the rows of a table are.

    :param table: a Table, or one that is known by its name only; None: there are none.
    :param off: the names of the rules that do not count.
    """
    tables: Iterable[Table] = () if table is None else (table,) if isinstance(table, Table) else namesakes(table)
    found = []
    for each in tables:
        for rule in rules_of(each):
            owner = getattr(rule.criterion, "__self__", None)
            if isinstance(owner, Tenant) and rule.name not in off:
                found.append(owner)
    return found


def refuse_foreign(table: Table, rows: Iterable[Mapping[str, Any]], off: frozenset[str]) -> None:
    """Refuse rows for another tenant, which are to be stored without the ORM.

    :param rows: values by the keys of columns; what is left out is filled in.
    :param off: the names of the rules that do not count.
    :raises ForeignScope: there is one.
    """
    for each in tenants_of(table, off):
        each.refuse_foreign(table, rows)
