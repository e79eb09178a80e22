"""Whether a block loads attributes behind the back of who reads them."""

from __future__ import annotations

from types import CodeType
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, ORMExecuteState, Session, registry

from dbkit.testing.assertions.block import Check
from dbkit.testing.assertions.places import caller, frames
from dbkit.testing.assertions.targets import Stop, Target, each_engine

_READERS: frozenset[CodeType] = frozenset(
    getattr(InstrumentedAttribute, name).__code__ for name in ("__get__", "__set__", "__delete__")
)


class LazyLoadCheck(Check):
    """Refuses lazy loads, while its block runs."""

    def __init__(self, of: Target | type[Any] | registry) -> None:
        self._of = of
        self._engines: list[Engine] = []
        self.found: list[str] = []
        """What was loaded, and where."""

    def _start(self) -> Stop:
        stop = None if isinstance(self._of, type | registry) else each_engine(self._of, self._engines.append)
        event.listen(Session, "do_orm_execute", self._look)

        def end() -> None:
            event.remove(Session, "do_orm_execute", self._look)
            if stop is not None:
                stop()

        return end

    def _judge(self) -> None:
        __tracebackhide__ = True
        if self.found:
            raise AssertionError("\n".join(self.found))

    def _look(self, state: ORMExecuteState) -> None:
        if not (state.is_relationship_load or state.is_column_load):
            return
        attribute = _attribute_being_read()
        if attribute is None or not self._concerns(state, attribute):
            return
        name = f"{attribute.parent.class_.__name__}.{attribute.key}"
        what = (
            "load the relationship with its object, by an option such as selectinload()"
            if state.is_relationship_load
            else "it was deferred or has expired: load it with its object, or refresh() the object where that is meant"
        )
        __tracebackhide__ = True
        self.found.append(f"{name} was loaded lazily, by a statement of its own, at {caller()}; {what}")
        raise AssertionError(self.found[-1])

    def _concerns(self, state: ORMExecuteState, attribute: InstrumentedAttribute[Any]) -> bool:
        if isinstance(self._of, registry):
            return attribute.parent.mapper.registry is self._of
        if isinstance(self._of, type):
            return issubclass(attribute.parent.class_, self._of)
        engine = state.session.get_bind(**state.bind_arguments).engine
        return any(engine.dialect is each.dialect for each in self._engines)


def assert_no_lazy_loads(of: Target | type[DeclarativeBase] | type[Any] | registry) -> LazyLoadCheck:
    """Return what makes a lazy load an error in its block, at the line that causes it.

    A lazy load is the statement that is sent because an attribute is read which is not there: a relationship that was
    not loaded, a deferred column, an attribute that has expired. What is loaded on demand without a statement, from the
    objects that the session has, and what ``refresh`` loads, is none.

    :param of: a ``dbkit.Database``, a manager of enginefacade, a sandbox, an engine of SQLAlchemy, a mapped class, the
        declarative base of many, or their registry.

    .. versionadded:: 0.1
    """
    return LazyLoadCheck(of)


def _attribute_being_read() -> InstrumentedAttribute[Any] | None:
    for frame in frames():
        if frame.f_code in _READERS:
            found: InstrumentedAttribute[Any] = frame.f_locals["self"]
            return found
    return None
