"""A protected block's own view of its engine: a dialect that shows each statement on its way to the driver.

SQLAlchemy's events on an engine would be paid by all its blocks. A connection that works with a copy of the engine's
dialect sees its own statements, and nobody else pays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy.engine import Dialect, Engine

from dbkit.engines.variant import KEPT


@dataclass(slots=True)
class Sent:
    """A statement on its way to the driver.

    :ivar call: the dialect's method that hands it over.
    :ivar parameters: as the driver takes them; None where it is called without.
    :ivar context: SQLAlchemy's execution context, or None.
    """

    call: Callable[..., Any]
    cursor: Any
    statement: str
    parameters: Any
    context: Any

    def carry_out(self) -> None:
        """Hand it over to the driver."""
        self.call(self.cursor, self.statement, self.parameters, self.context)


class Sender(Protocol):
    """A connection that looks at what it sends.

    :ivar holds_results: its cursors are made by ``held_cursor()``.
    """

    holds_results: bool

    def held_cursor(self) -> Any:
        """Return a new cursor."""

    def send(self, sent: Sent) -> None:
        """Carry the statement out, with what has to be done before and after."""


_VIEW = "_dbkit_view"


def view_of(engine: Engine) -> Dialect:
    """Return the dialect of protected blocks; made once, after the engine's first connection, which completes it."""
    dialect = engine.dialect
    view: Any = dialect.__dict__.get(_VIEW)
    if view is None:
        cls = type(dialect)
        viewed: type[Any] = type(
            f"Viewed{cls.__name__}", (_Viewed, cls), {"supports_statement_cache": cls.supports_statement_cache}
        )
        view = object.__new__(viewed)
        context_class: type[Any] = dialect.execution_ctx_cls
        viewed_context = type(f"Viewed{context_class.__name__}", (_ViewedContext, context_class), {})
        # a test may stand in the methods just now: the view has its own, and what it copied would outlive the test
        own = {name: value for name, value in dialect.__dict__.items() if not name.startswith("do_") and name != KEPT}
        view.__dict__.update(own, _dbkit_whole=dialect, execution_ctx_cls=viewed_context)
        setattr(dialect, _VIEW, view)
    found: Dialect = view
    return found


class _Viewed:
    """Hands each statement to the connection that sends it, which calls the engine's own dialect."""

    _dbkit_whole: Any

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        sent = Sent(self._dbkit_whole.do_execute, cursor, statement, parameters, context)
        if context is None:
            _send(sent)
        else:  # at once: a call less for each statement
            context.root_connection.send(sent)

    def do_executemany(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        _send(Sent(self._dbkit_whole.do_executemany, cursor, statement, parameters, context))

    def do_execute_no_params(self, cursor: Any, statement: str, context: Any = None) -> None:
        def call(cursor: Any, statement: str, parameters: Any, context: Any) -> None:
            self._dbkit_whole.do_execute_no_params(cursor, statement, context)

        _send(Sent(call, cursor, statement, None, context))


class _ViewedContext:
    """Lets a connection that holds its results make the cursors."""

    root_connection: Any

    def create_default_cursor(self) -> Any:
        connection = self.root_connection
        if connection.holds_results:
            return connection.held_cursor()
        return super().create_default_cursor()  # type: ignore[misc]


def _send(sent: Sent) -> None:
    if sent.context is None:
        sent.carry_out()  # SQLAlchemy's own, outside any block: the first look at a server
        return
    sender: Sender = sent.context.root_connection
    sender.send(sent)
