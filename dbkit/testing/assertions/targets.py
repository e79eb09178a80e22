"""What an assertion looks at: the engines of a database, those that are there and those that are made meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Union

from sqlalchemy.engine import Engine

from dbkit.engines.create import Engines
from dbkit.exceptions import UsageError
from dbkit.testing.isolation.sandbox import Sandbox
from dbkit.transaction.factory import Factory
from dbkit.transaction.manager import Databased

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

Target = Union[Databased, Sandbox, Engine, "AsyncEngine"]
"""A ``dbkit.Database``, a manager of enginefacade, a sandbox, or a plain engine of SQLAlchemy in either colour."""

Stop = Callable[[], None]


def each_engine(target: Target, tell: Callable[[Engine], None]) -> Stop:
    """Tell of each engine once, of asyncio ones of their ``sync_engine``; return what ends it.

    :raises UsageError: the target is nothing that has engines.
    """
    engine = getattr(target, "sync_engine", target)
    if isinstance(engine, Engine):
        tell(engine)
        return lambda: None
    known: list[Engine] = []

    def one(engine: Engine) -> None:
        if not any(each is engine for each in known):
            known.append(engine)
            tell(engine)

    def both(engines: Engines) -> None:
        one(engines.writer.engine)
        one(engines.reader.engine)

    return each_factory(target, lambda factory: factory.follow(both))


def each_factory(target: Target, follow: Callable[[Factory], Stop]) -> Stop:
    """Follow the factory of a database and those that a test puts in its place; return what ends it.

    :raises UsageError: the target is no database.
    """
    database = target.database if isinstance(target, Sandbox) else target
    if not isinstance(database, Databased):
        raise UsageError(
            f"an assertion cannot look at an object of class {type(target).__name__}; give it a dbkit.Database, a "
            "manager of enginefacade, a sandbox or, unless it is about hooks, an engine of SQLAlchemy"
        )
    stops: dict[Factory, Stop] = {}

    def one(factory: Factory) -> None:
        if factory not in stops:
            stops[factory] = follow(factory)

    ends: list[Stop] = []

    def stop() -> None:
        for end in (*ends, *stops.values()):
            end()

    try:
        ends.append(database.follow_factory(one))
    except BaseException:
        stop()
        raise
    return stop
