"""Hooks that are collected instead of being run."""

from __future__ import annotations

import inspect
from types import TracebackType
from typing import Any, Self

from dbkit.exceptions import UsageError
from dbkit.testing.assertions.block import Check
from dbkit.testing.assertions.targets import Stop, Target, each_factory
from dbkit.transaction.factory import Factory
from dbkit.transaction.hooks import Hook


class _Kept:
    """Stands in the transaction for a hook; the transaction calls it when it would call the hook."""

    def __init__(self, hook: Hook, due: list[Hook]) -> None:
        self._hook = hook
        self._due = due

    def __call__(self) -> None:
        self._due.append(self._hook)

    def __repr__(self) -> str:
        return f"<captured: {self._hook!r}>"


class CapturedHooks(Check):
    """The hooks that were registered in a block, from when their transaction has ended.

    :ivar after_commit: those whose transaction has committed, in order. One behind a savepoint that was rolled back is
        not among them.
    :ivar after_rollback: those whose transaction was rolled back.
    """

    def __init__(self, target: Target, run: bool) -> None:
        self._target = target
        self._runs = run
        self.after_commit: list[Hook] = []
        self.after_rollback: list[Hook] = []
        self._done = {id(self.after_commit): 0, id(self.after_rollback): 0}

    def run(self) -> None:
        """Run those that were not run yet. An error is raised, not logged as in production.

        :raises UsageError: there is a coroutine function among them, and nothing was run; use :meth:`arun`.
        """
        for hook in self._due():
            if inspect.iscoroutinefunction(hook):
                raise UsageError(f"the hook {hook!r} is a coroutine function; write: await hooks.arun()")
        for hook in self._take():
            hook()

    async def arun(self) -> None:
        """Run those that were not run yet, and await what can be awaited. An error is raised, not logged."""
        for hook in self._take():
            result = hook()
            if inspect.isawaitable(result):
                await result

    def _start(self) -> Stop:
        return each_factory(self._target, self._follow)

    def _judge(self) -> None:
        if self._runs:
            self.run()

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._stop is not None
        self._stop()
        if error is None and self._runs:
            await self.arun()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    def _follow(self, factory: Factory) -> Stop:
        return factory.take_hooks(self._keep)

    def _keep(self, hook: Hook, waits_for_commit: bool) -> Hook:
        return _Kept(hook, self.after_commit if waits_for_commit else self.after_rollback)

    def _due(self) -> list[Hook]:
        return [hook for each in (self.after_commit, self.after_rollback) for hook in each[self._done[id(each)] :]]

    def _take(self) -> list[Hook]:
        due = self._due()
        for each in (self.after_commit, self.after_rollback):
            self._done[id(each)] = len(each)
        return due

    def __repr__(self) -> str:
        return f"<CapturedHooks: {len(self.after_commit)} after COMMIT, {len(self.after_rollback)} after ROLLBACK>"


def capture_hooks(target: Target, *, run: bool = False) -> CapturedHooks:
    """Return what collects the hooks that are registered in its block, in place of their being run.

    .. code-block:: python

        with capture_hooks(db) as hooks:
            create_account("ada")                   # registers send_welcome after COMMIT
        assert hooks.after_commit == [send_welcome]
        hooks.run()                                 # or: await hooks.arun()

    :param target: a ``dbkit.Database``, a manager of enginefacade, or a sandbox.
    :param run: run them when the block ends; coroutine functions need ``async with``.

    .. versionadded:: 0.1
    """
    return CapturedHooks(target, run)
