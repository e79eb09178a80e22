"""What refuses in place of a checkout: a block that has ended, and a second user of one whose turn it is not."""

from __future__ import annotations

from typing import NoReturn

from dbkit.exceptions import DBError, NoTransaction, Outcome, TransactionDoomed, TransactionOwnedElsewhere


def refuse_ended() -> NoReturn:
    """Refuse what is asked of a session or connection whose block has ended.

    :raises NoTransaction: always.
    """
    raise NoTransaction(
        "the block has ended, and its session or connection with it; load what is needed later inside the block, or "
        "open another one"
    )


def refuse_another() -> NoReturn:
    """Refuse a statement that comes while the connection for another one is being taken from the pool.

    :raises TransactionOwnedElsewhere: always.
    """
    raise TransactionOwnedElsewhere(
        "two tasks or threads use the session or connection of one block at the same time, and it serves one of them "
        "alone; run one statement after the other, or open a block of one's own in each, with .independent"
    )


def rolled_back_because_of(reason: BaseException | None) -> DBError:
    """Return the error to which a transaction is lost that the code inside the block has rolled back itself."""
    error = DBError(message="the transaction was rolled back by the code inside the block", outcome=Outcome.ROLLED_BACK)
    error.__cause__ = reason
    return error


def lost_to(doom: DBError) -> TransactionDoomed:
    """Return the error for whoever goes on in a transaction that an error has ended before its connection was there."""
    error = TransactionDoomed(
        message=f"the transaction was lost to an earlier {type(doom).__name__}: {doom}", transient=doom.transient
    )
    error.__cause__ = error.orig = doom
    return error


LOST = (
    "the transaction ended before COMMIT without dbkit's doing: by an error inside the database, or by a COMMIT or "
    "ROLLBACK that was sent as text"
)
"""What is said of a transaction that was found not to be open at COMMIT."""
