"""What passes between SQLAlchemy and the driver, for the time of an assertion.

A tap stands in the methods of an engine's dialect, in which SQLAlchemy calls the driver. They are looked up at each
call, so that nothing is left of a tap when its last observer has gone; listeners of SQLAlchemy would leave flags set.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy.engine import Engine

from dbkit.testing.assertions.targets import Stop, Target, each_engine

_METHODS = (
    "connect", "initialize", "do_begin", "do_commit", "do_rollback", "do_execute", "do_executemany",
    "do_execute_no_params",
)  # fmt: skip
_LOCK = threading.Lock()


class Observer:
    """What is told, before it happens, of what is asked of the driver. What a method raises looks like the driver's."""

    def connects(self, tap: Tap, args: tuple[Any, ...], arguments: dict[str, Any]) -> None:
        """A connection is about to be opened; the arguments by name may be changed."""

    def begins(self, tap: Tap, connection: Any) -> None:
        """BEGIN is about to be sent, or the driver would do so with the next statement."""

    def commits(self, tap: Tap, connection: Any) -> None:
        """COMMIT is about to be sent."""

    def rolls_back(self, tap: Tap, connection: Any) -> None:
        """ROLLBACK is about to be sent."""

    def executes(self, tap: Tap, sql: str, context: Any) -> None:
        """A statement is about to be sent.

        :param context: SQLAlchemy's ExecutionContext.
        """


class Tap:
    """Stands in the methods of one engine's dialect.

    :ivar engine: for asyncio the ``sync_engine``.
    :ivar real: the methods in which it stands, by their names.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.observers: tuple[Observer, ...] = ()
        dialect = engine.dialect
        self.real: dict[str, Callable[..., Any]] = {name: getattr(dialect, name) for name in _METHODS}
        self._before = {name: vars(dialect)[name] for name in _METHODS if name in vars(dialect)}
        self._of_its_own: Any = None

    def install(self) -> None:
        """Take the place of the methods."""
        for name in _METHODS:
            setattr(self.engine.dialect, name, getattr(self, name))

    def uninstall(self) -> None:
        """Give it back."""
        for name in _METHODS:
            delattr(self.engine.dialect, name)
        vars(self.engine.dialect).update(self._before)

    # -- the methods of the dialect -----------------------------------------------------------------------------------

    def connect(self, *args: Any, **arguments: Any) -> Any:
        """In place of the dialect's."""
        for each in self.observers:
            each.connects(self, args, arguments)
        return self.real["connect"](*args, **arguments)

    def initialize(self, connection: Any) -> None:
        """In place of the dialect's: what it sends, once an engine, is SQLAlchemy's own business."""
        self._of_its_own = connection
        self.real["initialize"](connection)

    def do_begin(self, connection: Any) -> None:
        """In place of the dialect's."""
        for each in self.observers:
            each.begins(self, connection)
        self.real["do_begin"](connection)

    def do_commit(self, connection: Any) -> None:
        """In place of the dialect's."""
        for each in self.observers:
            each.commits(self, connection)
        self.real["do_commit"](connection)

    def do_rollback(self, connection: Any) -> None:
        """In place of the dialect's."""
        if self._of_its_own is None or connection is not self._of_its_own.connection:
            for each in self.observers:
                each.rolls_back(self, connection)
        self.real["do_rollback"](connection)

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        """In place of the dialect's."""
        self._executes(statement, context)
        self.real["do_execute"](cursor, statement, parameters, context)

    def do_executemany(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        """In place of the dialect's."""
        self._executes(statement, context)
        self.real["do_executemany"](cursor, statement, parameters, context)

    def do_execute_no_params(self, cursor: Any, statement: str, context: Any = None) -> None:
        """In place of the dialect's."""
        self._executes(statement, context)
        self.real["do_execute_no_params"](cursor, statement, context)

    def _executes(self, statement: str, context: Any) -> None:
        if context is None or context.root_connection is not self._of_its_own:
            for each in self.observers:
                each.executes(self, statement, context)


def observe(target: Target, observer: Observer, tell: Callable[[Engine], None] | None = None) -> Stop:
    """Let an observer see what all engines of a target ask of their drivers; return what ends it.

    :param tell: is told of each engine too.
    :raises UsageError: the target is nothing that has engines.
    """
    taps: list[Tap] = []

    def one(engine: Engine) -> None:
        if tell is not None:
            tell(engine)
        with _LOCK:
            present = getattr(engine.dialect.do_commit, "__self__", None)
            tap = present if isinstance(present, Tap) else Tap(engine)
            if not tap.observers:
                tap.install()
            tap.observers = (*tap.observers, observer)
            taps.append(tap)

    def leave() -> None:
        with _LOCK:
            for tap in taps:
                tap.observers = tuple(each for each in tap.observers if each is not observer)
                if not tap.observers:
                    tap.uninstall()
            taps.clear()

    try:
        stop = each_engine(target, one)
    except BaseException:
        leave()
        raise

    def end() -> None:
        stop()
        leave()

    return end
