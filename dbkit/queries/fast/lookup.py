"""Lookups: SELECTs that are made once and asked often."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from sqlalchemy import Select, bindparam, inspect, select
from sqlalchemy.engine import Dialect
from sqlalchemy.event.attr import _EmptyListener
from sqlalchemy.exc import MultipleResultsFound, NoInspectionAvailable, NoResultFound
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import instance_state as object_state
from sqlalchemy.sql.expression import BindParameter
from sqlalchemy.sql.visitors import iterate

from dbkit.exceptions import UsageError
from dbkit.filters.options import Without
from dbkit.queries.fast.alone import READERS, factory_of, lane_alone, send_alone
from dbkit.queries.fast.demand import on_demand
from dbkit.queries.fast.objects import can_be_made, events_of, loads_eagerly, maker, places_of, value_in_row
from dbkit.queries.fast.straight import Kept, Text, has_objects, send, straight_connection, text_of
from dbkit.queries.fast.whole import ain_block, in_block
from dbkit.queries.where import transaction_of
from dbkit.spec import Colour
from dbkit.transaction.greenlets import in_task
from dbkit.transaction.transaction import Transaction

T = TypeVar("T")
Found = tuple[Any, Callable[[Any], Any] | None]
_PART = 1000


class _Plan:
    """A lookup on one dialect.

    :ivar make: makes what is returned of a row; None before the first answer, which tells the driver's types.
    :ivar events: where to see who wants to be told when an object is loaded; None where no objects are made.
    """

    __slots__ = ("events", "make", "text")

    def __init__(self, text: Text, events: Any) -> None:
        self.text = text
        self.events = events
        self.make: Callable[[Any], Any] | None = None


class Lookup(Generic[T]):
    """A SELECT that is compiled once for each dialect, and sent straight to the driver.

    It takes its values by the names of the statement's ``bindparam()``. Of ``select(Model)`` come objects of the model
    that belong to no session: change them and give them to :func:`.save`, or add them to a session. A relationship is
    loaded when it is first asked for, by the block that is open then; in asyncio by :func:`.arelated`. A statement of
    columns gives named tuples. Rules of tables count as in every statement of the block.

    What it can't do so takes the ordinary way by itself, through the block's session: objects of classes in an
    inheritance, with deferred columns or relationships that are loaded eagerly, or whose loading somebody listens to;
    loader options; lists for IN; a session that holds objects already; blocks with a deadline, a fence or a replay.

    :param statement: a ``select()``.
    :raises UsageError: it is none.

    .. versionadded:: 0.1
    """

    def __init__(self, statement: Select[tuple[T]]) -> None:
        if not isinstance(statement, Select):
            raise UsageError(f"a lookup is made of a select(); {type(statement).__name__} is none")
        self.statement = statement
        self._plans: Kept[_Plan | None] = Kept(self._plan)
        self.mapper = _only_entity(statement)
        self._relationships: Any = None  # the mapper's for which the plans were made
        self._wanted = {each.key for each in iterate(statement) if isinstance(each, BindParameter)}
        self._names = [each["name"] for each in statement.column_descriptions]
        self._tuple: Any = None
        if self.mapper is None:
            self._tuple = namedtuple("Row", [str(name) for name in self._names], rename=True)  # type: ignore[misc]

    def all(self, where: Any, **values: Any) -> list[T]:
        """Return all that is found.

        :param where: the block: its session or connection, a :class:`.Database`, or a context object; or a reader,
            such as ``db.reader``, for a block of this statement alone.
        :raises DBError: the database refused.
        :raises UsageError: a value is missing.
        """
        rows, make = self._found(where, values)
        return rows if make is None else _made_of(rows, make)

    def one(self, where: Any, **values: Any) -> T:
        """Return the only one that is found; raises what :meth:`all` does.

        :raises NoResultFound: there is none (SQLAlchemy's class).
        :raises MultipleResultsFound: there are more.
        """
        rows, make = self._found(where, values)
        if not rows or rows[1:]:
            _refuse(rows)
        found: T = rows[0] if make is None else make(rows[0])
        return found

    def one_or_none(self, where: Any, **values: Any) -> T | None:
        """Return the only one that is found, or None; raises what :meth:`all` does.

        :raises MultipleResultsFound: there are more.
        """
        rows, make = self._found(where, values)
        return _only(rows, make) if rows else None

    def first(self, where: Any, **values: Any) -> T | None:
        """Return the first that is found, or None; raises what :meth:`all` does. All are read: use ``limit(1)``."""
        rows, make = self._found(where, values)
        return _only(rows[:1], make) if rows else None

    # -- asyncio ------------------------------------------------------------------------------------------------------

    async def aall(self, where: Any, **values: Any) -> list[T]:
        """Do as :meth:`all` does, in asyncio."""
        rows, make = await self._afound(where, values)
        return rows if make is None else _made_of(rows, make)

    async def aone(self, where: Any, **values: Any) -> T:
        """Do as :meth:`one` does, in asyncio."""
        rows, make = await self._afound(where, values)
        found: T = _only(rows, make)
        return found

    async def aone_or_none(self, where: Any, **values: Any) -> T | None:
        """Do as :meth:`one_or_none` does, in asyncio."""
        rows, make = await self._afound(where, values)
        return _only(rows, make) if rows else None

    async def afirst(self, where: Any, **values: Any) -> T | None:
        """Do as :meth:`first` does, in asyncio."""
        rows, make = await self._afound(where, values)
        return _only(rows[:1], make) if rows else None

    # -- the ways -----------------------------------------------------------------------------------------------------

    def _given_reader(self, where: Any, values: dict[str, Any]) -> Found:
        found = self._alone(where, values, Colour.BLOCKING)
        return in_block(where, partial(self._found, None, values)) if found is None else found

    async def _afound(self, where: Any, values: dict[str, Any]) -> Found:
        if not isinstance(where, READERS):
            return await in_task(partial(self._found, where, values))
        found = await in_task(partial(self._alone, where, values, Colour.ASYNCIO))
        return await ain_block(where, partial(self._found, None, values)) if found is None else found

    def _found(self, where: Any, values: dict[str, Any], transaction: Transaction | None = None) -> Found:
        """Return rows and what makes something of each; None: they are what is wanted already.

        :param transaction: of the block, if it is known; it counts for ``where`` then.
        """
        if transaction is None:
            if isinstance(where, READERS):
                return self._given_reader(where, values)
            transaction = transaction_of(where)
        session = transaction.session
        if session is None or not has_objects(session):
            connection = straight_connection(transaction)
            if connection is not None:
                dialect: Any = connection.dialect
                plan = self._usable_plan(dialect)
                if plan is not None:
                    try:
                        parameters = plan.text.bind(values)
                    except Exception as error:  # a type's own may be of any kind
                        self._refuse_if_missing(error, values)
                    else:
                        rows = send(connection, plan.text, parameters)
                        if plan.make is None and rows:
                            plan.make = self._maker(plan.text, dialect, transaction.source)
                        return rows, plan.make
        return self._ordinary(transaction, values), None  # where values are wrong, it says so in a session's words

    def _alone(self, where: Any, values: dict[str, Any], colour: Colour) -> Found | None:
        """Return what a reader of this statement alone has found, without a block; None if it takes one."""
        lane = lane_alone(where, colour)
        plan = None if lane is None else self._usable_plan(lane.engine.dialect)
        if lane is None or plan is None:
            return None
        try:
            parameters = plan.text.bind(values)
        except Exception as error:  # a type's own may be of any kind
            self._refuse_if_missing(error, values)
            return None
        rows = send_alone(lane, plan.text, parameters, colour)
        if rows is None:
            return None
        if plan.make is None and rows:
            plan.make = self._maker(plan.text, lane.engine.dialect, factory_of(where))
        return rows, plan.make

    def _usable_plan(self, dialect: Dialect) -> _Plan | None:
        """Return the plan on a dialect; None where there is none, or somebody wants to be told of what is loaded."""
        if self.mapper is not None and self._relationships is not self.mapper.relationships:
            self._forget(self.mapper)
        made_for, plan = self._plans.last
        if made_for is not dialect:
            plan = self._plans.of(dialect)
        if plan is None or plan.events is None:
            return plan  # type: ignore[no-any-return]
        loading = plan.events.load
        if loading.parent_listeners or (loading.__class__ is not _EmptyListener and loading):
            return None
        return plan  # type: ignore[no-any-return]

    def _forget(self, mapper: Mapper[Any]) -> None:
        """Forget all plans: a column or a relationship has joined the mapper, which has other relationships then."""
        relationships = mapper.relationships
        self._plans = Kept(self._plan)
        self._relationships = relationships

    def _refuse_if_any_is_missing(self, values: dict[str, Any]) -> None:
        for each in iterate(self.statement):
            if isinstance(each, BindParameter) and each.required and each.key not in values:
                raise UsageError(f"the lookup needs a value for {each.key!r}; give it by that name")

    def _refuse_if_missing(self, error: Exception, values: dict[str, Any]) -> None:
        name = error.args[0] if isinstance(error, KeyError) and error.args else None
        if name in self._wanted and name not in values:
            raise UsageError(f"the lookup needs a value for {name!r}; give it by that name") from error

    def _ordinary(self, transaction: Transaction, values: dict[str, Any]) -> list[T]:
        result: Any = transaction.open_session().execute(self._asked(), values)
        if self.mapper is not None:
            # as often as its row is found, unless rows of what was loaded with it stand beside it
            found = list((result if self._is_bare() else result.unique()).scalars())
            for each in found:
                state = object_state(each)
                loaders = on_demand(state.mapper, transaction.source)
                if loaders and not state.callables:
                    state.callables = {**loaders}
            return found
        return [self._tuple(*row) for row in result]

    def _plan(self, dialect: Dialect) -> _Plan | None:
        text = text_of(self._asked(), dialect) if self._goes_straight() else None
        if text is None or (self.mapper is not None and places_of(text.columns, self.mapper) is None):
            return None
        return _Plan(text, None if self.mapper is None else events_of(self.mapper))

    def _asked(self) -> Select[Any]:
        """Return the statement as it is sent."""
        return self.statement

    def _is_bare(self) -> bool:
        """Return whether nothing is loaded together with the objects."""
        if not all(isinstance(each, Without) for each in self.statement._with_options):
            return False
        return self.mapper is None or not loads_eagerly(self.mapper)

    def _goes_straight(self) -> bool:
        if not self._is_bare():
            return False
        if self.mapper is not None:
            return can_be_made(self.mapper)
        return all(
            each.get("entity") is None or each["expr"] is not each["entity"] for each in _described(self.statement)
        )

    def _maker(self, text: Text, dialect: Dialect, source: Any) -> Callable[[Any], Any]:
        names: dict[str, Any] = {"make": self._tuple}
        if self.mapper is not None:
            places = places_of(text.columns, self.mapper)
            assert places is not None
            values = {key: value_in_row(text, place, dialect, names) for key, place in places.items()}
            return maker(self.mapper, values, names, on_demand(self.mapper, source))
        parts = [value_in_row(text, place, dialect, names) for place in range(len(self._names))]
        found: Callable[[Any], Any] = eval(f"lambda r: make({', '.join(parts)})", names)
        return found


def _only(rows: Any, make: Callable[[Any], Any] | None) -> Any:
    if not rows or rows[1:]:
        _refuse(rows)
    return rows[0] if make is None else make(rows[0])


def _made_of(rows: Sequence[Any], make: Callable[[Any], Any]) -> list[Any]:
    """Return what is made of each row; of many, what the driver gave is let go by parts, and its memory used again."""
    if len(rows) <= _PART:
        return [make(row) for row in rows]
    found = rows if rows.__class__ is list else list(rows)
    for start in range(0, len(found), _PART):
        found[start : start + _PART] = map(make, found[start : start + _PART])
    return found


def find(model: type[T]) -> Lookup[T]:
    """Return the lookup of a model by its primary key: ``find(User).one(db, id=5)``.

    :raises UsageError: the class is not mapped.

    .. versionadded:: 0.1
    """
    mapper = _mapper_of(model)
    if mapper is None:
        raise UsageError(f"{model!r} is no mapped class")
    keys = [mapper.get_property_by_column(column).class_attribute for column in mapper.primary_key]
    statement: Any = select(model).where(*(each == bindparam(each.key) for each in keys))
    return Lookup(statement)


def _described(statement: Select[Any]) -> list[Any]:
    return list(statement.column_descriptions)


def _only_entity(statement: Select[Any]) -> Mapper[Any] | None:
    """Return the mapper of a statement that asks for objects of one class, and for nothing else."""
    described = _described(statement)
    if len(described) == 1 and described[0]["expr"] is described[0].get("entity"):
        return None if described[0]["aliased"] else _mapper_of(described[0]["type"])
    return None


def _mapper_of(model: Any) -> Mapper[Any] | None:
    try:
        found = inspect(model)
    except NoInspectionAvailable:
        return None
    return found if isinstance(found, Mapper) else None


def _refuse(found: Any) -> None:
    if found:
        raise MultipleResultsFound("the lookup has found more than one row; it was to find one")
    raise NoResultFound("the lookup has found no row; it was to find one")
