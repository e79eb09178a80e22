"""A flush that has found a row otherwise than its object says: which one, and what has become of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

from sqlalchemy import Table, and_, or_
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import InstanceState, Mapper
from sqlalchemy.orm.exc import StaleDataError

from dbkit.engines.connection import TrackedConnection
from dbkit.engines.guarded import GuardedConnection
from dbkit.exceptions import DBError, Outcome, Staleness, StaleRow
from dbkit.transaction.stale import Sight, loaded_value, locks_to_see

_MOST_ROWS = 100


def versions_of(states: tuple[InstanceState[Any], ...]) -> list[tuple[InstanceState[Any], Any]]:
    """Return the objects of versioned mappings, each with the version with which it was loaded."""
    return [
        (state, _version(state, state.manager.mapper))
        for state in states
        if state.manager.mapper.version_id_col is not None
    ]


def _version(state: InstanceState[Any], mapper: Mapper[Any]) -> Any:
    name = mapper.get_property_by_column(mapper.version_id_col).key  # type: ignore[arg-type]
    return loaded_value(state, name)


def stale_flush(
    error: StaleDataError, connection: TrackedConnection | None, versions: Sequence[tuple[InstanceState[Any], Any]]
) -> StaleRow:
    """Return the typed error for a flush that SQLAlchemy has given up.

    Its transaction, or its savepoint, was rolled back by then, so that the database can be asked without harm.

    :param versions: of the objects that were to be written, with their versions before that.
    """
    conflicts = [] if connection is None else _conflicts(connection, versions)
    if conflicts:
        stale = conflicts[0]
        stale.others = tuple(conflicts[1:])
    else:
        stale = StaleRow(Staleness.STALE, message=_UNKNOWN, **_only_one(versions))
    stale.orig = error
    is_lost = connection is not None and connection.doom is not None
    stale.outcome = Outcome.ROLLED_BACK if is_lost else Outcome.ABORTED
    if connection is not None and is_lost:
        connection.doom = connection.last_error = stale
    return stale


def _only_one(versions: Sequence[tuple[InstanceState[Any], Any]]) -> dict[str, Any]:
    """Return what is known without a question, where there is no choice."""
    if len(versions) != 1 or versions[0][0].key is None:
        return {}
    state, version = versions[0]
    key = _key(state)
    table: Any = state.manager.mapper.local_table
    return {"key": key[0] if len(key) == 1 else key, "expected": version, "table": getattr(table, "name", None)}


def _conflicts(connection: TrackedConnection, versions: Sequence[tuple[InstanceState[Any], Any]]) -> list[StaleRow]:
    if len(versions) > _MOST_ROWS or connection.invalidated:
        return []
    lost = connection.doom is not None
    try:
        # the log of what the block has asked must not hold it: it is no question of the block
        with connection.asking() if isinstance(connection, GuardedConnection) else nullcontext():
            return list(_asked(connection, versions))
    except (DBError, SQLAlchemyError):  # what the caller must know is known; this would only have said more
        return []
    finally:
        if lost:
            Connection.rollback(connection)


def _asked(connection: TrackedConnection, versions: Sequence[tuple[InstanceState[Any], Any]]) -> Iterator[StaleRow]:
    tables: dict[Table, list[tuple[InstanceState[Any], Any]]] = {}
    for state, version in versions:
        column = state.manager.mapper.version_id_col
        if column is not None and isinstance(column.table, Table) and state.key is not None:
            tables.setdefault(column.table, []).append((state, version))
    for table, those in tables.items():
        version_column: Any = those[0][0].manager.mapper.version_id_col
        keys = list(table.primary_key.columns)
        sight = Sight(table, version_column, locks=locks_to_see(connection))
        wanted = or_(
            *(and_(*(key == value for key, value in zip(keys, _key(state), strict=True))) for state, _ in those)
        )
        found = {tuple(row.values[key.key] for key in keys): row for row in sight.look(_Asked(connection), [wanted])}
        for state, version in those:
            row = found.get(_key(state))
            if row is None or not row.is_alive or row.values[version_column.key] != version:
                key = _key(state)
                yield sight.conflict(row, key[0] if len(key) == 1 else key, version, {})


def _key(state: InstanceState[Any]) -> tuple[Any, ...]:
    assert state.key is not None
    return tuple(state.key[1])


class _Asked:
    """The connection of a lost transaction, for a question that is asked after it."""

    def __init__(self, connection: TrackedConnection) -> None:
        self._connection = connection

    def execute(self, statement: Any) -> Any:
        """Execute a statement past the refusal of whatever would go on in the lost transaction."""
        return Connection.execute(self._connection, statement)


_UNKNOWN = (
    "a row that was to be written by a flush is not any more as it was read: others have changed or removed it since; "
    "read it again and decide anew"
)
