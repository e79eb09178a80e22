"""Context objects: how one carries its transactions, and how a function's argument is found to be one."""

from __future__ import annotations

import inspect
import threading
from _thread import get_ident
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sqlalchemy.orm import Session

from dbkit.ambient import CURRENT
from dbkit.engines.connection import TrackedConnection
from dbkit.exceptions import InvalidContext, InvalidDecoration, NoTransaction
from dbkit.spec import Handle
from dbkit.transaction.scope import Scope, nearest

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

C = TypeVar("C", bound=type)

_ATTRIBUTE = "_dbkit_key"
_SLOTS = threading.Lock()


class ContextKey:
    """What the blocks of one context object have in common.

    A copy of the context takes part in the same transactions; an unpickled one, which may live in another process,
    starts without any.
    """

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()


def key_of(context: Any) -> Any:
    """Return the key of a context object, made on the first call.

    :raises InvalidContext: the object takes no attributes.
    """
    try:
        return context._dbkit_key
    except AttributeError:
        pass
    key = ContextKey()
    try:
        attributes = getattr(context, "__dict__", None)
        if isinstance(attributes, dict):
            return attributes.setdefault(_ATTRIBUTE, key)  # one step: two threads may come at once
        with _SLOTS:  # a slot cannot be tested and set in one step
            if not hasattr(context, _ATTRIBUTE):
                setattr(context, _ATTRIBUTE, key)
            return getattr(context, _ATTRIBUTE)
    except (AttributeError, TypeError) as error:
        raise InvalidContext(
            f"an object of class {type(context).__name__} stands where the context object belongs, the first argument "
            "of a function of enginefacade, and takes no attributes, so it can't carry a transaction; pass an instance "
            "of an ordinary class (or give its __slots__ the name '_dbkit_key'), or use dbkit.Database, which needs no "
            "context object"
        ) from error


def argument_finder(function: Any) -> Callable[[tuple[Any, ...], dict[str, Any]], Any]:
    """Return what finds the key of the context among the arguments of a call: the first one, or that after ``self``.

    :raises InvalidDecoration: the function has no parameter for it.
    """
    parameters = list(inspect.signature(function).parameters.values())
    positional = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    takes_any = any(each.kind is each.VAR_POSITIONAL for each in parameters)
    index = 1 if positional and positional[0].name in ("self", "cls") else 0
    name = positional[index].name if index < len(positional) else None
    default = positional[index].default if index < len(positional) else inspect.Parameter.empty
    if name is None and not takes_any:
        raise InvalidDecoration(
            f"{getattr(function, '__qualname__', function)} has no parameter for the context object, which comes first "
            "(after self or cls); add one, or use dbkit.Database, which needs none"
        )

    def find(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            context = args[index]
        except IndexError:
            context = default if name is None else kwargs.get(name, default)
            if context is inspect.Parameter.empty:
                raise TypeError(
                    f"{getattr(function, '__qualname__', function)}() was called without its context object, argument "
                    f"{name or index!r}"
                ) from None
        return context

    def find_key(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            context = args[index]
        except IndexError:
            context = find(args, kwargs)
        try:
            return context._dbkit_key
        except AttributeError:
            return key_of(context)

    find_key.context = find  # type: ignore[attr-defined]
    return find_key


def scope_of(context: Any, attribute: str) -> Scope:
    """Return the innermost open block of a context.

    :raises NoTransaction: there is none.
    """
    try:
        key = context._dbkit_key
    except AttributeError:
        key = None
    scope: Scope | None = CURRENT.get()
    if scope is not None and (scope.key is not key or not scope.is_open):
        scope = nearest(scope.outer, key)
    if scope is None:
        raise NoTransaction(
            f"No TransactionContext is established for this {type(context).__name__} object within the current thread; "
            f"the {attribute!r} attribute is unavailable: call it inside a function decorated with a reader or writer, "
            "or inside `with enginefacade.writer.using(context)`"
        )
    return scope


def _session(context: Any) -> Session:
    """The session of the context's innermost block."""
    scope: Scope | None = CURRENT.get()
    try:
        if scope is not None and scope.key is context._dbkit_key and scope.is_open:
            transaction = scope.root.transaction
            if transaction is None or transaction.session is None or scope.owner != get_ident():
                return scope.session
            if scope.spec.handle is Handle.SESSION:
                return transaction.session  # by far the commonest case, without a further call
    except AttributeError:
        if hasattr(context, _ATTRIBUTE):
            raise
    return scope_of(context, "session").session


def _connection(context: Any) -> TrackedConnection:
    """The connection of the context's innermost block."""
    return scope_of(context, "connection").connection


def _async_session(context: Any) -> AsyncSession:
    """The asyncio session of the context's innermost block."""
    return scope_of(context, "async_session").async_session


def _async_connection(context: Any) -> AsyncConnection:
    """The asyncio connection of the context's innermost block."""
    return scope_of(context, "async_connection").async_connection


def _transaction_ctx(context: Any) -> Scope:
    """The context's innermost block itself, with ``after_commit``, ``after_rollback`` and so on."""
    return scope_of(context, "transaction_ctx")


_PROPERTIES: dict[str, Callable[[Any], Any]] = {
    "session": _session,
    "connection": _connection,
    "async_session": _async_session,
    "async_connection": _async_connection,
    "transaction_ctx": _transaction_ctx,
}


def hint_at_provider(error: AttributeError, key: Any) -> None:
    """Add to an error that left a block what its context object's class lacks, if that is what it is about.

    :param key: the key of the block's context object.
    """
    context = error.obj
    if error.name in _PROPERTIES and not hasattr(type(context), error.name) and _carries(context, key):
        note = (
            f"dbkit: {type(context).__qualname__} objects have no {error.name!r} because the class is not decorated; "
            "write @enginefacade.transaction_context_provider above it"
        )
        if note not in getattr(error, "__notes__", ()):  # it leaves the blocks around this one too
            error.add_note(note)


def _carries(context: Any, key: Any) -> bool:
    try:
        carried = object.__getattribute__(context, _ATTRIBUTE)  # runs no code of the object's: an error is on its way
    except AttributeError:
        return False
    return carried is key


def transaction_context_provider(cls: C) -> C:
    """Give a class of context objects the attributes ``session``, ``connection`` and so on.

    They are those of the innermost open block, and an error that says how to open one outside of any.
    """
    for name, read in _PROPERTIES.items():
        setattr(cls, name, property(read, doc=read.__doc__))
    return cls
