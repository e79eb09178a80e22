"""Rules of one's own, and those that compare with a value of the moment, such as the tenant of a request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

from sqlalchemy import Column, ColumnDefault, ColumnElement, FromClause, Table, bindparam, event, or_
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import get_history
from sqlalchemy.orm.base import PASSIVE_NO_INITIALIZE
from sqlalchemy.orm.exc import UnmappedColumnError
from sqlalchemy.orm.interfaces import EXT_CONTINUE

from dbkit.exceptions import FilterError, ForeignScope, RuleValueMissing
from dbkit.filters.classes import each_mapper, put
from dbkit.filters.marks import Rule, rules_of

_VALUES: ContextVar[Mapping[str, Any]] = ContextVar("dbkit_scope", default=MappingProxyType({}))

NOT_SHARED: Any = object()
"""No row belongs to everybody."""


def rule(name: str, target: Any, criterion: Callable[[FromClause], ColumnElement[bool]]) -> Rule:
    """Let the rows of a table be seen only if they meet a condition.

    :param name: by which it is switched off.
    :param target: a ``Table``, a mapped class, or a mixin: the tables of all classes that have it, later ones too.
    :param criterion: is given the table or an alias of it, and returns the condition: ``lambda t: t.c.state != "x"``.
    :raises FilterError: the rule cannot be put there.

    .. versionadded:: 0.1
    """
    found = Rule(name, criterion)
    put(found, target)
    return found


@contextmanager
def scope(**values: Any) -> Iterator[None]:
    """Say on whose behalf the code inside works: ``with filters.scope(project="p1"):``, in asyncio too.

    :param values: by the names of rules made with :func:`scoped`.

    .. versionadded:: 0.1
    """
    token = _VALUES.set({**_VALUES.get(), **values})
    try:
        yield
    finally:
        _VALUES.reset(token)


def scoped(
    name: str,
    target: Any,
    column: str,
    value: ContextVar[Any] | Callable[[], Any] | None = None,
    *,
    many: bool = False,
    shared: Any = NOT_SHARED,
) -> Rule:
    """Let only those rows be seen that belong to the tenant on whose behalf the code runs, and fill the column in.

    Through the ORM no object can be stored for another tenant.

    :param name: by which it is switched off, and :func:`scope` sets the value.
    :param target: a ``Table``, a mapped class or a mixin.
    :param column: the name of the column that holds the tenant.
    :param value: where the tenant is read at each statement: a ``ContextVar`` or a function; None reads :func:`scope`.
    :param many: the value is a collection, and rows of all of them are seen.
    :param shared: what stands in the column of rows that everybody sees; it may be None, for NULL.
    :raises FilterError: the rule cannot be put there.

    .. versionadded:: 0.1
    """
    found = _Scope(name, column, value, many, shared)
    if isinstance(target, Table):
        found.fill_in(target)
    else:
        each_mapper(target, found.watch)
    return rule(name, target, found.criterion)


class _Scope:
    """What a rule made by :func:`scoped` does."""

    def __init__(self, name: str, column: str, value: Any, many: bool, shared: Any) -> None:
        self._name = name
        self._column = column
        self._value = value
        self._many = many
        self._shared = shared

    def criterion(self, table: FromClause) -> ColumnElement[bool]:
        column = self._column_of(table)
        read = self._reader(getattr(table, "name", "?"))
        parameter = bindparam(self._name, callable_=read, type_=column.type, unique=True, expanding=self._many)
        mine: ColumnElement[bool] = column.in_(parameter) if self._many else column == parameter
        if self._shared is NOT_SHARED:
            return mine
        return or_(mine, column.is_(None) if self._shared is None else column == self._shared)

    def fill_in(self, table: Table) -> None:
        """Let the column have the tenant as its default."""
        column: Any = self._column_of(table)
        if column.default is None and column.server_default is None:
            read = self._reader(table.name)
            ColumnDefault(lambda: self._only_one(read(), table.name))._set_parent_with_dispatch(column)

    def watch(self, mapper: Mapper[Any]) -> None:
        """Fill the column in, and refuse objects of other tenants, for the objects of a class."""
        table = next((each for each in mapper.tables if any(one.name == self._column for one in each.columns)), None)
        if not isinstance(table, Table):
            raise FilterError(f"{mapper.class_.__name__} has no column {self._column!r} for the rule {self._name!r}")
        self.fill_in(table)
        check = ScopeCheck(self._name, mapper, self._column_of(table), self._is_mine)
        # raw and retval: else SQLAlchemy keeps a function of its own, by which the fast path would not know it
        event.listen(mapper, "before_insert", check, raw=True, retval=True)
        event.listen(mapper, "before_update", check, raw=True, retval=True)

    def refuse_foreign(self, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
        """Refuse rows for another tenant."""
        key = self._column_of(table).key
        for value in {row[key] for row in rows if row.get(key) is not None}:
            if not self._is_mine(value, table.name):
                raise ForeignScope(
                    f"a row of {table.name!r} would be stored for another {self._name} than the one on whose behalf "
                    f"the code runs; leave {key!r} out, which is filled in, or open the block with "
                    f".without({self._name!r})"
                )

    def _is_mine(self, value: Any, table: str) -> bool:
        mine = self._reader(table)()
        return value in mine if self._many else bool(value == mine)

    def _column_of(self, table: Any) -> Column[Any]:
        for each in table.columns:
            if each.name == self._column:
                found: Column[Any] = each
                return found
        raise FilterError(f"the table {table} has no column {self._column!r} for the rule {self._name!r}")

    def _reader(self, table: str) -> Callable[[], Any]:
        value, name = self._value, self._name

        def read() -> Any:
            if value is None:
                found = _VALUES.get().get(name)
            elif isinstance(value, ContextVar):
                found = value.get(None)
            else:
                found = value()
            if found is None:
                raise RuleValueMissing(
                    f"the rule {name!r} of the table {table!r} compares with a value that nobody has set; "
                    f"{_how(value, name)} before the statement is sent, or open the block with .without({name!r})"
                )
            return list(found) if self._many else found

        return read

    def _only_one(self, found: Any, table: str) -> Any:
        if not self._many:
            return found
        if len(found) != 1:
            raise RuleValueMissing(
                f"a row of {table!r} is stored without {self._column!r}, and the rule {self._name!r} knows "
                f"{len(found)} values that it may have; say which"
            )
        return found[0]


class ScopeCheck:
    """Refuses the objects of a class that would be stored for another tenant: what listens to its mapper.

    :ivar attribute: the name of the attribute that holds the tenant; None if the column is not mapped.
    """

    def __init__(
        self, name: str, mapper: Mapper[Any], column: Column[Any], is_mine: Callable[[Any, str], bool]
    ) -> None:
        self._name = name
        self._column = column
        self._is_mine = is_mine
        self.attribute: str | None = None
        with suppress(UnmappedColumnError):
            self.attribute = mapper.get_property_by_column(column).key

    def __call__(self, mapper: Mapper[Any], connection: Any, state: Any) -> Any:
        if self._name not in getattr(connection, "off", ()):
            key = mapper.get_property_by_column(self._column).key
            added = get_history(state.obj(), key, PASSIVE_NO_INITIALIZE).added
            if added and added[0] is not None and not self._is_mine(added[0], self._column.table.name):
                raise ForeignScope(
                    f"a {state.class_.__name__} would be stored for another {self._name} than the one on whose behalf "
                    f"the code runs; leave {key!r} alone, which is filled in, or open the block with "
                    f".without({self._name!r})"
                )
        return EXT_CONTINUE

    def is_foreign(self, off: frozenset[str], value: Any) -> bool:
        """Return whether a value that the attribute was set to is another tenant's.

        :param off: the names of the rules that do not count.
        :raises RuleValueMissing: nobody has said on whose behalf the code runs.
        """
        return value is not None and self._name not in off and not self._is_mine(value, self._column.table.name)


def refuse_foreign(table: Table, rows: Iterable[Mapping[str, Any]], off: frozenset[str]) -> None:
    """Refuse rows for another tenant, which are to be stored without the ORM.

    :param rows: values by the keys of columns; what is left out is filled in.
    :param off: the names of the rules that do not count.
    :raises ForeignScope: there is one.
    """
    for each in rules_of(table):
        owner = getattr(each.criterion, "__self__", None)
        if isinstance(owner, _Scope) and each.name not in off:
            owner.refuse_foreign(table, rows)


def _how(value: Any, name: str) -> str:
    if value is None:
        return f"enter `with dbkit.filters.scope({name}=...)`"
    if isinstance(value, ContextVar):
        return f"set the ContextVar {value.name!r}"
    return f"let {getattr(value, '__qualname__', value)}() return it"
