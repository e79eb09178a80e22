"""MySQL's and MariaDB's protocol, as a proxy must know it.

Sources: MariaDB documentation, "Clients & Utilities: Client/Server Protocol"; MySQL Source Code Documentation,
"Client/Server Protocol".
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator

from dbkit.testing.faults.dialogue import (
    CONNECT,
    QUIT,
    Frame,
    Operation,
    Piece,
    Unreadable,
    named,
    statement,
)
from dbkit.testing.faults.mysql_replies import (
    HEAD,
    LOOKED_AT,
    Capability,
    Reply,
    closing_reply,
    columns_reply,
    handshake_reply,
    prepare_reply,
    result_reply,
    rows_reply,
    single_reply,
    without_capabilities,
)
from dbkit.testing.faults.sql import PING, Dialect

_FULL = 0xFFFFFF
_SSL_REQUEST_LENGTH = 32
_LAST_PREPARED = 0xFFFFFFFF  # MariaDB: the statement that was prepared last

# What a client would encrypt, compress or wrap its statements with. It is not offered, so that all can be read.
_CONCEALING = Capability.COMPRESS | Capability.SSL | Capability.ZSTD | Capability.QUERY_ATTRIBUTES


class _Command:
    """What a client has sent, and its answer as it comes."""

    __slots__ = ("first", "operation", "prepares", "reply")

    def __init__(self, reply: Reply, operation: Operation | None = None, prepares: str | None = None) -> None:
        self.reply = reply
        self.operation = operation
        self.prepares = prepares
        self.first = b""
        next(reply)


class MySQL:
    """One connection's parser."""

    dialect = Dialect.MYSQL

    def __init__(self) -> None:
        self._sent = bytearray()
        self._received = bytearray()
        self._capabilities = Capability(0)
        self._is_greeted = False
        self._is_logged_in = False
        self._connect = named(CONNECT)
        self._statements: dict[int, str] = {}
        self._last_prepared = ""
        self._commands: deque[_Command] = deque([_Command(handshake_reply(), self._connect)])
        self._sends_file = False
        self._server_continues = False

    def opening(self) -> Operation | None:
        """Return the connect: a server of MySQL speaks first."""
        return self._connect

    # -- the client ---------------------------------------------------------------------------------------------------

    def from_client(self, data: bytes) -> Iterator[Frame]:
        """Yield the messages that have come whole, those of several packets too."""
        self._sent += data
        begin = 0
        while (end := _whole(self._sent, begin)) is not None:
            packet = bytes(self._sent[begin:end])
            yield self._heard(packet, _payload(packet))
            begin = end
        del self._sent[:begin]

    def _heard(self, packet: bytes, payload: bytes) -> Frame:
        if not self._is_logged_in:
            self._authenticate(payload)
            return Frame(packet)
        if self._sends_file:
            self._sends_file = bool(payload)
            return Frame(packet)
        if packet[3] or not payload:  # the answer to a question of the server's: a command is the first of its sequence
            return Frame(packet)
        return self._commanded(packet, payload)

    def _authenticate(self, payload: bytes) -> None:
        if self._capabilities:
            return  # the answer to one of the server's questions
        if len(payload) < _SSL_REQUEST_LENGTH:
            raise Unreadable("what the client has sent first is no handshake of MySQL's")
        if len(payload) == _SSL_REQUEST_LENGTH:
            raise Unreadable("the client insists on TLS; connect without it")
        low, extended = struct.unpack_from("<I", payload)[0], struct.unpack_from("<I", payload, 28)[0]
        self._capabilities = Capability(low if low & Capability.LONG_PASSWORD else low | extended << 32)

    def _commanded(self, packet: bytes, payload: bytes) -> Frame:
        code, body = payload[0], payload[1:]
        match code:
            case 0x01:  # COM_QUIT
                return Frame(packet, operation := named(QUIT), completes=(operation,))
            case 0x03:  # COM_QUERY
                return self._asks(packet, result_reply(self._capabilities), _sql(body))
            case 0x17:  # COM_STMT_EXECUTE
                reply = result_reply(self._capabilities, is_prepared=True)
                return self._asks(packet, reply, self._prepared(body))
            case 0xFA:  # COM_STMT_BULK_EXECUTE of MariaDB
                return self._asks(packet, result_reply(self._capabilities, is_prepared=True), self._prepared(body))
            case 0x02:  # COM_INIT_DB
                return self._asks(packet, single_reply(), f"USE `{_sql(body)}`")
            case 0x0E:  # COM_PING
                return self._expects(packet, single_reply(), named(PING))
            case 0x16:  # COM_STMT_PREPARE
                self._last_prepared = _sql(body)
                reply = prepare_reply(self._capabilities)
                return self._expects(packet, reply, prepares=self._last_prepared)
            case 0x18 | 0x19:  # COM_STMT_SEND_LONG_DATA, COM_STMT_CLOSE: without an answer
                return Frame(packet)
            case 0x04:  # COM_FIELD_LIST
                return self._expects(packet, columns_reply(self._capabilities))
            case 0x1C:  # COM_STMT_FETCH
                return self._expects(packet, rows_reply(self._capabilities))
            case 0x0A:  # COM_PROCESS_INFO
                return self._expects(packet, result_reply(self._capabilities))
            case 0x11:  # COM_CHANGE_USER
                return self._expects(packet, closing_reply())
            case 0x12 | 0x1E:  # COM_BINLOG_DUMP, COM_BINLOG_DUMP_GTID
                raise Unreadable("the client asks for the binary log, which the proxy does not understand")
        return self._expects(packet, single_reply())

    def _asks(self, packet: bytes, reply: Reply, text: str) -> Frame:
        return self._expects(packet, reply, statement(text, self.dialect))

    def _expects(
        self, packet: bytes, reply: Reply, operation: Operation | None = None, prepares: str | None = None
    ) -> Frame:
        self._commands.append(_Command(reply, operation, prepares))
        return Frame(packet, operation)

    def _prepared(self, body: bytes) -> str:
        number = struct.unpack_from("<I", body)[0] if len(body) >= 4 else _LAST_PREPARED
        return self._last_prepared if number == _LAST_PREPARED else self._statements.get(number, "")

    # -- the server ---------------------------------------------------------------------------------------------------

    def from_server(self, data: bytes) -> Iterator[Piece]:
        """Yield the packets that have come whole; those of one answer together."""
        self._received += data
        begin = end = 0
        current: tuple[Operation | None, bool] = (None, False)
        while len(self._received) - end >= HEAD:
            length = int.from_bytes(self._received[end : end + 3], "little")
            if len(self._received) - end < HEAD + length:
                break
            if not self._is_greeted:
                self._greet(end, length)
            operation, is_question, completed = self._answer(end + HEAD, length)
            if end > begin and (operation, is_question) != current:
                yield Piece(bytes(self._received[begin:end]), *current)
                begin = end
            current = (operation, is_question)
            end += HEAD + length
            if completed:
                yield Piece(bytes(self._received[begin:end]), *current, completed)
                begin = end
        if end > begin:
            yield Piece(bytes(self._received[begin:end]), *current)
        del self._received[:end]

    def _greet(self, begin: int, length: int) -> None:
        self._is_greeted = True
        payload = bytes(self._received[begin + HEAD : begin + HEAD + length])
        self._received[begin + HEAD : begin + HEAD + length] = without_capabilities(payload, _CONCEALING)

    def _answer(self, begin: int, length: int) -> tuple[Operation | None, bool, tuple[Operation, ...]]:
        """Return what a packet answers, whether the client must see it to go on, and what it completes."""
        is_rest, self._server_continues = self._server_continues, length == _FULL
        if not self._commands:
            return None, False, ()
        head = self._commands[0]
        if is_rest:
            return head.operation, False, ()
        packet = bytes(self._received[begin : begin + min(length, LOOKED_AT)])
        head.first = head.first or packet
        try:
            is_question = head.reply.send((packet, length))
        except StopIteration as ended:
            self._commands.popleft()
            self._learn(head, succeeded=ended.value)
            return head.operation, False, () if head.operation is None else (head.operation,)
        except (IndexError, struct.error) as wrong:
            raise Unreadable("an answer of the server's is not of a known form") from wrong
        if is_question and self._is_logged_in:
            self._sends_file = packet[:1] == b"\xfb"
        return head.operation, is_question, ()

    def _learn(self, done: _Command, *, succeeded: bool) -> None:
        if done.operation is self._connect:
            self._is_logged_in = succeeded
        if done.prepares is not None and succeeded:
            self._statements[struct.unpack_from("<I", done.first, 1)[0]] = done.prepares


def _whole(buffer: bytearray, begin: int) -> int | None:
    """Return where the message that begins there ends; None if it has not come whole."""
    while len(buffer) - begin >= HEAD:
        length = int.from_bytes(buffer[begin : begin + 3], "little")
        begin += HEAD + length
        if len(buffer) < begin:
            return None
        if length < _FULL:
            return begin
    return None


def _payload(message: bytes) -> bytes:
    """Return the content of a message's packets."""
    first = int.from_bytes(message[:3], "little")
    if first < _FULL:
        return message[HEAD:]
    parts, begin = [], 0
    while begin < len(message):
        length = int.from_bytes(message[begin : begin + 3], "little")
        parts.append(message[begin + HEAD : begin + HEAD + length])
        begin += HEAD + length
    return b"".join(parts)


def _sql(body: bytes) -> str:
    return body.decode("utf-8", "replace")
