"""Rows that only are read: they look like the model, and cost little more than what the driver gives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from functools import partial
from operator import itemgetter
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, ref

from sqlalchemy import Select
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapper, class_mapper, lazyload, undefer
from sqlalchemy.orm.attributes import instance_state as object_state

from dbkit.exceptions import UsageError
from dbkit.filters.options import Without
from dbkit.queries.bulk.batches import batch_of
from dbkit.queries.fast.demand import block_that_loads, on_demand
from dbkit.queries.fast.listening import ORM_EXECUTE, is_overheard
from dbkit.queries.fast.lookup import Lookup
from dbkit.queries.fast.objects import events_of, loads_eagerly, maker, places_of, value_in_row
from dbkit.queries.fast.straight import Text
from dbkit.queries.where import transaction_of
from dbkit.transaction.greenlets import in_task
from dbkit.transaction.transaction import Transaction

T = TypeVar("T")
_CLASSES = "dbkit.rows"


class Row(tuple[Any, ...]):
    """A row that looks like an object of a model, and can't be changed.

    Columns are attributes, and so are the model's properties, methods and hybrids that need no more than columns. A
    relationship is loaded when it is first asked for, by the block that is open then; in asyncio by :func:`arelated`.

    .. versionadded:: 0.1
    """

    __slots__ = ()
    _model: type
    _source: Any = None
    _whole: Callable[[Any], Any]

    def __getattr__(self, name: str) -> Any:
        found: Any = None if name.startswith("__") else _in_class(self._model, name)
        if isinstance(found, hybrid_property):
            return found.fget(self)
        if _is_relationship(self._model, name):
            return related(self, name)
        if hasattr(found, "__get__"):
            return found.__get__(self, type(self))
        if found is None:
            raise AttributeError(f"{self._model.__name__} has no attribute {name!r}")
        return found

    def __setattr__(self, name: str, value: object) -> None:
        raise UsageError(
            f"{self._model.__name__}.{name} was set on a row that only is read; take the object itself, by "
            "queries.find() or queries.lookup(), change it and give it to queries.save()"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Row) and other._model is self._model and tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((self._model, tuple(self)))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._names())
        return f"<{self._model.__name__} row {shown}>"

    @classmethod
    def _names(cls) -> list[str]:
        return [name for each in reversed(cls.__mro__) for name, value in vars(each).items() if type(value) is property]

    def __reduce__(self) -> Any:
        return _unpickled, (self._model, {name: getattr(self, name) for name in self._names()})


def rows(statement: Select[tuple[T]]) -> Rows[T]:
    """Return a lookup whose answers are rows that only are read.

    :param statement: a ``select()`` of one model.
    :raises UsageError: it is none.

    .. versionadded:: 0.1
    """
    return Rows(statement)


class Rows(Lookup[T]):
    """A lookup whose answers are rows that look like the model; see :func:`rows`."""

    def __init__(self, statement: Select[tuple[T]]) -> None:
        super().__init__(statement)
        if self.mapper is None:
            raise UsageError("rows() is made of a select() of one model; for columns there is lookup()")

    def stream(self, where: Any, *, batch: int = 1000, **values: Any) -> Iterator[T]:
        """Yield what is found, and hold no more of it than a batch.

        The rows are fetched from a cursor of the server, where it has any; it is closed when the caller stops. What the
        block's session has pending is flushed before.

        :param where: the block: its session or connection, a :class:`.Database`, or a context object.
        :param batch: how many rows are fetched at once.
        :raises DBError: the database refused.
        :raises UsageError: a value is missing.
        """
        result, parts = self._opened(where, batch, values)
        try:
            for part in parts:
                yield from part
        finally:
            result.close()

    async def astream(self, where: Any, *, batch: int = 1000, **values: Any) -> AsyncIterator[T]:
        """Do as :meth:`stream` does, in asyncio; who stops early closes it with ``aclose()``."""
        result, parts = await in_task(partial(self._opened, where, batch, values))
        try:
            while (part := await in_task(partial(next, parts, None))) is not None:
                for each in part:
                    yield each
        finally:
            await in_task(result.close)

    def _opened(self, where: Any, batch: int, values: dict[str, Any]) -> tuple[Any, Iterator[list[T]]]:
        """Send the statement; return its result, and its rows in parts."""
        batch_of(batch)
        transaction, mapper = transaction_of(where), self._the_mapper()
        self._refuse_if_any_is_missing(values)
        wanted: Any = self._asked().execution_options(yield_per=batch)
        session = transaction.session
        is_told = ORM_EXECUTE or events_of(mapper).load or (session is not None and is_overheard(session))
        if self._goes_straight() and not is_told:
            if session is not None and session.may_write:
                session.flush()
            result: Any = transaction.connect().execute(wanted, values)
            places = places_of(result.context.compiled._result_columns, mapper)
            if places is not None:
                row: Any = _class_of(mapper, places, transaction.source)
                return result, ([row(each) for each in part] for part in result.partitions(batch))
            result.close()
        # all at once: while its rows come, a connection may have no time for what would be loaded later
        result = transaction.open_session().execute(wanted.options(undefer("*")), values).scalars()
        return result, (self._seen(part, transaction) for part in result.partitions(batch))

    def _asked(self) -> Select[Any]:
        # a row has no room for what a mapping loads beside it
        bare = self._is_bare() and loads_eagerly(self._the_mapper())
        return self.statement.options(lazyload("*")) if bare else self.statement

    def _is_bare(self) -> bool:
        return all(isinstance(each, Without) for each in self.statement._with_options)

    def _maker(self, text: Text, dialect: Dialect, source: Any) -> Callable[[Any], Any]:
        mapper = self._the_mapper()
        places = places_of(text.columns, mapper)
        assert places is not None
        row = _class_of(mapper, places, source)
        names: dict[str, Any] = {"make": row}
        parts = [value_in_row(text, place, dialect, names) for place in range(len(text.description))]
        if len(names) == 1:
            return row  # no value has to be converted
        found: Callable[[Any], Any] = eval(f"lambda r: make(({', '.join(parts)},))", names)
        return found

    def _ordinary(self, transaction: Transaction, values: dict[str, Any]) -> list[T]:
        return self._seen(super()._ordinary(transaction, values), transaction)

    def _seen(self, objects: Iterable[Any], transaction: Transaction) -> list[T]:
        """Return rows that look like objects of a session."""
        mapper = self._the_mapper()
        keys = [each.key for each in mapper.column_attrs]
        row: Any = _class_of(mapper, {key: place for place, key in enumerate(keys)}, transaction.source)
        return [row([getattr(each, key) for key in keys]) for each in objects]

    def _the_mapper(self) -> Mapper[Any]:
        assert self.mapper is not None  # __init__ has refused everything else
        return self.mapper


def related(row: Any, name: str) -> Any:
    """Return what a relationship of a row, or of an object, leads to, loaded by the open block of the same database.

    :param row: one of :func:`rows`, or an object of a model, of a session or not.
    :raises NoTransaction: no block is open.
    :raises UsageError: it is neither, or the model has no such relationship.

    .. versionadded:: 0.1
    """
    model = row._model if isinstance(row, Row) else type(row)
    if not hasattr(model, "__mapper__") or not _is_relationship(model, name):
        raise UsageError(f"{name!r} is no relationship of {type(row).__name__}")
    if isinstance(row, Row):
        session = block_that_loads(model, name, row._source).open_session()
        return getattr(session.merge(row._whole(row), load=False), name)
    state = object_state(row)
    if state.detached and not state.callables:
        state.callables = {**on_demand(state.mapper, None)}
    return getattr(row, name)


async def arelated(row: Any, name: str) -> Any:
    """Do as :func:`related` does, in asyncio."""
    return await in_task(partial(related, row, name))


def _class_of(mapper: Mapper[Any], places: dict[str, int], source: Any) -> type[Row]:
    """Return the class of rows with columns at certain places, that belong to one database; each is made once."""
    known: Any = mapper.class_manager.info.setdefault(_CLASSES, WeakKeyDictionary())
    by_places = known.setdefault(_ANYWHERE if source is None else source, {})
    at = tuple(places.items())
    if at not in by_places:
        columns: dict[str, Any] = {key: property(itemgetter(place)) for key, place in places.items()}
        columns["_whole"] = staticmethod(maker(mapper, {key: f"r[{place}]" for key, place in places.items()}, {}))
        columns |= {"__slots__": (), "_model": mapper.class_, "_source": None if source is None else ref(source)}
        by_places[at] = type(f"{mapper.class_.__name__}Row", (Row,), columns)
    found: type[Row] = by_places[at]
    return found


class _Anywhere:
    """Stands for the database of a row that has been unpickled: any."""


_ANYWHERE = _Anywhere()


def _unpickled(model: type, values: dict[str, Any]) -> Any:
    mapper: Mapper[Any] = class_mapper(model)
    return _class_of(mapper, {key: place for place, key in enumerate(values)}, None)(values.values())


def _in_class(model: type, name: str) -> Any:
    for cls in model.__mro__:
        if name in cls.__dict__:
            return cls.__dict__[name]
    return None


def _is_relationship(model: Any, name: str) -> bool:
    return name in model.__mapper__.relationships
