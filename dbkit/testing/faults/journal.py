"""What a proxy has seen and done: events in their order, statements without their values, and counts."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dbkit.testing.faults.dialogue import Operation
from dbkit.testing.faults.sql import Dialect, masked

_EVENTS_KEPT = 20_000
_STATEMENTS_KEPT = 1_000
_LONGEST_TEXT = 2_000

#: The kinds of events, each with what it tells.
KINDS: Mapping[str, str] = {
    "opened": "a client has connected",
    "closed": "a connection has ended; ``detail`` says by whom",
    "refused": "a client was turned away",
    "fired": "a fault has come to its point and acts",
    "released": "what a fault held back goes on",
    "frozen": "nothing passes on a connection any more",
    "thawed": "a frozen connection goes on",
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a proxy has seen or done.

    :ivar number: its place in the order of all events.
    :ivar kind: one of those that the documentation lists.
    :ivar connection: its number; None for what concerns all.
    :ivar fault: the number of the fault that acts.
    :ivar detail: the fault in words, or by whom a connection was ended.
    :ivar statement: the SQL concerned, with ``?`` for every literal.
    """

    number: int
    kind: str
    connection: int | None
    fault: int | None = None
    detail: str = ""
    statement: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that has come to a proxy, whatever became of it.

    :ivar connection: the number of the connection.
    :ivar text: the SQL with ``?`` for every literal.
    """

    connection: int
    text: str


class Journal:
    """The memory of a proxy; what is oldest is forgotten first.

    :param on_event: is told each event.
    """

    def __init__(self, dialect: Dialect, on_event: Callable[[Event], None]) -> None:
        self.counts: Counter[str] = Counter()
        self._dialect = dialect
        self._on_event = on_event
        self._events: deque[Event] = deque(maxlen=_EVENTS_KEPT)
        self._statements: deque[tuple[int, str]] = deque(maxlen=_STATEMENTS_KEPT)
        self._numbers = 0

    def see(self, operation: Operation, connection: int) -> None:
        """Count what a client asks for."""
        self.counts.update(operation.names)
        if operation.is_statement:
            self._statements.append((connection, operation.text[:_LONGEST_TEXT]))

    def write(
        self,
        kind: str,
        connection: int | None,
        *,
        fault: int | None = None,
        detail: str = "",
        operation: Operation | None = None,
    ) -> None:
        """Add an event."""
        self._numbers += 1
        text = "" if operation is None else self.mask(operation.text[:_LONGEST_TEXT])
        event = Event(self._numbers, kind, connection, fault, detail, text)
        self._events.append(event)
        self._on_event(event)

    def mask(self, text: str) -> str:
        """Return a statement without its values."""
        return masked(text, self._dialect)

    def events(self, since: int = 0) -> Iterator[Event]:
        """Yield the events that came after the one with this number."""
        return (event for event in self._events if event.number > since)

    def statements(self) -> Iterator[Statement]:
        """Yield the last statements, in the order in which they came."""
        return (Statement(connection, self.mask(text)) for connection, text in self._statements)


def to_wire(told: Event | Statement) -> dict[str, Any]:
    """Return an event or statement as JSON can carry it."""
    return asdict(told)
