"""The ``with`` and ``async with`` faces of a block."""

from __future__ import annotations

from contextvars import Token
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from dbkit.ambient import CURRENT, innermost, leave
from dbkit.exceptions import InvalidDecoration, UsageError
from dbkit.filters.moments import CONTEXT_RULES, enter_context, is_another_tenant
from dbkit.spec import Colour, TransactionSpec
from dbkit.transaction.ending import aend, end
from dbkit.transaction.entry import Entry
from dbkit.transaction.factory import Factory
from dbkit.transaction.greenlets import in_task
from dbkit.transaction.provider import hint_at_provider
from dbkit.transaction.scope import Scope, entering, find


class Block:
    """A block that is yet to be entered, once, by ``with`` or by ``async with``.

    :param key: what the block belongs to: a context object's key, or the factory itself.
    :param context: the context object, in which rules of tables may find on whose behalf the block works.
    :ivar is_bare: it hands out its scope, and makes no session or connection before one is wanted.
    """

    __slots__ = ("is_bare", "_context", "_factory", "_key", "_scope", "_spec", "_token")

    def __init__(self, key: Any, factory: Factory, spec: TransactionSpec, context: Any = None) -> None:
        self._key = key
        self._factory = factory
        self._spec = spec
        self._context = context
        self.is_bare = False
        self._scope: Scope | None = None
        self._token: Token[Any] | None = None

    def __enter__(self) -> Any:
        scope, entry = self._prepare(Colour.BLOCKING)
        if entry is not Entry.BEGIN:
            scope.enter_joined(entry)
        self._stand_in(scope)
        try:
            return scope if self.is_bare else scope.handle(Colour.BLOCKING)
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise

    def __exit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        scope = self._step_out()
        if error is not None and isinstance(error, AttributeError):
            hint_at_provider(error, self._key)
        try:
            if scope.root is not scope:
                scope.leave_joined(error)
            elif scope.transaction is not None:
                end(scope.transaction, error)
        finally:
            scope.leave_context()

    async def __aenter__(self) -> Any:
        scope, entry = self._prepare(Colour.ASYNCIO)
        if entry is not Entry.BEGIN:
            await in_task(partial(scope.enter_joined, entry))
        self._stand_in(scope)
        try:
            return scope if self.is_bare else scope.handle(Colour.ASYNCIO)
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        scope = self._step_out()
        if error is not None and isinstance(error, AttributeError):
            hint_at_provider(error, self._key)
        try:
            if scope.root is not scope:
                await in_task(partial(scope.leave_joined, error))
            elif scope.transaction is not None:
                await aend(scope.transaction, error)
        finally:
            scope.leave_context()

    def bare(self) -> Block:
        """Return the same block, not yet entered, that hands out its scope."""
        made = Block(self._key, self._factory, self._spec, self._context)
        made.is_bare = True
        return made

    if not TYPE_CHECKING:  # a type checker says by itself that a block is no decorator

        def __call__(self, function: Any) -> NoReturn:
            raise InvalidDecoration(
                f"a block is for a with statement and cannot decorate {getattr(function, '__qualname__', function)}; "
                "leave out the brackets: @db.writer, @db.writer.exactly_once, @enginefacade.writer"
            )

    def _prepare(self, colour: Colour) -> tuple[Scope, Entry]:
        if self._scope is not None:
            raise UsageError("a block is entered once; write the expression that makes it into each with statement")
        current = innermost()
        outer = find(current, self._key, self._factory)
        entry, me, colour = entering(self._spec, outer, colour)
        root = None if entry is Entry.BEGIN or outer is None else outer.root
        scope = Scope(self._key, self._factory, me, current, self._spec, colour, root)
        if root is not None and self._context is not None and CONTEXT_RULES.attributes:
            scope.turns = is_another_tenant(self._context)
        return scope, entry

    def _stand_in(self, scope: Scope) -> None:
        self._scope = scope
        self._token = CURRENT.set(scope)
        if self._context is not None and CONTEXT_RULES.attributes:
            scope.left_context = enter_context(self._context)

    def _step_out(self) -> Scope:
        scope, token = self._scope, self._token
        assert scope is not None and token is not None
        scope.is_open = False
        leave(token)
        return scope
