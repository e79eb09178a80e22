"""What a transaction has sent and what it was answered, within bounds."""

from __future__ import annotations

import copy
import datetime
import decimal
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dbkit.engines.view import Sent
from dbkit.transaction.replay.conditions import STRANGE_VALUE, TOO_LARGE, TOO_OLD, Condition

_OF_AN_ENTRY = 200
_OF_A_VALUE = 16
_UNCHANGING = (
    type(None), bool, int, float, complex, str, bytes, decimal.Decimal, datetime.date, datetime.datetime,
    datetime.time, datetime.timedelta, uuid.UUID,
)  # fmt: skip


@dataclass(slots=True)
class Entry:
    """A statement as it was sent, and the digest of its answer.

    :ivar size: roughly the bytes that it takes.
    :ivar generated: the number that the server has given to the first row of an INSERT, if it can be asked for again.
    """

    call: Callable[..., Any]
    statement: str
    parameters: Any
    size: int
    digest: bytes = b""
    generated: int | None = None


class Log:
    """The statements of one transaction, from its begin on.

    :param max_size: bytes that the statements and parameters may take.
    :param max_time_s: seconds after which a transaction is not repeated any more.
    :param now: tells the time.
    :ivar reason: why the transaction is not to be repeated; None while it is.
    """

    def __init__(self, max_size: int, max_time_s: float, now: Callable[[], float]) -> None:
        self.entries: list[Entry] = []
        self.reason: Condition | None = None
        self.size = 0
        self._max_size = max_size
        self._max_time_s = max_time_s
        self._now = now
        self._began_at: float | None = None

    def kept(self, sent: Sent) -> Entry | None:
        """Return a statement as it is now, for :meth:`add`; None if the bounds or a parameter do not let it be kept.

        Nobody can change afterwards what the entry holds.
        """
        if self._began_at is None:
            self._began_at = self._now()
        try:
            parameters, size = _copied(sent.parameters)
        except Exception:  # copying calls methods of the values' own classes
            self.disable(STRANGE_VALUE)
            return None
        size += len(sent.statement) + _OF_AN_ENTRY
        if self.size + size > self._max_size:
            self.disable(TOO_LARGE)
            return None
        return Entry(sent.call, sent.statement, parameters, size)

    def add(self, entry: Entry) -> None:
        """Take in a statement that was answered."""
        self.entries.append(entry)
        self.size += entry.size

    def disable(self, reason: Condition) -> None:
        """Give up repeating the transaction; what was kept is forgotten."""
        if self.reason is None:
            self.reason = reason
        self.entries.clear()
        self.size = 0

    @property
    def left_s(self) -> float:
        """Seconds in which the transaction may still be repeated; 0 or less if none."""
        return self._max_time_s if self._began_at is None else self._began_at + self._max_time_s - self._now()

    @property
    def why_not(self) -> Condition | None:
        """Why the transaction is not repeated now, or None."""
        return self.reason or (TOO_OLD if self.left_s <= 0 else None)


def _copied(value: Any) -> tuple[Any, int]:
    """Return a copy of parameters that shares nothing changeable with them, and roughly the bytes it takes."""
    kind = type(value)
    if kind in _UNCHANGING:
        return value, len(value) + _OF_A_VALUE if kind in (str, bytes) else _OF_A_VALUE
    if kind in (list, tuple):
        parts = [_copied(each) for each in value]
        return kind(each for each, _ in parts), sum(size for _, size in parts) + _OF_A_VALUE
    if isinstance(value, dict):
        items = {name: _copied(each) for name, each in value.items()}
        return {name: each for name, (each, _) in items.items()}, sum(
            size + len(str(name)) for name, (_, size) in items.items()
        )
    if kind in (bytearray, memoryview):
        data = bytes(value)
        return data, len(data) + _OF_A_VALUE
    made = copy.deepcopy(value)
    return made, len(repr(made)) + _OF_A_VALUE
