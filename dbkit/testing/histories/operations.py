"""What a transaction of a history does, and how it is told to have ended."""

from __future__ import annotations

import enum
from dataclasses import dataclass

#: The name of a list.
Key = str | int

#: What is appended to a list; no list ever gets the same one twice.
Element = int


class Kind(enum.Enum):
    """What an event of a history says."""

    INVOKE = "invoke"
    """A process has begun a transaction."""
    OK = "ok"
    """It was told that the transaction is committed."""
    FAIL = "fail"
    """It was told that nothing of the transaction is stored."""
    INFO = "info"
    """It was told that nobody knows, or it was told nothing."""


@dataclass(frozen=True, slots=True)
class Append:
    """An element was added to the end of a list."""

    key: Key
    element: Element

    def __str__(self) -> str:
        return f"append {self.element} to {self.key}"


@dataclass(frozen=True, slots=True)
class Read:
    """A whole list was read.

    :ivar elements: what was in it; None as long as nobody knows.
    """

    key: Key
    elements: tuple[Element, ...] | None = None

    def __str__(self) -> str:
        return f"read {self.key}" + ("" if self.elements is None else f" as {list(self.elements)}")


Operation = Append | Read
