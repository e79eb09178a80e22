"""How an outermost block ends its transaction: commit or roll back, then run the hooks of that end."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import Any

from dbkit.plan import adrive, drive
from dbkit.transaction.greenlets import in_task, to_the_end
from dbkit.transaction.hooks import Hooks, call, call_or_await
from dbkit.transaction.state import State
from dbkit.transaction.transaction import Transaction


def end(transaction: Transaction, error: BaseException | None) -> None:
    """End a blocking transaction; raises what :meth:`Transaction.commit` does."""
    try:
        if error is None:
            transaction.commit()
        else:
            transaction.rollback(error)
    finally:
        if transaction.hooks is not None:
            drive(_running(transaction.hooks, transaction.outcome, call))


async def aend(transaction: Transaction, error: BaseException | None) -> None:
    """End an asyncio transaction, whatever becomes of the task meanwhile; raises what :func:`end` does."""
    try:
        work = transaction.commit if error is None else partial(transaction.rollback, error)
        await (in_task if transaction.ends_silently else to_the_end)(work)
    finally:
        if transaction.hooks is not None:
            await adrive(_running(transaction.hooks, transaction.outcome, call_or_await))


def _running(hooks: Hooks, outcome: State | None, call: Any) -> Generator[Any, Any, None]:
    """Plan: run the hooks of this outcome; none where it is not known."""
    if outcome in (State.COMMITTED, State.ROLLED_BACK):
        yield from hooks.running(outcome is State.COMMITTED, call)
