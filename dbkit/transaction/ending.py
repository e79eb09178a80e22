"""How an outermost block ends its transaction: commit or roll back, then run the hooks of that end."""

from __future__ import annotations

from functools import partial

from dbkit.exceptions import Outcome
from dbkit.plan import adrive, drive
from dbkit.transaction.greenlets import in_task, to_the_end
from dbkit.transaction.hooks import call, call_or_await, running
from dbkit.transaction.state import State
from dbkit.transaction.transaction import Transaction

_OUTCOMES = {
    None: Outcome.NOT_STARTED,
    State.COMMITTED: Outcome.COMMITTED,
    State.ROLLED_BACK: Outcome.ROLLED_BACK,
    State.UNKNOWN: Outcome.UNKNOWN,
}
_AFTER = {State.COMMITTED: "COMMIT", State.ROLLED_BACK: "ROLLBACK", State.UNKNOWN: "an unknown COMMIT"}


def end(transaction: Transaction, error: BaseException | None) -> None:
    """End a blocking transaction; raises what :meth:`Transaction.commit` does."""
    try:
        if error is None:
            transaction.commit()
        else:
            transaction.rollback(error)
            tell(error, transaction)
    except BaseException as raised:
        tell(raised, transaction)
        raise
    finally:
        outcome = transaction.outcome
        if transaction.hooks is not None and outcome is not None:
            try:
                drive(running(transaction.hooks.of(outcome, transaction.token), _AFTER[outcome], call))
            except BaseException as interrupt:
                tell(interrupt, transaction)
                raise


async def aend(transaction: Transaction, error: BaseException | None) -> None:
    """End an asyncio transaction, whatever becomes of the task meanwhile; raises what :func:`end` does."""
    try:
        work = transaction.commit if error is None else partial(transaction.rollback, error)
        if transaction.ends_silently:
            await in_task(work)
        else:
            await to_the_end(work, transaction.patience_s, transaction.cut_off)
        if error is not None:
            tell(error, transaction)
    except BaseException as raised:
        tell(raised, transaction)
        raise
    finally:
        outcome = transaction.outcome
        if transaction.hooks is not None and outcome is not None:
            try:
                await adrive(running(transaction.hooks.of(outcome, transaction.token), _AFTER[outcome], call_or_await))
            except BaseException as interrupt:
                tell(interrupt, transaction)
                raise


def tell(error: BaseException, transaction: Transaction | None) -> None:
    """Let a cancellation or an interrupt that leaves a block say what became of the block's transaction.

    Its ``outcome`` is an :class:`.Outcome`, and its ``token`` what :meth:`.Commits.outcome` takes, or None. Errors of
    the database know it by themselves, and an application's own errors mean that it was rolled back.
    """
    if isinstance(error, Exception):
        return
    error.outcome = _OUTCOMES[None if transaction is None else transaction.outcome]  # type: ignore[attr-defined]
    error.token = None if transaction is None else transaction.token  # type: ignore[attr-defined]
