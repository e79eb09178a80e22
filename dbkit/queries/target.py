"""What a caller names, a model, an object or a table, as the table, key, version and columns that a statement needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, ColumnElement, Table, inspect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import InstanceState, Mapper
from sqlalchemy.orm.attributes import QueryableAttribute

from dbkit.exceptions import UsageError
from dbkit.transaction.stale import version_column

_TIMES = (sa.DateTime, sa.Date, sa.Time)


@dataclass(frozen=True, slots=True)
class Target:
    """A table, and the mapping by which its columns are named, if there is one.

    :ivar version: the column that tells one state of a row from the next; None if there is none.
    :ivar mapper: None for a plain table.
    """

    table: Table
    version: Column[Any] | None
    mapper: Mapper[Any] | None

    @property
    def name(self) -> str:
        """What the caller calls it."""
        return self.table.name if self.mapper is None else self.mapper.class_.__name__

    # -- keys -----------------------------------------------------------------------------------------------------

    def key_of(self, key: Any) -> tuple[Any, ...]:
        """Return the values of a primary key: of one value, several, or a mapping.

        :raises UsageError: they are too few or too many.
        """
        columns = tuple(self.table.primary_key.columns)
        if isinstance(key, Mapping):
            given = {self.column(name): value for name, value in key.items()}
            values = tuple(given[column] for column in columns if column in given)
            fits = len(given) == len(values) == len(columns)
        else:
            values = tuple(key) if isinstance(key, (tuple, list)) else (key,)
            fits = len(values) == len(columns)
        if not fits or any(value is None for value in values):
            raise UsageError(
                f"the primary key of {self.name} is ({', '.join(each.name for each in columns)}): a value for each of "
                "them is needed, in this order or by name, and none is None"
            )
        return values

    def told(self, key: tuple[Any, ...]) -> Any:
        """Return a key as callers write it."""
        return key[0] if len(key) == 1 else key

    def is_row(self, key: tuple[Any, ...]) -> list[ColumnElement[bool]]:
        """Return the criteria of the row with this primary key."""
        return [column == value for column, value in zip(self.table.primary_key.columns, key, strict=True)]

    # -- columns --------------------------------------------------------------------------------------------------

    def column(self, name: Any) -> Column[Any]:
        """Return the column of an attribute, by its name or by what the class has under it.

        :raises UsageError: there is none, or it is another table's.
        """
        if isinstance(name, Column):
            found: Any = name
        else:
            found = self._named(name.key if isinstance(name, QueryableAttribute) else name)
        if not isinstance(found, Column):
            raise UsageError(f"{self.name} has no column named {_word(name)!r}")
        if found.table is not self.table:
            raise UsageError(
                f"{_word(name)!r} of {self.name} is not a column of {self.table.name}, and one statement changes one "
                "table: change it through the session, whose flush knows of both"
            )
        return found

    def _named(self, name: Any) -> Any:
        if self.mapper is None:
            return self.table.columns.get(name)
        known = self.mapper.column_attrs
        if name not in known:
            return None
        columns = known[name].columns
        return next((each for each in columns if getattr(each, "table", None) is self.table), columns[0])

    def attribute(self, column: Column[Any]) -> str | None:
        """Return the name of the attribute that a column is mapped to."""
        if self.mapper is None:
            return column.key
        try:
            return self.mapper.get_property_by_column(column).key
        except SQLAlchemyError:
            return None

    def values_of(self, values: Mapping[Any, Any]) -> dict[Column[Any], Any]:
        """Return what columns are to become.

        :raises UsageError: there is nothing, or what nobody may change here.
        """
        found = {self.column(name): value for name, value in values.items()}
        if not found:
            raise UsageError(f"nothing was given that {self.name} should become")
        for column in found:
            if column is self.version:
                raise UsageError(f"the version of {self.name} is counted by itself; leave {column.name!r} out")
            if column.primary_key:
                raise UsageError(f"{column.name!r} says which row of {self.name} is meant, and is not changed here")
        return found

    # -- versions -------------------------------------------------------------------------------------------------

    @property
    def counts(self) -> bool:
        """Whether versions are numbers, of which the next is larger by one."""
        return isinstance(_counted(self.mapper), bool)

    def bump(self, expected: Any = None) -> dict[Column[Any], Any]:
        """Return what the version column becomes; nothing where the database itself sees to it, or there is none."""
        version = self.version
        if version is None or (self.mapper is not None and self.mapper.version_id_generator is False):
            return {}
        generator = _counted(self.mapper)
        return {version: version + 1 if isinstance(generator, bool) else generator(expected)}


def _counted(mapper: Mapper[Any] | None) -> bool | Callable[[Any], Any]:
    """Return True if versions are counted by one, or what makes the next version from the last."""
    if mapper is None or mapper.version_id_col is None:
        return True
    generator: Any = mapper.version_id_generator
    if not callable(generator):
        return True
    try:
        counts = [generator(number) for number in (1, 7)] == [2, 8]
    except TypeError:
        counts = False
    return True if counts else generator


def target_of(named: Any) -> Target:
    """Return the target that a mapped class, an object of one, or a table stands for.

    :raises UsageError: it is none of them, or spread over several tables.
    """
    if isinstance(named, Table):
        return _checked(Target(named, version_column(named), None))
    found = inspect(named, raiseerr=False)
    mapper = found.mapper if isinstance(found, InstanceState) else found
    if not isinstance(mapper, Mapper):
        raise UsageError(f"a mapped class, an object of one, or a Table is needed; {_word(named)} is none of them")
    version = version_column(mapper.local_table, mapper) if isinstance(mapper.local_table, Table) else None
    table = mapper.local_table if version is None else version.table
    if not isinstance(table, Table):
        raise UsageError(f"{mapper.class_.__name__} is mapped to more than one table; change it through the session")
    return _checked(Target(table, version, mapper))


def _checked(target: Target) -> Target:
    version = target.version
    if version is not None and isinstance(version.type, _TIMES):
        raise UsageError(
            f"the version of {target.name} is a time, which two changes may share; let an integer count the changes"
        )
    if not target.table.primary_key.columns:
        raise UsageError(f"{target.table.name} has no primary key, by which a row could be named")
    return target


def criteria_of(target: Target, values: Mapping[Any, Any]) -> list[ColumnElement[bool]]:
    """Return the criteria of rows with these values: None is NULL, a list or tuple any of its members.

    They stand in the order of the table's columns, whatever the order of the values.
    """
    given = {target.column(name): value for name, value in values.items()}
    return [is_value(column, given[column]) for column in target.table.columns if column in given]


def is_value(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """Return the criterion that a column has a value, one of several, or none."""
    if isinstance(value, (list, tuple, set, frozenset)):
        known = [each for each in value if each is not None]
        criterion = column.in_(known)
        return sa.or_(column.is_(None), criterion) if len(known) < len(value) else criterion
    return column.is_(None) if value is None else column == value


def plain(values: Mapping[Column[Any], Any]) -> dict[Column[Any], Any]:
    """Return the values that are known here, and not computed by the database."""
    return {column: value for column, value in values.items() if not is_computed(value)}


def is_computed(value: Any) -> bool:
    """Return whether a value is an expression, which the database computes."""
    return isinstance(value, sa.ClauseElement) or hasattr(value, "__clause_element__")


def names(columns: Iterable[Column[Any]]) -> list[str]:
    """Return the names of columns, for texts and errors."""
    return [each.name for each in columns]


def _word(named: Any) -> str:
    if isinstance(named, (str, type)):
        return named if isinstance(named, str) else named.__name__
    return getattr(named, "key", None) or f"an object of class {type(named).__name__}"
