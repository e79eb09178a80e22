"""What a caller has seen of a row, and what it asks for on the strength of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import ColumnElement, inspect
from sqlalchemy.orm import InstanceState
from sqlalchemy.orm.base import NO_VALUE

from dbkit.exceptions import UsageError
from dbkit.queries.target import Target, criteria_of, is_value, target_of
from dbkit.transaction.stale import Row, loaded_value

OnConflict = Literal["fail", "rerun", "merge"]

_ON_CONFLICT = ("fail", "rerun", "merge")


@dataclass(frozen=True, slots=True)
class Swap:
    """One row of a statement that changes several, each if it is as its caller has seen it.

    :param key: of the row: one value, a tuple in the order of the primary key, or a mapping.
    :param expected: the version that was seen; where the table has none, the values that were, by their names.
    :param values: what columns become, by their names.

    .. versionadded:: 0.1
    """

    key: Any
    expected: Any
    values: Mapping[Any, Any]


@dataclass(frozen=True, slots=True)
class OneOf:
    """Versions of which any will do; without any, none does.

    .. versionadded:: 0.1
    """

    versions: frozenset[Any]


class AnyVersion:
    """Whatever version the row has, as long as it is there.

    .. versionadded:: 0.1
    """


ANY_VERSION = AnyVersion()


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for of one row.

    :ivar expected: criteria by columns of the table, version included.
    :ivar version: the version that was seen, if it is a single one.
    :ivar seen: values that the caller has seen, by the names of columns.
    :ivar values: what columns become.
    """

    key: tuple[Any, ...]
    expected: Mapping[Any, Any]
    version: Any
    seen: Mapping[str, Any]
    values: Mapping[Any, Any]

    def criteria(self, target: Target) -> list[ColumnElement[bool]]:
        """Return the criteria that the row meets if it is as it was seen."""
        return [*target.is_row(self.key), *(is_value(column, value) for column, value in self.expected.items())]

    def after(self, target: Target, row: Row) -> Wish:
        """Return the same wish of one who has seen the row as it was found now."""
        expected = {column: row.values[column.key] for column in self.expected}
        version = None if target.version is None else row.values[target.version.key]
        if target.version is not None and not expected:
            expected = {target.version: version}
        return replace(self, expected=expected, version=version, seen=row.values)


def wish_of(target: Target, key: Any, expected: Any, values: Mapping[Any, Any], seen: Mapping[Any, Any]) -> Wish:
    """Return what is asked for by key.

    :raises UsageError: it does not say what was seen, or nothing is to be changed.
    """
    version, version_seen = target.version, None
    known = {target.column(name).key: value for name, value in seen.items()}
    if isinstance(expected, Mapping):
        criteria = {target.column(name): value for name, value in expected.items()}
        known = {**{column.key: value for column, value in criteria.items()}, **known}
        version_seen = None if version is None else criteria.get(version)
    elif expected is None or version is None:
        needs = "the values that were seen, by their names" if version is None else "the version that was seen"
        raise UsageError(f"nothing says how the row of {target.name} was seen; pass as expected {needs}")
    elif isinstance(expected, AnyVersion):
        criteria = {}
    elif isinstance(expected, OneOf):
        criteria = {version: tuple(expected.versions)}
        version_seen = next(iter(expected.versions)) if len(expected.versions) == 1 else None
    else:
        criteria, version_seen = {version: expected}, expected
    return Wish(target.key_of(key), criteria, version_seen, known, target.values_of(values))


def wish_for(target: Target, instance: Any, values: Mapping[Any, Any] | None, expected: Any) -> Wish:
    """Return what is asked for of an object: as it was loaded is how the row was seen.

    :param values: None for what has been changed on the object.
    :param expected: in the place of the version with which the object was loaded.
    :raises UsageError: the object does not know its key or version, or nothing of it has changed.
    """
    state: InstanceState[Any] = inspect(instance)
    mapper = target.mapper
    assert mapper is not None
    seen, changed = {}, {}
    for attribute in mapper.column_attrs:
        name = attribute.key
        column = target.table.columns.get(getattr(attribute.columns[0], "key", ""))
        if name not in state.dict or column is None or attribute.columns[0] is not column:
            continue
        now = state.dict[name]
        before = state.committed_state.get(name, now)
        if name in state.committed_state and before != now and not column.primary_key:
            changed[column] = now
        if column is target.version:
            seen[column.key] = loaded_value(state, name)
        elif before is not NO_VALUE:
            seen[column.key] = before
    if target.version is not None:
        changed.pop(target.version, None)
    wanted = changed if values is None else target.values_of(values)
    if not wanted:
        raise UsageError(f"nothing of the {target.name} was changed, and no values were given")
    key = state.identity or mapper.primary_key_from_instance(instance)
    if expected is None:
        expected = _seen_of(target, seen, wanted)
    columns = target.table.columns
    return wish_of(target, tuple(key), expected, wanted, {columns[name]: value for name, value in seen.items()})


def _seen_of(target: Target, seen: Mapping[str, Any], wanted: Mapping[Any, Any]) -> Any:
    if target.version is not None:
        if seen.get(target.version.key) is None:
            raise UsageError(
                f"the version of the {target.name} is not loaded, and to read it now would say nothing of what was "
                "decided before; load it together with the rest"
            )
        return seen[target.version.key]
    lacking = [column.name for column in wanted if column.key not in seen]
    if lacking:
        raise UsageError(
            f"{target.name} has no version, and what {', '.join(lacking)} was before is not loaded; load it, or pass "
            "the values that were seen as expected"
        )
    return {column: seen[column.key] for column in wanted}


def checked(on_conflict: str) -> str:
    """Return what is to be done about a conflict.

    :raises UsageError: there is no such policy.
    """
    if on_conflict not in _ON_CONFLICT:
        raise UsageError(f"on_conflict is one of {', '.join(_ON_CONFLICT)}; it is {on_conflict!r}")
    return on_conflict


def refuse_unseen(target: Target, wish: Wish) -> None:
    """Refuse to merge where nobody knows what the columns were that are to be changed.

    :raises UsageError: nobody does.
    """
    lacking = [column.name for column in wish.values if column.key not in wish.seen]
    if lacking:
        raise UsageError(
            f"to merge, one must know what {', '.join(lacking)} of {target.name} was when the decision was made; pass "
            "it with seen="
        )


__all__ = ["ANY_VERSION", "AnyVersion", "OnConflict", "OneOf", "Swap", "Wish", "criteria_of", "target_of"]
