"""Saving one new object by one INSERT, past the unit of work; it is in the block's session afterwards."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Table
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.event.attr import _EmptyListener
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.exc import FlushError

from dbkit.filters.tenants import ScopeCheck, looked_at_by
from dbkit.queries.fast.defaults import maker_of
from dbkit.queries.fast.listening import AFTER_FLUSH, AFTER_POSTEXEC, BEFORE_FLUSH, OF_OBJECTS, OUR_OWN, is_watched
from dbkit.queries.fast.objects import is_alone, value_in_row
from dbkit.queries.fast.plans import keep
from dbkit.queries.fast.straight import Kept, Text, is_plain, send, send_change, send_new, straight_connection, text_in
from dbkit.transaction.transaction import Transaction

_ADDER = "dbkit.adder"
_PLAIN = frozenset({str, int, float, bool, bytes, type(None)})
Made = tuple[str, str | None, Callable[[], Any]]


class _Plan:
    """An INSERT of certain columns on one dialect.

    :ivar sent: for each column that is sent its key and the name of the attribute that has its value.
    :ivar nothing: the keys of columns that are sent as NULL.
    :ivar made: for each default that is made in Python the key of its column, the attribute and what makes it.
    :ivar returned: the attributes whose values come back, in their order; None where nobody asks.
    :ivar number: the attribute whose value the driver tells, and what converts it.
    :ivar expired: the attributes whose values only the database knows.
    """

    __slots__ = ("expired", "made", "nothing", "number", "returned", "sent", "text", "values_of")

    def __init__(
        self,
        text: Text,
        sent: tuple[tuple[str, str], ...],
        nothing: dict[str, None],
        made: tuple[Made, ...],
        returned: tuple[str | None, ...],
        number: tuple[str, Any] | None,
        expired: list[str],
    ) -> None:
        self.text = text
        self.sent = sent
        self.nothing = nothing
        self.made = made
        self.returned = returned
        self.number = number
        self.expired = expired
        self.values_of: Callable[[Any], dict[str, Any]] | None = None


class Adder:
    """Stores new objects of one class.

    :ivar relationships: of the mapper, which has others as soon as anything has joined it: this adder is outdated then.
    """

    def __init__(self, mapper: Mapper[Any]) -> None:
        self._mapper = mapper
        self.relationships = mapper.relationships
        self._dispatch: Any = mapper.dispatch
        self._columns = {each.key: each.columns[0] for each in mapper.column_attrs if len(each.columns) == 1}
        self._keys = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
        version = mapper.version_id_col
        self._version = None if version is None else mapper.get_property_by_column(version).key
        self._related = [(each.key, bool(each.uselist)) for each in self.relationships]
        self._is_able = self._can_be_added_alone()
        self._means_null = frozenset(key for key, column in self._columns.items() if column.type.should_evaluate_none)
        self._plans: Kept[dict[tuple[str, ...], _Plan | None]] = Kept(lambda dialect: {})

    def _can_be_added_alone(self) -> bool:
        mapper: Any = self._mapper
        table = mapper.local_table
        if not is_alone(mapper) or not isinstance(table, Table) or mapper.composites:
            return False
        if mapper.eager_defaults is True or mapper.version_id_generator is False:
            return False
        if len(self._columns) != len(list(mapper.column_attrs)):
            return False
        if getattr(mapper, "_insert_orm_defaults", {}).get(table):
            return False  # SQLAlchemy 2.1's: a dataclass's defaults that are not the column's
        return all(getattr(column, "table", None) is table for column in self._columns.values())

    def add(self, transaction: Transaction, state: Any, values: dict[str, Any]) -> bool:
        """Send the INSERT; return False if nothing was done, because a flush must do it."""
        session = transaction.session
        if not self._is_able or (session is not None and self._is_busy(session, values)) or self._is_listened(state):
            return False
        changed, columns, means_null, version = state.committed_state, self._columns, self._means_null, self._version
        for name, is_collection in self._related:
            if name in values:
                if not is_collection or not _is_empty(values[name]):
                    return False
            elif name in changed:
                return False
        names = tuple(
            [
                name
                for name in columns
                if name in values and name != version and (values[name] is not None or name in means_null)
            ]
        )
        connection = straight_connection(transaction)
        if connection is None or "_pending_mutations" in state.__dict__:
            return False
        dialect, plans = self._plans.last
        if dialect is not connection.dialect:
            dialect, plans = connection.dialect, self._plans.of(connection.dialect)
        try:
            plan = plans[names]
        except KeyError:
            plan = self._plan(plans, names, dialect)
        if plan is None:
            return False
        found: dict[str, Any] = {}
        try:
            sent: dict[str, Any] = {**plan.nothing}
            for key, name in plan.sent:
                value = sent[key] = values[name]
                if value.__class__ not in _PLAIN and not is_plain(value):
                    return False
            for each in self._dispatch.before_insert.listeners:
                if each.attribute in names and each.is_foreign(connection.off, values[each.attribute]):
                    return False
            for key, attribute, make in plan.made:
                value = sent[key] = make()
                if attribute is not None:
                    found[attribute] = value
            parameters = plan.text.bind(sent)
        except Exception:  # a value that its type refuses, or that is not to be had: the flush says so in its own words
            return False
        if plan.returned:
            rows = send(connection, plan.text, parameters)
            if not rows:
                raise FlushError(
                    f"the INSERT of a {state.class_.__name__} has not returned its row, which a trigger or a policy of "
                    "the database may have refused; nothing was stored"
                )
            if plan.values_of is None:
                plan.values_of = _reader(plan, dialect)
            found = {**plan.values_of(rows[0]), **found}
        elif plan.number is not None:
            attribute, process = plan.number
            number = send_new(connection, plan.text, parameters)
            found[attribute] = number if process is None else process(number)
        else:
            send_change(connection, plan.text, parameters)
        values |= found
        if plan.expired:
            state._expire_attributes(values, plan.expired)
        self._join(session if session is not None else transaction.open_session(), state, values)
        return True

    def _join(self, session: Any, state: Any, values: dict[str, Any]) -> None:
        """Let a stored object be the session's: as add() and flush() do it, of which nobody wants to be told."""
        key = (self._mapper._identity_class, tuple([values.get(name) for name in self._keys]), None)
        if None in key[1] or key in session.identity_map._dict:
            session._save_impl(state)
            session._register_persistent({state})  # it finds the words for that
            return
        transaction = session._autobegin_t()
        state.key, state.session_id, state.insert_order = key, session.hash_key, 1
        state._orphaned_outside_of_session = False
        session.identity_map.replace(state)
        state._commit_all(values, session.identity_map)
        transaction._new[state] = True

    def _is_busy(self, session: Any, values: dict[str, Any]) -> bool:
        """Return whether a flush of the session would do more than store this object, or tells somebody."""
        if session._new or session._deleted or session.identity_map._modified or is_watched(session):
            return True
        # it may hold another object of this key, of which a flush would speak
        key = tuple([values.get(name) for name in self._keys])
        return (self._mapper._identity_class, key, None) in session.identity_map

    def _is_listened(self, state: Any) -> bool:
        before, after = self._dispatch.before_insert, self._dispatch.after_insert
        if before.parent_listeners or after.parent_listeners or (after.__class__ is not _EmptyListener and after):
            return True
        if before.__class__ is not _EmptyListener:
            for each in before.listeners:
                if each.__class__ is not ScopeCheck:
                    return True
        if AFTER_FLUSH or AFTER_POSTEXEC or BEFORE_FLUSH[0] is not OUR_OWN or BEFORE_FLUSH[-1] is not OUR_OWN:
            return True
        for listeners in OF_OBJECTS:
            if listeners:
                return True
        return bool(state.manager.dispatch.refresh_flush)

    # -- plans --------------------------------------------------------------------------------------------------------

    def _plan(self, plans: dict[Any, _Plan | None], names: tuple[str, ...], dialect: Dialect) -> _Plan | None:
        plan = self._make_plan(dialect, names)
        keep(plans, names, plan)
        return plan

    def _make_plan(self, dialect: Any, names: tuple[str, ...]) -> _Plan | None:
        """Return the INSERT that a flush would send for these attributes, and what it does with the answer."""
        mapper: Any = self._mapper
        table: Table = mapper.local_table
        attributes = {column: name for name, column in self._columns.items()}
        sent = tuple((str(self._columns[name].key), name) for name in names)
        given = {key for key, _ in sent}
        nothing = {key: None for key in mapper._insert_cols_as_none[table] if key not in given}
        if self._version is not None:
            nothing.pop(self._columns[self._version].key, None)
        given |= set(nothing)
        statement: Any = table.insert()
        if mapper._prefer_eager_defaults(dialect, table) and not mapper._server_default_col_keys[table] <= given:
            statement = statement.return_defaults(*mapper._server_default_cols[table])
        made = self._made(given)
        if made is None:
            return None
        compiled = statement.compile(dialect=dialect, column_keys=[*given, *(key for key, _, _ in made)])
        text = text_in(compiled, looked_at_by(self._dispatch.before_insert.listeners))
        if text is None:
            return None
        by_number = None
        autoincrement = table._autoincrement_column
        if compiled.postfetch_lastrowid and autoincrement is not None and autoincrement.key not in given:
            if dialect.execution_ctx_cls.get_lastrowid is not DefaultExecutionContext.get_lastrowid:
                return None
            process = autoincrement.type._cached_result_processor(dialect, None)
            by_number = (attributes[autoincrement], process)
        returned = tuple(
            None if column.primary_key and attributes.get(column) in names else attributes.get(column)
            for column in compiled.effective_returning
        )
        expired = [attributes[column] for column in compiled.postfetch if column in attributes]
        return _Plan(text, sent, nothing, made, returned, by_number, expired)

    def _made(self, given: set[str]) -> tuple[Made, ...] | None:
        """Return the defaults that are made in Python; None if one takes more than a call."""
        mapper: Any = self._mapper
        found: list[Made] = []
        attributes = {column: name for name, column in self._columns.items()}
        for column in mapper.local_table.columns:
            attribute, key = attributes.get(column), str(column.key)
            if attribute is not None and attribute == self._version:
                found.append((key, attribute, partial(mapper.version_id_generator, None)))
            elif key not in given and column.default is not None:
                default = column.default
                if default.is_clause_element or default.is_sequence:
                    continue  # the compiler writes it into the statement, or says that it can't
                make = None if default.is_sentinel else maker_of(default)
                if make is None:
                    return None
                found.append((key, attribute, make))
        return tuple(found)


def _is_empty(collection: Any) -> bool:
    """Return whether nothing is in a collection of related objects, whatever its class says of itself."""
    adapter = getattr(collection, "_sa_adapter", None)
    return adapter is not None and not len(adapter)


def _reader(plan: _Plan, dialect: Any) -> Callable[[Any], dict[str, Any]]:
    """Return what reads the values that have come back, by attributes."""
    names: dict[str, Any] = {}
    parts = []
    for place, attribute in enumerate(plan.returned):
        if attribute is not None:
            names[f"k{place}"] = attribute
            parts.append(f"k{place}: {value_in_row(plan.text, place, dialect, names)}")
    found: Callable[[Any], dict[str, Any]] = eval(f"lambda r: {{{', '.join(parts)}}}", names)
    return found


def adder_of(state: Any) -> Adder:
    """Return what stores new objects of an object's class, made anew when something has joined it.

    It goes with the class.
    """
    about, mapper = state.manager.info, state.mapper
    found: Adder | None = about[_ADDER] if _ADDER in about else None
    if found is None or found.relationships is not mapper.relationships:
        found = about[_ADDER] = Adder(mapper)
    return found
