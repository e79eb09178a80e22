"""Work that is bound to how a transaction ends."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any

from sqlalchemy.util import await_only

from dbkit.ambient import leave, stand_apart
from dbkit.exceptions import UsageError
from dbkit.transaction.greenlets import in_greenlet
from dbkit.transaction.state import State

LOG = logging.getLogger(__name__)

Mark = tuple[int, int]
Hook = Callable[[], object]
UnknownHook = Callable[[str | None], object]
"""What runs when nobody knows whether the transaction is stored; it is given the token by which to ask, or None."""


class Hooks:
    """The hooks of one transaction, in the order of their registration."""

    __slots__ = ("_after_commit", "_after_rollback", "_after_unknown")

    def __init__(self) -> None:
        self._after_commit: list[Hook] = []
        self._after_rollback: list[Hook] = []
        self._after_unknown: list[UnknownHook] = []

    def after_commit(self, hook: Hook) -> None:
        """Run the hook once, after the outermost block is known to be committed.

        :raises UsageError: it is no function.
        """
        if not callable(hook):
            raise _no_function("after_commit", hook)
        self._after_commit.append(hook)

    def after_rollback(self, hook: Hook) -> None:
        """Run the hook once, after the outermost block is known to be rolled back.

        :raises UsageError: it is no function.
        """
        if not callable(hook):
            raise _no_function("after_rollback", hook)
        self._after_rollback.append(hook)

    def after_unknown(self, hook: UnknownHook) -> None:
        """Run the hook once, with the token, after a COMMIT of which nobody knows whether it is stored.

        :raises UsageError: it is no function, or one without a parameter.
        """
        if not callable(hook):
            raise _no_function("after_unknown", hook)
        code = getattr(hook, "__code__", None)
        if code is not None and not code.co_argcount and not code.co_flags & inspect.CO_VARARGS:
            # it would be noticed on the day on which a reply to COMMIT is lost
            raise UsageError(f"after_unknown() gives its function the token, and {hook!r} has no parameter; add one")
        self._after_unknown.append(hook)

    def mark(self) -> Mark:
        """Return a mark to which :meth:`forget_since` goes back."""
        return len(self._after_commit), len(self._after_unknown)

    def forget_since(self, mark: Mark) -> None:
        """Forget what was registered since the mark for COMMIT: what it stands for was rolled back to a savepoint."""
        commit, unknown = mark
        del self._after_commit[commit:]
        del self._after_unknown[unknown:]

    def of(self, outcome: State | None, token: str | None) -> list[Hook]:
        """Return the hooks of this end, for :func:`running`; each is handed out once."""
        if outcome is State.UNKNOWN:
            unknown, self._after_unknown = self._after_unknown, []
            return [_Told(hook, token) for hook in unknown]
        if outcome is State.COMMITTED:
            pending, self._after_commit = self._after_commit, []
        elif outcome is State.ROLLED_BACK:
            pending, self._after_rollback = self._after_rollback, []
        else:
            pending = []
        return pending


def _no_function(name: str, given: object) -> UsageError:
    if inspect.iscoroutine(given):
        given.close()
    return UsageError(
        f"{name}() takes a function, which it calls later, and was given an object of class {type(given).__name__}; "
        "leave out the brackets after the function's name, or write a lambda in front"
    )


class _Told:
    """A hook with the token that it is to be given; it shows itself as the hook."""

    def __init__(self, hook: UnknownHook, token: str | None) -> None:
        self._hook = hook
        self._token = token

    def __call__(self) -> object:
        return self._hook(self._token)

    def __repr__(self) -> str:
        return repr(self._hook)


def running(hooks: list[Hook], after: str, call: Callable[[Hook], Any]) -> Generator[Callable[[], Any], Any, None]:
    """Plan: run the hooks in their order, with no block around them that what they do could join.

    One that fails is logged and does not stop the others. One that is interrupted, or cancelled, does not stop them
    either: what they stand for has happened. The first interrupt is raised when all have run.

    :param after: the end that they wait for, for the log.
    """
    interrupt: BaseException | None = None
    token = stand_apart()
    try:
        for hook in hooks:
            try:
                yield partial(call, hook)
            except Exception:  # the transaction has ended; a hook's failure must not look like the transaction's
                LOG.exception("a hook after %s failed: %r", after, hook)
            except BaseException as error:
                LOG.warning("a hook after %s was cut off by %s: %r", after, type(error).__name__, hook)
                interrupt = interrupt or error
    finally:
        if token is not None:
            leave(token)
    if interrupt is not None:
        raise interrupt


def call(hook: Hook) -> None:
    """Call a hook in blocking code; in that of an asyncio block, await what it returns if that can be awaited.

    :raises UsageError: it returned a coroutine, and nobody here can await it.
    """
    result = hook()
    if inspect.iscoroutine(result):
        if in_greenlet():
            await_only(result)
            return
        result.close()
        raise UsageError(
            f"the hook {hook!r} returned a coroutine, and the block is a blocking one, which awaits nothing; register "
            "a function, or use async with"
        )


async def call_or_await(hook: Hook) -> None:
    """Call a hook in asyncio, and await what it returns if that can be awaited."""
    result = hook()
    if inspect.isawaitable(result):
        awaitable: Awaitable[object] = result
        await awaitable
