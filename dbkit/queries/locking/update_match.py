"""oslo.db's UPDATE by a specimen: a row is changed that looks like a given object, and is told apart by another key.

The names and what they mean are those of ``oslo_db.sqlalchemy.update_match``. They take ``select(Model)`` where that
takes a ``Query``, and are mended where it shows what was not written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, and_, func, inspect, select, update
from sqlalchemy.orm import Query, Session, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.base import NO_VALUE

from dbkit.engines.connection import TrackedConnection
from dbkit.exceptions import DBError, Outcome, UsageError
from dbkit.queries.target import is_value, target_of
from dbkit.queries.where import session_of
from dbkit.transaction.greenlets import in_task


class CantUpdateException(Exception):
    """The UPDATE has not changed exactly one row.

    .. versionadded:: 0.1
    """


class NoRowsMatched(CantUpdateException):
    """No row looked like the specimen.

    .. versionadded:: 0.1
    """


class MultiRowsMatched(CantUpdateException):
    """More than one row looked like the specimen; the transaction accepts nothing but ROLLBACK, if to a savepoint.

    .. versionadded:: 0.1
    """


def update_on_match(
    query: Any,
    specimen: Any,
    surrogate_key: str,
    values: Mapping[str, Any] | None = None,
    attempts: int = 3,
    include_only: Collection[str] | None = None,
    process_query: Callable[[Any], Any] | None = None,
    handle_failure: Callable[[Any], Any] | None = None,
    *,
    where: Any = None,
) -> Any:
    """Change the one row that looks like a specimen; return it as an object of the session.

    :param query: ``session.query(Model)`` or ``select(Model)``, with criteria of its own, if any.
    :param specimen: an object of the class; what is set on it must be so in the row: a tuple or list is any of its
        members, None is NULL.
    :param surrogate_key: the attribute by which the row is found again, such as ``"uuid"``; it is set on the specimen.
    :param values: what attributes become.
    :param attempts: how often it is tried while no row matches.
    :param include_only: the attributes of the specimen that count; None: all that are set.
    :param process_query: given the query before it is used; returns another.
    :param handle_failure: given the query when no row has matched; raises to give up, returns True to take it for a
        success, and anything false to try again. After True the object shows the row as it is, not the values that
        were not written; oslo.db's shows those.
    :param where: with ``select()``: the open block: its session, a ``Database``, or a context object.
    :raises MultiRowsMatched: more than one row was changed.
    :raises NoRowsMatched: none was, however often it was tried.
    :raises AssertionError: the query is not one for the specimen's class.

    .. versionadded:: 0.1
    """
    state = inspect(specimen)
    if _entity(query) is not state.mapper.class_:
        raise AssertionError("Query does not match given specimen")
    session = _session(query, where)
    values = dict(values or {})
    surrogate = (surrogate_key, state.attrs[surrogate_key].loaded_value)
    query = query.filter(manufacture_entity_criteria(specimen, include_only, [surrogate_key]))
    if process_query is not None:
        query = process_query(query)
    for _ in range(attempts):
        try:
            key, known = _update(query, session, values, surrogate)
            break
        except NoRowsMatched:
            if handle_failure is not None and handle_failure(query):
                return _as_it_is(session, state.mapper.class_, surrogate)
    else:
        raise NoRowsMatched(f"Zero rows matched for {attempts} attempts")
    shown = {**values, **known, surrogate_key: surrogate[1]}
    # a new one: the specimen may have several values where the row has one
    return manufacture_persistent_object(session, state.mapper.class_(), shown, key)


async def aupdate_on_match(where: Any, query: Any, specimen: Any, surrogate_key: str, *args: Any, **kwargs: Any) -> Any:
    """Do in asyncio what :func:`update_on_match` does with ``select(Model)``; the functions given to it are plain.

    .. versionadded:: 0.1
    """
    return await in_task(partial(update_on_match, query, specimen, surrogate_key, *args, where=where, **kwargs))


def update_returning_pk(
    query: Any, values: Mapping[str, Any], surrogate_key: tuple[str, Any], *, where: Any = None
) -> tuple[Any, ...]:
    """Change the one row that a query finds; return its primary key.

    With ``RETURNING`` on PostgreSQL and SQLite, with ``LAST_INSERT_ID()`` on MySQL and MariaDB where the key is one
    integer: one round trip. Else the row is found again by another key.

    :param surrogate_key: an attribute and its value.
    :raises MultiRowsMatched: more than one row was changed.
    :raises NoRowsMatched: none was.

    .. versionadded:: 0.1
    """
    return _update(query, _session(query, where), values, surrogate_key)[0]


async def aupdate_returning_pk(
    where: Any, query: Any, values: Mapping[str, Any], surrogate_key: tuple[str, Any]
) -> tuple[Any, ...]:
    """Do in asyncio what :func:`update_returning_pk` does with ``select(Model)``.

    .. versionadded:: 0.1
    """
    return await in_task(partial(update_returning_pk, query, values, surrogate_key, where=where))


def manufacture_persistent_object(
    session: Session,
    specimen: Any,
    values: Mapping[str, Any] | None = None,
    primary_key: Iterable[Any] | None = None,
) -> Any:
    """Make an object one of the session's, as if it were loaded, without a statement.

    If the session has the row already, its object gets the values and is returned.

    :raises ValueError: the primary key is not complete.

    .. versionadded:: 0.1
    """
    state = inspect(specimen)
    for name, value in (values or {}).items():
        set_committed_value(specimen, name, value)
    names = [state.mapper.get_property_by_column(column).key for column in state.mapper.primary_key]
    for name, value in zip(names, primary_key or (), strict=False):
        set_committed_value(specimen, name, value)
    if any(state.attrs[name].loaded_value in (NO_VALUE, None) for name in names):
        raise ValueError("full primary key must be present")
    make_transient_to_detached(specimen)
    if state.key not in session.identity_map:
        session.add(specimen)
        return specimen
    return session.merge(specimen, load=False)


def manufacture_entity_criteria(
    entity: Any, include_only: Collection[str] | None = None, exclude: Collection[str] | None = None
) -> ColumnElement[bool]:
    """Return the criteria of rows that have what is set on an object.

    .. versionadded:: 0.1
    """
    state = inspect(entity)
    left_out = set(exclude or ())
    existing = {
        each.key: each.loaded_value
        for each in state.attrs
        if each.loaded_value is not NO_VALUE and each.key not in left_out
    }
    if include_only:
        existing = {name: existing[name] for name in existing if name in set(include_only)}
    return manufacture_criteria(state.mapper, existing)


def manufacture_criteria(mapped: Any, values: Mapping[str, Any]) -> ColumnElement[bool]:
    """Return the criteria of rows with these values, in the order of the mapping, whatever that of the values is.

    .. versionadded:: 0.1
    """
    attributes = inspect(mapped).mapper.column_attrs
    criteria = [is_value(each.expression, values[each.key]) for each in attributes if each.key in values]
    return and_(*criteria) if criteria else and_(True)


def _entity(query: Any) -> Any:
    found = [each["type"] for each in query.column_descriptions]
    return found[0] if len(found) == 1 else None


def _session(query: Any, where: Any) -> Session:
    if isinstance(query, Query):
        session: Session = query.session
        return session
    if not isinstance(query, Select):
        raise UsageError(f"a Query or select(Model) is needed; an object of class {type(query).__name__} was given")
    if where is None:
        raise UsageError("a select() knows no session; pass the open block with where=")
    return session_of(where)


def _update(
    query: Any, session: Session, values: Mapping[str, Any], surrogate_key: tuple[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the primary key of the one row, and what else is known of it."""
    entity = _entity(query)
    mapper, target = inspect(entity), target_of(entity)
    session.flush()
    connection = session.connection(bind_arguments={"mapper": mapper})
    changed: dict[Any, Any] = {getattr(entity, name): value for name, value in values.items()}
    changed |= target.bump()
    keys = [mapper.columns[mapper.get_property_by_column(each).key] for each in mapper.primary_key]
    versions = [] if target.version is None else [target.version]
    by_insert_id = _has_insert_id(connection, keys)
    if by_insert_id and not versions:
        changed[keys[0]] = func.last_insert_id(keys[0])
    statement = update(entity).values(changed).execution_options(synchronize_session=False)
    if query.whereclause is not None:
        statement = statement.where(query.whereclause)
    name, value = surrogate_key
    statement = statement.where(getattr(entity, name) == value)
    statement = statement.options(*getattr(query, "_with_options", ()))
    if connection.dialect.update_returning:
        rows = [tuple(row) for row in session.execute(statement.returning(*keys, *versions))]
        count = len(rows)
    else:
        result: Any = session.execute(statement)
        count = result.rowcount
        rows = [(result.lastrowid,)] if by_insert_id and not versions else []
    if count > 1:
        _condemn(connection)
        raise MultiRowsMatched(f"{count} rows matched; expected one")
    if not count:
        raise NoRowsMatched("No rows matched the UPDATE")
    if not rows:
        again = select(*keys, *versions).where(getattr(entity, name) == value)
        rows = [tuple(session.execute(again).one())]
    known = {}
    if target.version is not None:
        known[mapper.get_property_by_column(target.version).key] = rows[0][-1]
    return rows[0][: len(keys)], known


def _has_insert_id(connection: Any, keys: list[Any]) -> bool:
    is_mysql = connection.dialect.name in ("mysql", "mariadb")
    return is_mysql and len(keys) == 1 and isinstance(keys[0].type, Integer)


def _condemn(connection: Any) -> None:
    """See that what was changed too much is not committed."""
    if isinstance(connection, TrackedConnection):
        connection.condemn(
            DBError(message="an UPDATE meant for one row has changed more than one", outcome=Outcome.ABORTED)
        )


def _as_it_is(session: Session, entity: Any, surrogate_key: tuple[str, Any]) -> Any:
    name, value = surrogate_key
    statement = select(entity).where(getattr(entity, name) == value).execution_options(populate_existing=True)
    found = session.scalars(statement).one_or_none()
    if found is None:
        raise NoRowsMatched("handle_failure took it for a success, but no row has the surrogate key")
    return found
