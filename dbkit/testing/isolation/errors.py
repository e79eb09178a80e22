"""What goes wrong in the isolation of a test."""

from __future__ import annotations

import re

from dbkit.exceptions import UsageError


class IsolationError(UsageError):
    """The test's isolation cannot hold what was asked for; the text says which one can.

    .. versionadded:: 0.1
    """


class IsolationBroken(IsolationError):
    """The transaction that isolated the test has ended before the test did.

    What the test did before and after that is not isolated; what became of it the text says.

    :ivar statement: the SQL that did it, as far as dbkit saw it.
    :ivar is_dirty: other tests could see what this one has stored.

    .. versionadded:: 0.1
    """

    def __init__(
        self, message: str | None = None, *, statement: str | None = None, is_dirty: bool = True, **fields: object
    ) -> None:
        super().__init__(message, statement=statement, **fields)
        self.statement = statement
        self.is_dirty = is_dirty


class LeftInUse(UserWarning):
    """The test has ended, and something of it still has its connection in use.

    .. versionadded:: 0.1
    """


def broken(what: str, statement: str | None, is_dirty: bool) -> IsolationBroken:
    """Return the error that says that a test's transaction is gone, and what became of its rows."""
    where = "" if statement is None else f" (the last statement that dbkit saw is {_shortened(statement)})"
    became = (
        "what it stored may be there for other tests, so its database is rebuilt before the next one"
        if is_dirty
        else "nothing of it was stored"
    )
    return IsolationBroken(
        f"{what}{where}; {became}. Give the test isolation 'clone', where transactions are real",
        statement=statement,
        is_dirty=is_dirty,
    )


_LONGEST = 200
_LITERAL = re.compile(r"'(?:[^']|'')*'")


def _shortened(statement: str) -> str:
    text = _LITERAL.sub("'...'", " ".join(statement.split()))
    return repr(text if len(text) <= _LONGEST else text[:_LONGEST] + "...")
