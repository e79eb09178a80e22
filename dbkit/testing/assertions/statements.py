"""How many statements a block sends, which, and from which line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import get_ident
from typing import Any

from sqlalchemy.sql.expression import ClauseElement

from dbkit.engines.statements import is_write
from dbkit.exceptions import UsageError
from dbkit.testing.assertions.block import Check
from dbkit.testing.assertions.places import Place, caller
from dbkit.testing.assertions.tap import Observer, Tap, observe
from dbkit.testing.assertions.targets import Stop, Target

_LONGEST_SHOWN = 400
_SAVEPOINTS = frozenset({"savepoint", "rollback_to_savepoint", "release_savepoint"})
# What says how a session behaves and changes no data; a reader must not send it as text all the same.
_OF_SESSIONS = (
    "SET ", "SAVEPOINT ", "RELEASE ", "ROLLBACK TO ", "LOCK ", "UNLOCK ", "FETCH ", "DECLARE ", "CLOSE ", "USE ",
)  # fmt: skip
_NEXT = re.compile(r"(?:[^;']++|'(?:[^']++|'')*+')*+;\s*(\S.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Sent:
    """A statement that was sent.

    :param sql: as the driver was given it, without its parameters.
    :param place: the line of the application; None if it was sent by libraries alone.
    :param is_write: it changes data or the schema, as far as its text says so.
    """

    sql: str
    place: Place | None
    is_write: bool = False


class _Listener(Observer):
    def __init__(self, note: Callable[[str, Any], None]) -> None:
        self._note = note

    def executes(self, tap: Tap, sql: str, context: Any) -> None:
        self._note(sql, context)


class StatementRecorder(Check):
    """Records the statements that are sent in its block.

    BEGIN, COMMIT, ROLLBACK and savepoints are no statements here, nor is what pools and SQLAlchemy send for themselves
    when they open or test a connection: the number is the same on a fresh connection and on a used one, in a sandbox
    and outside.

    :ivar sent: the statements with their places, in the order in which they were sent.
    """

    def __init__(self, target: Target, this_thread: bool = False) -> None:
        self._target = target
        self._this_thread = this_thread
        self._thread = 0
        self.sent: list[Sent] = []

    @property
    def count(self) -> int:
        """How many were sent so far."""
        return len(self.sent)

    @property
    def statements(self) -> list[str]:
        """The SQL of each, without parameters."""
        return [each.sql for each in self.sent]

    def report(self) -> str:
        """Return the statements, alike ones together, each with the lines of the application that have sent it."""
        return listed(self.sent)

    def _start(self) -> Stop:
        self._thread = get_ident()
        return observe(self._target, _Listener(self._note))

    def _note(self, sql: str, context: Any) -> None:
        if self._this_thread and get_ident() != self._thread:
            return
        statement = None if context is None else context.invoked_statement
        if getattr(statement, "__visit_name__", "") not in _SAVEPOINTS:
            self.sent.append(Sent(sql, caller(), _writes(sql, statement)))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {_times(self.count)}>"


class _Expectation(StatementRecorder):
    def __init__(self, target: Target, this_thread: bool, exactly: int | None, at_most: int | None) -> None:
        super().__init__(target, this_thread)
        self._exactly = exactly
        self._at_most = at_most

    def _judge(self) -> None:
        __tracebackhide__ = True
        if self.count == self._exactly or (self._at_most is not None and self.count <= self._at_most):
            return
        expected = str(self._exactly) if self._at_most is None else f"at most {self._at_most}"
        raise AssertionError(f"{_times(self.count)} sent, {expected} expected" + _below(self.sent))


class _ReadsOnly(StatementRecorder):
    def _judge(self) -> None:
        __tracebackhide__ = True
        writes = [each for each in self.sent if each.is_write]
        if writes:
            said = f"the block was to read only, and has sent {_times(len(writes))} that write"
            raise AssertionError(said + _below(writes))


def count_statements(target: Target, *, this_thread: bool = False) -> StatementRecorder:
    """Return what records the statements of its block.

    .. code-block:: python

        with count_statements(db) as recorder:
            list_accounts()
        print(recorder.count, recorder.report())

    :param target: a ``dbkit.Database``, a manager of enginefacade, a sandbox, or an engine of SQLAlchemy.
    :param this_thread: leave out what other threads send.

    .. versionadded:: 0.1
    """
    return StatementRecorder(target, this_thread)


def assert_statements(
    target: Target, exactly: int | None = None, *, max: int | None = None, this_thread: bool = False
) -> StatementRecorder:
    """Return what fails unless its block sends so many statements.

    The text of the failure lists them, alike ones together, each with the lines of the application that have sent it: a
    query in a loop is seen at once.

    :param exactly: the number.
    :param max: or the highest number that is right.
    :param target: as for :func:`count_statements`, and so is ``this_thread``.
    :raises UsageError: not exactly one of the numbers is given.

    .. versionadded:: 0.1
    """
    if (exactly is None) == (max is None):
        raise UsageError("say how many statements are right: assert_statements(db, 3) or assert_statements(db, max=3)")
    return _Expectation(target, this_thread, exactly, max)


def assert_reads_only(target: Target, *, this_thread: bool = False) -> StatementRecorder:
    """Return what fails if its block sends a statement that writes, as far as the statement says so.

    What a function of the database does when it is selected is not seen; a reader of dbkit is refused that by the
    database itself.

    :param target: as for :func:`count_statements`, and so is ``this_thread``.

    .. versionadded:: 0.1
    """
    return _ReadsOnly(target, this_thread)


def listed(sent: Iterable[Sent]) -> str:
    """Return statements as lines, alike ones together, each with its places and how often it came from there."""
    places: dict[str, Counter[Place | None]] = {}
    for each in sent:
        places.setdefault(each.sql, Counter())[each.place] += 1
    lines = []
    for sql, counter in places.items():
        text = " ".join(sql.split())
        shown = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]} ..."
        lines.append(f"  {counter.total()} x {shown}")
        for place, count in counter.items():
            often = f"{count} x " if len(counter) > 1 else ""
            lines.append(f"      {often}{place or 'no line of the application is on the stack'}")
    return "\n".join(lines)


def _below(sent: list[Sent]) -> str:
    return f":\n{listed(sent)}" if sent else ""


def _times(count: int) -> str:
    return "1 statement" if count == 1 else f"{count} statements"


def _writes(sql: str, statement: Any) -> bool:
    if isinstance(statement, ClauseElement) and not hasattr(statement, "text"):
        return is_write(statement)
    if not sql.lstrip().upper().startswith(_OF_SESSIONS):
        return is_write(sql)
    following = _NEXT.match(sql)
    return following is not None and _writes(following[1], None)
