"""The two faces of dbkit behind one, so that a body can be run over both."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import dbkit
from dbkit import enginefacade
from dbkit.spec import Mode, TransactionSpec
from dbkit.tests.behaviours.colours import AsyncioColour, BlockingColour
from dbkit.transaction.manager import ContextManager, Root

ColourOf = BlockingColour | AsyncioColour


@enginefacade.transaction_context_provider
class RequestContext:
    """A context object as applications have them."""


class Opener:
    """A reader or writer, or one with modifiers: decorates a body, or opens a block for ``async with``.

    :param manager: dbkit's own.
    :param context: None for a Database.
    """

    def __init__(self, manager: Any, colour: ColourOf, context: Any = None) -> None:
        self.manager = manager
        self._colour = colour
        self._context = context

    def _modified(self, manager: Any) -> Opener:
        return Opener(manager, self._colour, self._context)

    def modified(self, name: str) -> Opener:
        """Return this with a modifier by its name; ``isolation`` means SERIALIZABLE."""
        return self.isolation("SERIALIZABLE") if name == "isolation" else self._modified(getattr(self.manager, name))

    @property
    def savepoint(self) -> Opener:
        return self._modified(self.manager.savepoint)

    @property
    def independent(self) -> Opener:
        return self._modified(self.manager.independent)

    @property
    def connection(self) -> Opener:
        return self._modified(self.manager.connection)

    @property
    def replica(self) -> Opener:
        return self._modified(self.manager.replica)

    def isolation(self, level: Any) -> Opener:
        return self._modified(self.manager.isolation(level))

    def without(self, *names: str) -> Opener:
        return self._modified(self.manager.without(*names))

    def deadline(self, seconds: float) -> Opener:
        return self._modified(self.manager.deadline(seconds))

    def retrying(self, *args: Any, **kwargs: Any) -> Opener:
        return self._modified(self.manager.retrying(*args, **kwargs))

    @property
    def replaying(self) -> Opener:
        return self._modified(self.manager.replaying)

    @property
    def exactly_once(self) -> Opener:
        return self._modified(self.manager.exactly_once)

    def __call__(self, body: Callable[..., Any] | None = None) -> Any:
        if body is None:
            return self._colour.block(self.block())
        return self._decorated(self._colour.function(body))

    def block(self) -> Any:
        """Return dbkit's own block."""
        return self.manager() if self._context is None else self.manager.using(self._context)

    def _decorated(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if self._context is None:
            return self._colour.awaitable(self.manager(function))
        taking = self._colour.awaitable(self.manager(_after_context(function)))
        return functools.partial(taking, self._context)


def _after_context(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with a context object as its first parameter."""
    if inspect.iscoroutinefunction(function):

        async def coroutine(context: Any, *args: Any, **kwargs: Any) -> Any:
            return await function(*args, **kwargs)

        return coroutine

    def plain(context: Any, *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return plain


class DatabaseFace:
    """``dbkit.Database``."""

    def __init__(self, database: dbkit.Database, colour: ColourOf) -> None:
        self._database = database
        self._colour = colour
        self.writer = Opener(database.writer, colour)
        self.reader = Opener(database.reader, colour)

    def handle(self, name: str) -> Any:
        """Return the open block's session or connection."""
        return self._colour.handle(self._database, name)

    def after_commit(self, hook: Callable[[], object]) -> None:
        self._database.after_commit(hook)

    def after_rollback(self, hook: Callable[[], object]) -> None:
        self._database.after_rollback(hook)

    def after_unknown(self, hook: Callable[[str | None], object]) -> None:
        self._database.after_unknown(hook)


class ContextFace:
    """``enginefacade`` with a context object, on the same database."""

    def __init__(self, database: dbkit.Database, colour: ColourOf, context: Any = None) -> None:
        manager = manager_of(database)
        self.context = RequestContext() if context is None else context
        self._colour = colour
        self.writer = Opener(manager.writer, colour, self.context)
        self.reader = Opener(manager.reader, colour, self.context)

    def handle(self, name: str) -> Any:
        """Return the open block's session or connection."""
        return self._colour.handle(self.context, name)

    def after_commit(self, hook: Callable[[], object]) -> None:
        enginefacade.after_commit(self.context, hook)

    def after_rollback(self, hook: Callable[[], object]) -> None:
        enginefacade.after_rollback(self.context, hook)

    def after_unknown(self, hook: Callable[[str | None], object]) -> None:
        enginefacade.after_unknown(self.context, hook)


def manager_of(database: dbkit.Database) -> ContextManager:
    """Return a manager for context objects that shares the engines of a Database."""
    return ContextManager(Root(database.factory), TransactionSpec(mode=Mode.READER))
