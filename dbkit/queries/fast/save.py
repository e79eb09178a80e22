"""Saving one object by one statement, past the unit of work."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Table, bindparam
from sqlalchemy.engine import Dialect
from sqlalchemy.event.attr import _EmptyListener
from sqlalchemy.orm import Mapper

from dbkit.engines.connection import TrackedConnection
from dbkit.exceptions import UsageError
from dbkit.filters.marks import removal_of
from dbkit.filters.tenants import ScopeCheck, looked_at_by
from dbkit.queries.fast.adding import adder_of
from dbkit.queries.fast.defaults import maker_of
from dbkit.queries.fast.listening import (
    AFTER_BEGIN,
    AFTER_FLUSH,
    AFTER_POSTEXEC,
    BEFORE_FLUSH,
    OF_ENDS,
    OUR_OWN,
    is_watched,
)
from dbkit.queries.fast.objects import is_alone
from dbkit.queries.fast.plans import keep
from dbkit.queries.fast.straight import Kept, Text, has_objects, is_plain, send_change, straight_connection, text_of
from dbkit.queries.fast.twins import can_be_lent, save_by_twin
from dbkit.queries.where import transaction_of
from dbkit.transaction.greenlets import in_task
from dbkit.transaction.transaction import Transaction

_SAVER = "dbkit.saver"
_KEY = "dbkit_key_"
_VERSION = "dbkit_version"
_PLAIN = frozenset({str, int, float, bool, bytes, type(None)})


def save(where: Any, instance: Any) -> None:
    """Store what was changed in an object, now, and in this statement alone.

    An object that a lookup has made is stored by one UPDATE of the changed columns: defaults for updates are filled in,
    and its version is compared and counted up. A new object is stored by one INSERT, and is in the block's session
    then, as after a flush. What that can't do honestly takes the ordinary way by itself, a flush of the block's
    session, to which the object belongs then: objects of a session; classes in an inheritance; changed relationships;
    SQL expressions as values; defaults for updates that the database makes; and where somebody listens to the mapper or
    to sessions.

    If the block is rolled back, the object keeps the values that were not stored: read it again.

    :param where: the block: its session or connection, a :class:`.Database`, or a context object.
    :raises UsageError: the object's class is not mapped.
    :raises StaleRow: the row has changed since it was read, or is not there any more.
    :raises DBError: the database refused.

    .. versionadded:: 0.1
    """
    try:
        state = instance._sa_instance_state
    except AttributeError:
        raise UsageError(f"{type(instance).__name__} is no mapped class; only mapped objects can be saved") from None
    transaction = transaction_of(where)
    changed = state.committed_state
    if state.key is not None and state.session_id is None:
        if not changed:
            return
        about = state.manager.info
        saver = about[_SAVER] if _SAVER in about else _saver_of(state)
        if saver.relationships is not saver.mapper.relationships:
            saver = _saver_of(state)
        if saver.save(transaction, state, instance.__dict__, changed):
            return
    elif state.key is None and state.session_id is None and adder_of(state).add(transaction, state, instance.__dict__):
        return
    _by_flush(transaction, instance)


async def asave(where: Any, instance: Any) -> None:
    """Do as :func:`save` does, in asyncio."""
    await in_task(partial(save, where, instance))


def _by_flush(transaction: Transaction, instance: Any) -> None:
    session, state = transaction.open_session(), instance._sa_instance_state
    twin = session.identity_map.get(state.key) if state.key is not None and state.session is None else None
    if twin is not None and can_be_lent(state):
        save_by_twin(session, state, twin)
        return
    if instance not in session:
        session.add(instance)
    session.flush()


class _Plan:
    """An UPDATE of certain columns on one dialect."""

    __slots__ = ("generate_version", "text", "updated", "version")

    def __init__(self, text: Text, updated: tuple[tuple[str, Callable[[], Any]], ...], mapper: Mapper[Any]) -> None:
        self.text = text
        self.updated = updated
        version = mapper.version_id_col
        self.version = None if version is None else mapper.get_property_by_column(version).key
        self.generate_version: Any = mapper.version_id_generator


class Saver:
    """Saves objects of one class.

    :ivar relationships: of the mapper, which has others as soon as anything has joined it: this saver is outdated then.
    """

    def __init__(self, mapper: Mapper[Any]) -> None:
        self.mapper = mapper
        self.relationships = mapper.relationships
        self._dispatch: Any = mapper.dispatch
        self._columns = {each.key: each.columns[0] for each in mapper.column_attrs if len(each.columns) == 1}
        self._keys = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
        self._is_able = self._can_be_saved_alone()
        self._plans: Kept[dict[tuple[str, ...], _Plan | None]] = Kept(lambda dialect: {})

    def _can_be_saved_alone(self) -> bool:
        mapper = self.mapper
        if not is_alone(mapper) or not isinstance(mapper.local_table, Table):
            return False
        if mapper.eager_defaults is True or mapper.version_id_generator is False:
            return False
        return all(getattr(column, "table", None) is mapper.local_table for column in self._columns.values())

    def save(self, transaction: Transaction, state: Any, values: dict[str, Any], changed: dict[str, Any]) -> bool:
        """Send the UPDATE; return False if nothing was done, because a flush must do it."""
        session, dispatch = transaction.session, self._dispatch
        if not self._is_able or (session is not None and (has_objects(session) or is_watched(session))):
            return False
        if AFTER_FLUSH or AFTER_POSTEXEC or AFTER_BEGIN:
            return False
        if BEFORE_FLUSH[0] is not OUR_OWN or BEFORE_FLUSH[-1] is not OUR_OWN:
            return False
        for listeners in OF_ENDS:
            if listeners and session is None:
                return False
        before, after = dispatch.before_update, dispatch.after_update
        if before.parent_listeners or after.parent_listeners or after.__class__ is not _EmptyListener and after:
            return False
        checks: Any = ()
        if before.__class__ is not _EmptyListener:
            checks = before.listeners
            for check in checks:
                if check.__class__ is not ScopeCheck:
                    return False
        connection = transaction.connection
        if (  # as in straight_connection(), which is a call
            connection is None
            or session is not None
            or connection.watch
            or not connection.has_begun
            or connection.__class__ is not TrackedConnection
            or connection._execution_options
            or connection._echo
            or connection._has_events
            or connection.engine._has_events
            or "do_execute" in connection.engine.dialect.__dict__
            or connection.dialect.dispatch.do_execute.__class__ is not _EmptyListener
        ):
            connection = straight_connection(transaction)
            if connection is None:
                return False
        names = tuple(changed)
        dialect, plans = self._plans.last
        if dialect is not connection.dialect:
            plans = self._plans.of(connection.dialect)
        try:
            plan = plans[names]
        except KeyError:
            plan = self._plan(plans, names, connection.dialect)
        if plan is None:
            return False
        if plan.updated or plan.version is not None:
            told = state.manager.dispatch.refresh_flush
            if told.parent_listeners or (told.__class__ is not _EmptyListener and told):
                return False
        sent: dict[str, Any] = {}
        made = {}
        version = plan.version
        try:
            for name in names:
                value = sent[name] = values[name]
                if value.__class__ not in _PLAIN and not is_plain(value):
                    return False
            for name, make in plan.updated:
                made[name] = sent[name] = make()
            for name in self._keys:
                sent[_KEY + name] = values[name]
            if version is not None:
                seen = sent[_VERSION] = values[version]
                made[version] = sent[version] = plan.generate_version(seen)
            for check in checks:
                if check.attribute in changed and check.is_foreign(connection.off, sent[check.attribute]):
                    return False
            parameters = plan.text.bind(sent)
        except Exception:  # a value that is not loaded, or that its type refuses: the flush says so in its own words
            return False
        if send_change(connection, plan.text, parameters) != 1:
            return False  # the flush finds out why
        for name in made:
            values[name] = made[name]
        if state.expired_attributes or "_pending_mutations" in state.__dict__:
            state._commit_all(values)
        else:  # what that does, without its calls
            state.committed_state = {}
            state.modified = state.expired = False
            state._strong_obj = None
        return True

    def _plan(self, plans: dict[Any, _Plan | None], names: tuple[str, ...], dialect: Dialect) -> _Plan | None:
        ordered = tuple(sorted(names))  # in which order they were changed makes no other statement
        try:
            plan = plans[ordered]
        except KeyError:
            plan = self._make_plan(dialect, ordered)
        keep(plans, ordered, plan)
        keep(plans, names, plan)
        return plan

    def _make_plan(self, dialect: Dialect, names: tuple[str, ...]) -> _Plan | None:
        mapper, columns = self.mapper, self._columns
        version = mapper.version_id_col
        if any(name not in columns for name in names) or set(names) & set(self._keys):
            return None
        removal = removal_of(mapper.local_table)  # type: ignore[arg-type]
        if removal is not None and {columns[name].name for name in names} & set(removal.values(mapper.local_table)):
            return None  # to mark a row as deleted is more than to change it
        changing = {columns[name].name: bindparam(name, type_=columns[name].type) for name in names}
        updated = []
        for name, column in columns.items():
            if name in names or column is version:
                continue
            default = column.onupdate
            if column.server_onupdate is not None or default is not None and default.is_clause_element:
                return None
            if default is not None:
                make = maker_of(default)
                if make is None:
                    return None
                updated.append((name, make))
                changing[column.name] = bindparam(name, type_=column.type)
        table: Any = mapper.local_table
        criteria = [columns[name] == bindparam(_KEY + name, type_=columns[name].type) for name in self._keys]
        if version is not None:
            name = mapper.get_property_by_column(version).key
            if name in names:
                return None
            criteria.append(version == bindparam(_VERSION, type_=version.type))
            changing[version.name] = bindparam(name, type_=version.type)
        by_key = {column.name: column.key for column in table.columns}
        statement = table.update().where(*criteria).values({by_key[name]: each for name, each in changing.items()})
        text = text_of(statement, dialect, looked_at_by(self._dispatch.before_update.listeners))
        return None if text is None else _Plan(text, tuple(updated), mapper)


def _saver_of(state: Any) -> Saver:
    """Return the saver of an object's class, made anew when something has joined it; it goes with the class."""
    about, mapper = state.manager.info, state.mapper
    saver: Saver | None = about.get(_SAVER)
    if saver is None or saver.relationships is not mapper.relationships:
        saver = about[_SAVER] = Saver(mapper)
    return saver
