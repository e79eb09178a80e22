"""PostgreSQL's protocol, version 3, as a proxy must know it.

Source: PostgreSQL documentation, "Frontend/Backend Protocol", chapters "Message Flow" and "Message Formats".
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator

from dbkit.testing.faults.dialogue import (
    CANCEL,
    CONNECT,
    QUIT,
    Frame,
    Operation,
    Piece,
    Unreadable,
    named,
    statement,
)
from dbkit.testing.faults.sql import Dialect

_CANCEL_REQUEST = 80877102
_ENCRYPTION_REQUESTS = frozenset({80877103, 80877104})  # SSLRequest, GSSENCRequest
_MAJOR_VERSION = 3
_LONGEST_STARTUP = 10_000
_REFUSED = b"N"
_AUTHENTICATED = b"\0\0\0\0"

# Answers in the middle of which the server may put these: notice, parameter, notification.
_ASIDE = frozenset(b"NSA")

# What ends the answer to which message. An error ends any; Query, FunctionCall and Sync end with ReadyForQuery.
_ENDS = {
    ord("P"): frozenset(b"1"),
    ord("B"): frozenset(b"2"),
    ord("D"): frozenset(b"Tn"),
    ord("E"): frozenset(b"CIs"),
    ord("C"): frozenset(b"3"),
}
_UNTIL_READY = frozenset(b"QFS")
_COPIES_IN = frozenset(b"GW")
_SYNC, _EXECUTE, _READY, _ERROR, _COPIED = ord("S"), ord("E"), ord("Z"), ord("E"), ord("c")


class _Expected:
    """A message that the server has yet to answer."""

    __slots__ = ("flushed", "kind", "operation")

    def __init__(self, kind: int, operation: Operation | None = None) -> None:
        self.kind = kind
        self.operation = operation
        self.flushed = False


class PostgreSQL:
    """One connection's parser. Encryption is refused in the server's place, so that all can be read."""

    dialect = Dialect.POSTGRESQL

    def __init__(self) -> None:
        self._sent = bytearray()
        self._received = bytearray()
        self._connect: Operation | None = None
        self._is_started = False
        self._is_opaque = False
        self._is_authenticated = False
        self._is_ready = False
        self._copies_in = False
        self._statements: dict[bytes, str] = {}
        self._portals: dict[bytes, str] = {}
        self._expected: deque[_Expected] = deque()
        self._answered: list[_Expected] = []

    def opening(self) -> Operation | None:
        """Return None: a client of PostgreSQL speaks first."""
        return None

    # -- the client ---------------------------------------------------------------------------------------------------

    def from_client(self, data: bytes) -> Iterator[Frame]:
        """Yield the messages that have come whole; those that ask for nothing together."""
        self._sent += data
        while not self._is_started and not self._is_opaque:
            first = self._startup()
            if first is None:
                return
            yield first
        if self._is_opaque:
            if self._sent:
                yield Frame(self._take(self._sent, len(self._sent)))
            return
        begin = end = 0
        operation: Operation | None = None
        while (length := _message(self._sent, end)) is not None:
            kind, body = self._sent[end], end + 5
            asked, completed = self._heard(kind, bytes(self._sent[body : end + length]))
            if asked is not None and end > begin:
                yield Frame(bytes(self._sent[begin:end]), operation)
                begin = end
            operation = asked if asked is not None else operation
            end += length
            if completed:
                yield Frame(bytes(self._sent[begin:end]), operation, completes=completed)
                begin, operation = end, None
        if end > begin:
            yield Frame(bytes(self._sent[begin:end]), operation)
        del self._sent[:end]

    def _startup(self) -> Frame | None:
        if not self._sent:
            return None
        if self._sent[0] == 0x16:
            raise Unreadable("the client speaks TLS from the first byte; connect with sslmode=disable")
        if len(self._sent) < 8:
            return None
        length, code = struct.unpack_from("!II", self._sent)
        if not 8 <= length <= _LONGEST_STARTUP:
            raise Unreadable("what the client has sent first is no message of PostgreSQL's")
        if len(self._sent) < length:
            return None
        message = self._take(self._sent, length)
        if code in _ENCRYPTION_REQUESTS:
            return Frame(b"", answer=_REFUSED)
        if code == _CANCEL_REQUEST:
            self._is_opaque = True
            return Frame(message, operation := named(CANCEL), completes=(operation,))
        if code >> 16 != _MAJOR_VERSION:
            raise Unreadable(f"the client asks for protocol {code >> 16}.{code & 0xFFFF}; version 3 is understood")
        self._is_started = True
        self._connect = named(CONNECT)
        return Frame(message, self._connect)

    def _heard(self, kind: int, body: bytes) -> tuple[Operation | None, tuple[Operation, ...]]:
        """Return what a message asks for, and what needs no answer after it."""
        match chr(kind):
            case "Q":
                return self._expect(kind, statement(_text(body), self.dialect)), ()
            case "P":
                name, _, rest = body.partition(b"\0")
                self._statements[name] = _text(rest)
                self._expect(kind)
            case "B":
                portal, _, rest = body.partition(b"\0")
                self._portals[portal] = self._statements.get(rest.partition(b"\0")[0], "")
                self._expect(kind)
            case "D" | "C":
                self._expect(kind)
            case "E":
                text = self._portals.get(body.partition(b"\0")[0], "")
                return self._executed(statement(text, self.dialect)), ()
            case "S" if not self._copies_in:
                self._expect(kind)
            case "H" if not self._copies_in:
                return None, self._flushed()
            case "F":
                self._expect(kind)
            case "c" | "f":
                self._copies_in = False
                self._expected.append(_Expected(_COPIED))
            case "X":
                return (operation := named(QUIT)), (operation,)
        return None, ()

    def _expect(self, kind: int, operation: Operation | None = None) -> Operation | None:
        self._expected.append(_Expected(kind, operation))
        return operation

    def _executed(self, operation: Operation) -> Operation:
        # What prepares an execution in the same round trip is answered with it.
        for each in reversed(self._expected):
            if each.kind == _SYNC or each.operation is not None:
                break
            each.operation = operation
        self._expect(_EXECUTE, operation)
        return operation

    def _flushed(self) -> tuple[Operation, ...]:
        """Note that the server answers what it has, without a Sync; return what was answered before."""
        for each in self._expected:
            each.flushed = True
        done = tuple(each.operation for each in self._answered if each.operation is not None)
        self._answered.clear()
        return done

    # -- the server ---------------------------------------------------------------------------------------------------

    def from_server(self, data: bytes) -> Iterator[Piece]:
        """Yield the messages that have come whole; those of one answer together."""
        if self._is_opaque:
            yield Piece(data)
            return
        self._received += data
        begin = end = 0
        current: tuple[Operation | None, bool] = (None, False)
        while (length := _message(self._received, end)) is not None:
            kind, body = self._received[end], end + 5
            operation, is_question, completed = self._answer(kind, bytes(self._received[body : body + 4]))
            if end > begin and (operation, is_question) != current:
                yield Piece(bytes(self._received[begin:end]), *current)
                begin = end
            current = (operation, is_question)
            end += length
            if completed:
                yield Piece(bytes(self._received[begin:end]), *current, completed)
                begin = end
        if end > begin:
            yield Piece(bytes(self._received[begin:end]), *current)
        del self._received[:end]

    def _answer(self, kind: int, body: bytes) -> tuple[Operation | None, bool, tuple[Operation, ...]]:
        """Return what a message answers, whether the client must see it to go on, and what it completes."""
        if not self._is_ready:
            return self._welcome(kind, body)
        while self._expected and self._expected[0].kind == _COPIED:
            self._expected.popleft()
        if not self._expected:
            return None, False, ()
        head = self._expected[0]
        operation = head.operation if head.kind != _SYNC else self._last_answered
        if kind in _ASIDE:
            return operation, False, ()
        if kind == _READY:
            return operation, False, self._ready()
        if kind == _ERROR and head.kind not in _UNTIL_READY:
            self._fail()
            return operation, False, ()
        if kind in _COPIES_IN:
            self._begin_copy()
            return operation, True, ()
        if kind in _ENDS.get(head.kind, ()):
            self._expected.popleft()
            if head.kind == _EXECUTE:
                if head.flushed and head.operation is not None:
                    return operation, False, (head.operation,)
                self._answered.append(head)
        return operation, False, ()

    def _welcome(self, kind: int, body: bytes) -> tuple[Operation | None, bool, tuple[Operation, ...]]:
        if kind == ord("R") and body == _AUTHENTICATED:
            self._is_authenticated = True
        completed: tuple[Operation, ...] = ()
        if kind in (_READY, _ERROR) and self._connect is not None:
            completed = (self._connect,)
        self._is_ready = kind == _READY
        return self._connect, not self._is_authenticated and kind != _ERROR, completed

    @property
    def _last_answered(self) -> Operation | None:
        return self._answered[-1].operation if self._answered else None

    def _ready(self) -> tuple[Operation, ...]:
        """Forget the messages up to Sync, or the Query, and return what is complete with them."""
        while self._expected:
            head = self._expected.popleft()
            if head.kind in _UNTIL_READY:
                if head.kind != _SYNC:
                    self._answered.append(head)
                break
        done = tuple(each.operation for each in self._answered if each.operation is not None)
        self._answered.clear()
        return done

    def _fail(self) -> None:
        """Forget what the server skips after an error: all up to Sync."""
        failed = self._expected[0]
        while self._expected and self._expected[0].kind != _SYNC:
            self._expected.popleft()
        self._answered.append(failed)

    def _begin_copy(self) -> None:
        # Until the client has sent its data the server ignores Sync and Flush, those on their way included.
        head = self._expected.popleft()
        ahead = list(self._expected)
        copied = next((place for place, each in enumerate(ahead) if each.kind == _COPIED), None)
        ignored = ahead if copied is None else ahead[:copied]
        self._expected = deque([head, *(each for each in ahead if each not in ignored)])
        self._copies_in = copied is None

    @staticmethod
    def _take(buffer: bytearray, length: int) -> bytes:
        taken = bytes(buffer[:length])
        del buffer[:length]
        return taken


def _message(buffer: bytearray, begin: int) -> int | None:
    """Return the length of the message that begins there, its type included; None if it has not come whole."""
    if len(buffer) - begin < 5:
        return None
    length = int.from_bytes(buffer[begin + 1 : begin + 5])
    if length < 4:
        raise Unreadable("a message has an impossible length")
    return length + 1 if len(buffer) - begin > length else None


def _text(body: bytes) -> str:
    return body.partition(b"\0")[0].decode("utf-8", "replace")
