"""Functions as blocks: the decorators' wrappers, in both colours.

The wrappers hold the fast path. An outermost block costs a frame of the chain and nothing else until its code asks for
a session or connection; a call that joins a block of the same kind costs the look at the chain. Everything else goes
through :class:`Block`, which the behaviour tests run over just the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from _thread import get_ident
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from dbkit.ambient import CURRENT, innermost, leave
from dbkit.exceptions import InvalidDecoration
from dbkit.filters.moments import CONTEXT_RULES
from dbkit.spec import Colour, Propagation, TransactionSpec
from dbkit.transaction.block import Block
from dbkit.transaction.ending import aend, end, tell
from dbkit.transaction.provider import hint_at_provider
from dbkit.transaction.retrying import (
    Holder,
    Key,
    is_retried,
    refuse_blocks_that_are_run_again,
    retried,
    retried_coroutine,
)
from dbkit.transaction.scope import Scope, find, joins_plainly


def decorate(function: Any, spec: TransactionSpec, holder: Holder, key_of: Callable[[Any], Key | None]) -> Any:
    """Return the function as a block.

    :param key_of: returns, for a function, what finds the block's key among the arguments of a call; None where the
        factory itself is the key.
    :raises InvalidDecoration: the function can't be a block.
    """
    if isinstance(function, classmethod):
        return classmethod(decorate(function.__func__, spec, holder, key_of))
    if isinstance(function, staticmethod):
        return staticmethod(decorate(function.__func__, spec, holder, key_of))
    if isinstance(function, type):
        raise InvalidDecoration(
            f"{function.__qualname__} is a class, and a block would last while an object of it is made, no longer; "
            "decorate its methods"
        )
    if not callable(function):
        raise InvalidDecoration(
            f"only functions can be blocks, not an object of class {type(function).__name__}; a context object goes "
            "to .using(context), which makes a block for a with statement"
        )
    called = _called(function)
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise InvalidDecoration(
            f"{_name(function)} is a generator function: its body would run after the block has ended; return a list, "
            "or open the block inside with a with statement"
        )
    key = key_of(function)
    inner = inspect.unwrap(function)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        refuse_blocks_that_are_run_again(spec, _name(function))
    if inner is not function and inspect.isgeneratorfunction(inner):
        return _context_manager(function, spec, holder, key)
    if inner is not function and inspect.isasyncgenfunction(inner):
        return _async_context_manager(function, spec, holder, key)
    if inspect.iscoroutinefunction(called):
        block = _coroutine_function(function, spec, holder, key)
        return retried_coroutine(function, block, spec, holder, key) if is_retried(spec) else block
    block = _function(function, spec, holder, key)
    return retried(function, block, spec, holder, key) if is_retried(spec) else block


def _called(function: Any) -> Any:
    """Return the function that runs when this is called: for an object with ``__call__``, that method."""
    if inspect.isroutine(function) or isinstance(function, functools.partial):
        return function
    return type(function).__call__


def _name(function: Any) -> str:
    return getattr(function, "__qualname__", repr(function))


def _function(function: Any, spec: TransactionSpec, holder: Holder, key_of: Key | None) -> Any:
    get_current, set_current, reset_current = CURRENT.get, CURRENT.set, CURRENT.reset
    joins = spec.propagation is not Propagation.REQUIRES_NEW
    plain = spec.propagation is Propagation.REQUIRED and spec.isolation is None
    context_of = getattr(key_of, "context", None)

    @functools.wraps(function)
    def block(*args: Any, **kwargs: Any) -> Any:
        if context_of is not None and CONTEXT_RULES.attributes:
            with Block(key_of(args, kwargs), holder.factory, spec, context_of(args, kwargs)):  # type: ignore[misc]
                return function(*args, **kwargs)
        factory = holder.factory
        key = factory if key_of is None else key_of(args, kwargs)
        current = get_current()
        if current is not None:
            current = innermost()
        if current is not None:
            outer = find(current, key, factory)
            if outer is not None and (joins or outer.colour is not Colour.BLOCKING):
                if plain and outer.owner == get_ident() and joins_plainly(spec, outer, current):
                    return function(*args, **kwargs)  # decide() would say JOIN
                with Block(key, factory, spec):
                    return function(*args, **kwargs)
        scope = Scope(key, factory, get_ident(), current, spec, Colour.BLOCKING)
        token = set_current(scope)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            scope.is_open = False
            leave(token)
            if key_of is not None and isinstance(error, AttributeError):
                hint_at_provider(error, key)
            if scope.transaction is not None:
                end(scope.transaction, error)
            else:
                tell(error, None)
            raise
        scope.is_open = False
        try:
            reset_current(token)
        except ValueError:
            pass  # entered in another context, see dbkit.ambient.leave
        transaction = scope.transaction
        if transaction is not None:
            if transaction.hooks is None:
                try:
                    transaction.commit()
                except BaseException as error:
                    tell(error, transaction)
                    raise
            else:
                end(transaction, None)
        return result

    return block


def _coroutine_function(function: Any, spec: TransactionSpec, holder: Holder, key_of: Key | None) -> Any:
    get_current, set_current = CURRENT.get, CURRENT.set
    current_task = asyncio.current_task
    joins = spec.propagation is not Propagation.REQUIRES_NEW
    plain = spec.propagation is Propagation.REQUIRED and spec.isolation is None
    context_of = getattr(key_of, "context", None)

    @functools.wraps(function)
    async def block(*args: Any, **kwargs: Any) -> Any:
        if context_of is not None and CONTEXT_RULES.attributes:
            async with Block(key_of(args, kwargs), holder.factory, spec, context_of(args, kwargs)):  # type: ignore[misc]
                return await function(*args, **kwargs)
        factory = holder.factory
        key = factory if key_of is None else key_of(args, kwargs)
        current = get_current()
        if current is not None:
            current = innermost()
        if current is not None and joins:
            outer = find(current, key, factory)
            if outer is not None:
                if plain and outer.owner is current_task() and joins_plainly(spec, outer, current):
                    return await function(*args, **kwargs)  # decide() would say JOIN
                async with Block(key, factory, spec):
                    return await function(*args, **kwargs)
        scope = Scope(key, factory, current_task(), current, spec, Colour.ASYNCIO)
        token = set_current(scope)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            scope.is_open = False
            leave(token)
            if key_of is not None and isinstance(error, AttributeError):
                hint_at_provider(error, key)
            if scope.transaction is not None:
                await aend(scope.transaction, error)
            else:
                tell(error, None)
            raise
        scope.is_open = False
        leave(token)
        if scope.transaction is not None:
            await aend(scope.transaction, None)
        return result

    return block


def _context_manager(function: Any, spec: TransactionSpec, holder: Holder, key_of: Key | None) -> Any:
    context_of = getattr(key_of, "context", None)

    @functools.wraps(function)
    @contextlib.contextmanager
    def block(*args: Any, **kwargs: Any) -> Iterator[Any]:
        factory = holder.factory
        key = factory if key_of is None else key_of(args, kwargs)
        context = None if context_of is None else context_of(args, kwargs)
        with Block(key, factory, spec, context), function(*args, **kwargs) as value:
            yield value

    return block


def _async_context_manager(function: Any, spec: TransactionSpec, holder: Holder, key_of: Key | None) -> Any:
    context_of = getattr(key_of, "context", None)

    @functools.wraps(function)
    @contextlib.asynccontextmanager
    async def block(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        factory = holder.factory
        key = factory if key_of is None else key_of(args, kwargs)
        context = None if context_of is None else context_of(args, kwargs)
        async with Block(key, factory, spec, context), function(*args, **kwargs) as value:
            yield value

    return block
