"""An object that was to be read anew, and whose row is not there for this session any more: what has become of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import InstanceState, Session
from sqlalchemy.orm.exc import ObjectDeletedError

from dbkit.exceptions import DBError, StaleRow
from dbkit.models.dying import marked_class
from dbkit.transaction.stale import Sight, loaded_value, locks_to_see, version_column


class _Deleted(ObjectDeletedError):
    """SQLAlchemy's error, made of its text."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(None, message)  # type: ignore[arg-type]


class GoneRow(StaleRow, _Deleted):  # type: ignore[misc]
    """A row that was to be read anew is marked as deleted, hidden, or not there.

    It is a :class:`StaleRow`, and what SQLAlchemy raises where it finds no row: who caught that still does.
    """


def gone_row(session: Session, state: InstanceState[Any], error: InvalidRequestError) -> GoneRow | None:
    """Return the typed error for an object that could not be read anew; None if SQLAlchemy's own says more.

    It costs a query, and only where there is an error already.

    :param error: what SQLAlchemy has raised.
    """
    mapper = state.mapper
    marked = marked_class(mapper)
    table: Any = mapper.base_mapper.local_table if marked is None else marked.table
    if state.key is None or not isinstance(table, Table):
        return None
    version = version_column(table, mapper)
    values = tuple(state.key[1])
    connection = session.connection()
    sight = Sight(table, version, locks=locks_to_see(connection))
    criteria = [column == value for column, value in zip(table.primary_key, values, strict=True)]
    try:
        row = next(iter(sight.look(connection, criteria)), None)
    except DBError:  # it would only have said more
        return None
    if row is not None and row.is_alive:
        return None
    if row is None and state.session is None:
        return None  # it is no object of this session, and that is what SQLAlchemy says
    seen = None
    if version is not None and mapper.columns.contains_column(version):
        seen = loaded_value(state, mapper.get_property_by_column(version).key)
    key = values[0] if len(values) == 1 else values
    stale = sight.conflict(row, key, seen, {})
    gone = GoneRow(
        stale.reason, key=key, expected=seen, current=stale.current, table=table.name, message=stale.args[0]
    )  # fmt: skip
    gone.orig = error
    return gone
