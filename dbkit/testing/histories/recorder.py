"""Records a history while threads or tasks make it."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from dbkit.exceptions import Outcome
from dbkit.testing.histories.history import Event, History, planned
from dbkit.testing.histories.operations import Kind, Operation


class Call:
    """A transaction that has been recorded as begun. It ends by one of three methods, and an end is told once.

    :ivar operations: as they were planned.
    """

    def __init__(self, recorder: Recorder, process: int, operations: tuple[Operation, ...]) -> None:
        self.operations = operations
        self._recorder = recorder
        self._process = process

    def ok(self, operations: Iterable[Operation]) -> None:
        """The process was told that it is committed.

        :param operations: with what was read.
        """
        self._recorder.write(Event(Kind.OK, self._process, tuple(operations)))

    def fail(self) -> None:
        """The process was told that nothing of it is stored."""
        self._recorder.write(Event(Kind.FAIL, self._process, self.operations))

    def info(self) -> None:
        """The process was told that nobody knows."""
        self._recorder.write(Event(Kind.INFO, self._process, self.operations))

    def failed(self, error: BaseException) -> Kind:
        """The process was told an error; return what that says, by :func:`kind_of`."""
        kind = kind_of(error)
        self._recorder.write(Event(kind, self._process, self.operations))
        return kind


class Recorder:
    """Takes down what processes do, from any thread and task.

    .. versionadded:: 0.1
    """

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._lock = threading.Lock()

    def invoke(self, process: int, operations: Iterable[Operation]) -> Call:
        """Record that a process begins a transaction, before it does; return what its end is told to."""
        wanted = planned(operations)
        self.write(Event(Kind.INVOKE, process, wanted))
        return Call(self, process, wanted)

    def write(self, event: Event) -> None:
        """Add an event."""
        with self._lock:
            self._events.append(event)

    def history(self) -> History:
        """Return what was recorded.

        :raises UsageError: it is no history, because an end was told twice, for one.
        """
        with self._lock:
            return History(self._events)


def kind_of(error: BaseException) -> Kind:
    """Return what an error says of the transaction of the block that it left.

    An error that says nothing of it was raised by the code inside, and the block was rolled back. What cancels or
    interrupts may have come at any time: without an outcome of its own it leaves the end unknown.
    """
    outcome = getattr(error, "outcome", None)
    if not isinstance(outcome, Outcome):
        return Kind.FAIL if isinstance(error, Exception) else Kind.INFO
    # What is stored although an error came out of the block has not told what it read: readers will show it.
    return Kind.INFO if outcome in (Outcome.UNKNOWN, Outcome.COMMITTED) else Kind.FAIL
