"""Saving an object whose row has another object in the session, such as one that a relationship has brought there."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import InstanceState, Session
from sqlalchemy.orm.attributes import instance_state, set_attribute, set_committed_value

from dbkit.transaction.stale import loaded_value


def can_be_lent(state: InstanceState[Any]) -> bool:
    """Return whether nothing but values of columns was changed in an object, and not its key."""
    mapper, values = state.mapper, state.dict
    keys = {mapper.get_property_by_column(column).key for column in mapper.primary_key}
    return all(name in mapper.column_attrs and name in values and name not in keys for name in state.committed_state)


def save_by_twin(session: Session, state: InstanceState[Any], twin: Any) -> None:
    """Store what was changed in an object through the session's; both have what is stored then.

    :raises StaleRow: the row has changed since the object was read, be it that the session's has been read later.
    """
    mapper, values = state.mapper, state.dict
    version = mapper.version_id_col
    if version is not None:
        name = mapper.get_property_by_column(version).key
        getattr(twin, name)  # loaded, if it is not
        if loaded_value(instance_state(twin), name) != loaded_value(state, name):
            set_committed_value(twin, name, loaded_value(state, name))  # and the flush finds out
    for name in state.committed_state:
        set_attribute(twin, name, values[name])
    session.flush()
    for name in mapper.column_attrs.keys():
        if name in values:
            values[name] = getattr(twin, name)
    state._commit_all(values)
