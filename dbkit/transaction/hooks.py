"""Work that is bound to how a transaction ends."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any

LOG = logging.getLogger(__name__)

Hook = Callable[[], object]


class Hooks:
    """The hooks of one transaction, in the order of their registration."""

    __slots__ = ("_after_commit", "_after_rollback")

    def __init__(self) -> None:
        self._after_commit: list[Hook] = []
        self._after_rollback: list[Hook] = []

    def after_commit(self, hook: Hook) -> None:
        """Run the hook once, after the outermost block is known to be committed."""
        self._after_commit.append(hook)

    def after_rollback(self, hook: Hook) -> None:
        """Run the hook once, after the outermost block is known to be rolled back."""
        self._after_rollback.append(hook)

    def mark(self) -> int:
        """Return a mark to which :meth:`forget_since` goes back."""
        return len(self._after_commit)

    def forget_since(self, mark: int) -> None:
        """Forget the commit hooks registered since the mark: what they stand for was rolled back to a savepoint."""
        del self._after_commit[mark:]

    def running(self, committed: bool, call: Callable[[Hook], Any]) -> Generator[Callable[[], Any], Any, None]:
        """Plan: run the hooks of this end, each once. One that fails is logged and does not stop the others."""
        hooks = self._after_commit if committed else self._after_rollback
        pending, hooks[:] = list(hooks), []
        for hook in pending:
            try:
                yield partial(call, hook)
            except Exception:  # the transaction has ended; a hook's failure must not look like the transaction's
                LOG.exception("a hook after %s failed: %r", "COMMIT" if committed else "ROLLBACK", hook)


def call(hook: Hook) -> None:
    """Call a hook in blocking code."""
    hook()


async def call_or_await(hook: Hook) -> None:
    """Call a hook in asyncio, and await what it returns if that can be awaited."""
    result = hook()
    if inspect.isawaitable(result):
        awaitable: Awaitable[object] = result
        await awaitable
