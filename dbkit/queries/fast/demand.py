"""Relationships of objects that belong to no session: loaded when they are first asked for, by the open block."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary, ref

from sqlalchemy.orm import InstanceState, Mapper
from sqlalchemy.orm.base import NO_RAISE, SQL_OK

from dbkit.ambient import CURRENT
from dbkit.exceptions import HandleNotRequested, NoTransaction
from dbkit.transaction.scope import Scope
from dbkit.transaction.transaction import Transaction

_ON_DEMAND = "dbkit.on_demand"
Loaders = Mapping[str, Callable[[Any, Any], Any]]


def block_that_loads(model: type, name: str, source: Callable[[], Any] | None) -> Transaction:
    """Return the open block that loads what a relationship leads to.

    :param source: returns the database from which its owner has come; None: any.
    :raises NoTransaction: no block of it is open here.
    :raises HandleNotRequested: the block runs in asyncio, and nobody can wait here.
    """
    frame: Any = CURRENT.get()
    while frame is not None:
        if isinstance(frame, Scope) and frame.is_open and (source is None or frame.source is source()):
            try:
                frame.check_user("related")
            except HandleNotRequested as error:
                raise HandleNotRequested(
                    f"{model.__name__}.{name} is a relationship, which is loaded when it is asked for, and in asyncio "
                    f"that must be awaited: await queries.arelated(..., {name!r})"
                ) from error
            return frame.physical()
        frame = frame.outer
    raise NoTransaction(
        f"{model.__name__}.{name} is a relationship, which is loaded when it is asked for, and no block of its "
        "database is open here; ask inside a reader or writer"
    )


class _Loader:
    """Loads a relationship as SQLAlchemy does, in the session of the open block if its owner has none."""

    __slots__ = ("_model", "_name", "_source")

    def __init__(self, model: type, name: str, source: Callable[[], Any] | None) -> None:
        self._model = model
        self._name = name
        self._source = source

    def __call__(self, state: InstanceState[Any], passive: Any) -> Any:
        load: Any = state.manager[self._name].impl.callable_
        if state.session is not None or not passive & SQL_OK:
            return load(state, passive)
        try:
            session = block_that_loads(self._model, self._name, self._source).open_session()
        except (HandleNotRequested, NoTransaction):
            if passive & NO_RAISE:
                return load(state, passive)
            raise
        # for as long as it takes: the object does not become the session's, which would store its changes by itself
        state.session_id = session.hash_key
        try:
            return load(state, passive)
        finally:
            state.session_id = None

    def __reduce__(self) -> Any:
        return _Loader, (self._model, self._name, None)


def on_demand(mapper: Mapper[Any], source: Any) -> Loaders:
    """Return what loads the relationships of an object, by names, for its state.

    :param source: the database from which the objects come; None: any may load them.
    """
    manager: Any = mapper.class_manager
    known: Any = manager.info.setdefault(_ON_DEMAND, WeakKeyDictionary())
    whence = _ANYWHERE if source is None else source
    relationships = mapper.relationships  # others as soon as one has joined
    if whence not in known or known[whence][0] is not relationships:
        names = [each.key for each in relationships if manager[each.key].impl.callable_ is not None]
        whose = None if source is None else ref(source)
        known[whence] = relationships, {name: _Loader(mapper.class_, name, whose) for name in names}
    found: Loaders = known[whence][1]
    return found


class _Anywhere:
    """Stands for the database of an object that has been unpickled: any."""


_ANYWHERE = _Anywhere()
