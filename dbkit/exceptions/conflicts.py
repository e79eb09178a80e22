"""Conflicts: somebody else has changed, holds or has used up what a transaction wanted."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

from dbkit.exceptions.root import DBError


class Conflict(DBError):
    """Somebody else stood in the way, whichever way the database has of saying so.

    The same race between two writers arrives as :class:`StaleRow` where one server has seen both, as
    :class:`DBSerializationFailure` at the stronger isolation levels, and as :class:`DBDeadlock` at COMMIT on Galera,
    where another node was faster. All of them are this.

    .. versionadded:: 0.1
    """

    summary = "somebody else stood in the way"
    advice = "run the transaction again from its start"


class Staleness(enum.Enum):
    """Why no row was where one was expected.

    .. versionadded:: 0.1
    """

    MISSING = "missing"
    """There is no row with this key, or the rules of its table hide it from this caller."""
    DELETED = "deleted"
    """It is marked as deleted."""
    STALE = "stale"
    """It is there, and was changed since it was read."""


class StaleRow(Conflict):
    """A row is not any more as the caller has seen it, and was left as it is.

    :param reason: why.
    :param table: the name of its table.
    :param key: the values of its primary key; one value if it has one column.
    :param expected: the version that the caller has seen, or None if it named none.
    :param current: the version that the row has now, or None if there is none to tell.
    :param changed: the names of the columns that others have changed, as far as what the caller has seen is known.
    :param others: the conflicts of other rows of the same statement.

    .. versionadded:: 0.1
    """

    transient = True
    summary = "a row is not any more as it was read"
    advice = "read it again and decide anew"

    def __init__(
        self,
        reason: Staleness = Staleness.STALE,
        *,
        key: Any = None,
        expected: Any = None,
        current: Any = None,
        changed: Sequence[str] = (),
        others: Sequence[StaleRow] = (),
        **fields: Any,
    ) -> None:
        super().__init__(**fields)
        self.reason = reason
        self.key = key
        self.expected = expected
        self.current = current
        self.changed: tuple[str, ...] = tuple(changed)
        self.others: tuple[StaleRow, ...] = tuple(others)

    @classmethod
    def _own_fields(cls) -> dict[str, Any]:
        return {
            "reason": Staleness.STALE, "key": None, "expected": None, "current": None, "changed": (), "others": (),
        }  # fmt: skip


class LimitReached(Conflict):
    """A counter would leave its bounds, and was left as it is.

    :param table: the name of the counter's table.
    :param key: the values of the row's primary key; one value if it has one column.
    :param columns: the counter's column.
    :param current: the value of the counter when it was looked at.
    :param minimum: the bound, if there is one.
    :param maximum: the bound, if there is one.

    .. versionadded:: 0.1
    """

    summary = "a counter would leave its bounds"
    advice = "do without, or wait until others have given back what they hold"

    def __init__(
        self,
        *,
        key: Any = None,
        current: Any = None,
        minimum: Any = None,
        maximum: Any = None,
        **fields: Any,
    ) -> None:
        super().__init__(**fields)
        self.key = key
        self.current = current
        self.minimum = minimum
        self.maximum = maximum

    @classmethod
    def _own_fields(cls) -> dict[str, Any]:
        return {"key": None, "current": None, "minimum": None, "maximum": None}
