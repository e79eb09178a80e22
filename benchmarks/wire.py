"""How many statements a client sends, read from its side of a connection."""

from __future__ import annotations

import re

_LITERALS = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")


def statements_in(text: str) -> int:
    """Return how many statements one message holds: more than one if they stand in a row, or in a block.

    A text without any, such as an empty one, counts as one: it is answered like one.
    """
    parts = [part.strip().upper() for part in _LITERALS.sub("''", text).split(";")]
    return max(1, sum(part not in ("", "END") for part in parts))


class PostgreSQLReader:
    """Counts the statements of simple queries, and executions of prepared ones.

    Source: PostgreSQL documentation, "Message Formats". The first messages of a connection carry no type.
    """

    _START = frozenset({80877103, 80877104, 80877102})
    """SSLRequest, GSSENCRequest and CancelRequest: after the first two another untyped message follows."""

    def __init__(self) -> None:
        self._rest = b""
        self._started = False

    def feed(self, data: bytes) -> int:
        """Return how many statements begin in this part of the stream."""
        buffer, found, at = self._rest + data, 0, 0
        while True:
            head = 5 if self._started else 4
            if len(buffer) < at + head:
                break
            length = int.from_bytes(buffer[at + head - 4 : at + head], "big")
            size = head - 4 + length
            if len(buffer) < at + size:
                break
            if not self._started:
                self._started = int.from_bytes(buffer[at + 4 : at + 8], "big") not in self._START
            elif buffer[at : at + 1] == b"E":
                found += 1
            elif buffer[at : at + 1] == b"Q":
                found += statements_in(buffer[at + head : at + size - 1].decode("utf-8", "replace"))
            at += size
        self._rest = buffer[at:]
        return found


class MySQLReader:
    """Counts commands, and the statements of those that are text; a command begins with a packet of number 0.

    Source: MariaDB documentation, "0 - Packet" and "COM_QUERY"; the client's packets of the handshake have higher
    numbers.
    """

    _QUERY = 3

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> int:
        """Return how many commands begin in this part of the stream."""
        buffer, found, at = self._rest + data, 0, 0
        while len(buffer) >= at + 4:
            size = 4 + int.from_bytes(buffer[at : at + 3], "little")
            if len(buffer) < at + size:
                break
            if buffer[at + 3] == 0:
                is_text = size > 5 and buffer[at + 4] == self._QUERY
                found += statements_in(buffer[at + 5 : at + size].decode("utf-8", "replace")) if is_text else 1
            at += size
        self._rest = buffer[at:]
        return found
