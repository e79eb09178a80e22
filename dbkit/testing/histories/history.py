"""A history: the events in the order in which they happened, and the transactions that they tell of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from dbkit.exceptions import UsageError
from dbkit.testing.histories.operations import Append, Key, Kind, Operation, Read

Process = int


@dataclass(frozen=True, slots=True)
class Event:
    """A process began a transaction, or was told of its end.

    :ivar process: it has one transaction at a time.
    :ivar operations: in their order; the reads of a beginning, of a failure and of an unknown end have no elements.
    """

    kind: Kind
    process: Process
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction, from its beginning to what its process was told.

    :ivar number: 0 for the first that began.
    :ivar kind: how it ended; unknown for one whose end the history does not tell.
    :ivar began: the place of its first event in the history.
    :ivar ended: the place of its last event; None for one whose end is unknown, which may still happen.
    """

    number: int
    process: Process
    kind: Kind
    operations: tuple[Operation, ...]
    began: int
    ended: int | None

    def __str__(self) -> str:
        return f"T{self.number}"

    @property
    def told(self) -> str:
        """The transaction in words, for a text."""
        return f"T{self.number} of process {self.process} ({self.kind.value}): " + ", ".join(map(str, self.operations))

    @property
    def appends(self) -> Iterator[Append]:
        """What it appended."""
        return (each for each in self.operations if isinstance(each, Append))

    @property
    def reads(self) -> Iterator[Read]:
        """What it read, where it is known and the transaction is committed."""
        if self.kind is Kind.OK:
            yield from (each for each in self.operations if isinstance(each, Read) and each.elements is not None)


class History:
    """The events of a run.

    :raises UsageError: they are no history: an end without a beginning, a process with two transactions at once, an
        element that two transactions append.
    """

    def __init__(self, events: Iterable[Event]) -> None:
        self.events: Sequence[Event] = tuple(events)
        self.transactions: Sequence[Transaction] = tuple(sorted(_paired(self.events), key=lambda each: each.number))
        _refuse_doubles(self.transactions)

    @classmethod
    def of(cls, *transactions: tuple[Kind, Sequence[Operation]]) -> Self:
        """Return the history of transactions that were run one after another, each by a process of its own."""
        events = []
        for process, (kind, operations) in enumerate(transactions):
            events += [Event(Kind.INVOKE, process, planned(operations)), Event(kind, process, tuple(operations))]
        return cls(events)

    def __len__(self) -> int:
        return len(self.transactions)

    def __repr__(self) -> str:
        counts = ", ".join(f"{self.count(kind)} {kind.value}" for kind in (Kind.OK, Kind.FAIL, Kind.INFO))
        return f"<{type(self).__name__} of {len(self)} transactions: {counts}>"

    def count(self, kind: Kind) -> int:
        """Return how many transactions ended so."""
        return sum(each.kind is kind for each in self.transactions)


def planned(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    """Return the operations as they are known before they are done."""
    return tuple(Read(each.key) if isinstance(each, Read) else each for each in operations)


def _paired(events: Sequence[Event]) -> Iterator[Transaction]:
    open_: dict[Process, tuple[int, int, Event]] = {}
    count = 0
    for place, event in enumerate(events):
        if event.kind is Kind.INVOKE:
            if event.process in open_:
                raise UsageError(
                    f"event {place} of the history begins a transaction of process {event.process}, whose last one has "
                    "not ended; tell its end, info if nobody knows it"
                )
            open_[event.process] = (count, place, event)
            count += 1
            continue
        if event.process not in open_:
            raise UsageError(
                f"event {place} of the history ends a transaction of process {event.process}, which has not begun one"
            )
        number, began, _ = open_.pop(event.process)
        ended = None if event.kind is Kind.INFO else place
        yield Transaction(number, event.process, event.kind, event.operations, began, ended)
    for process, (number, began, event) in open_.items():
        yield Transaction(number, process, Kind.INFO, event.operations, began, None)


def _refuse_doubles(transactions: Iterable[Transaction]) -> None:
    seen: dict[tuple[Key, int], Transaction] = {}
    for transaction in transactions:
        for append in transaction.appends:
            other = seen.setdefault((append.key, append.element), transaction)
            if other is not transaction:
                raise UsageError(
                    f"{other} and {transaction} both append {append.element} to {append.key}; nothing can be concluded "
                    "from a read of it: give each append of a list an element of its own"
                )
