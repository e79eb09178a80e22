"""The answers of MySQL's and MariaDB's servers: a generator for each form, which is sent packets until it ends.

Sources: MariaDB documentation, "Result Set Packets", "OK_Packet", "EOF_Packet", "COM_STMT_PREPARE"; MySQL Source Code
Documentation, "Text Resultset", "Capabilities Flags".
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Generator

#: The bytes before a packet's content: its length and its number.
HEAD = 4

#: As many bytes of a packet's content as an answer may have to look at.
LOOKED_AT = 64

#: Is sent the beginning of a packet's content and its length. It yields whether the client must see the packet for the
#: answer to go on, and returns whether the command succeeded.
Reply = Generator[bool, tuple[bytes, int], bool]


class Capability(enum.IntFlag):
    """What client and server agree on. Those from 32 on are MariaDB's."""

    LONG_PASSWORD = 1 << 0  # MariaDB calls its absence a client that knows MariaDB's
    COMPRESS = 1 << 5
    SSL = 1 << 11
    DEPRECATE_EOF = 1 << 24
    ZSTD = 1 << 26
    QUERY_ATTRIBUTES = 1 << 27
    CACHE_METADATA = 1 << 36


class _Status(enum.IntFlag):
    MORE_RESULTS = 0x0008
    CURSOR_EXISTS = 0x0040


_OK, _FILE, _EOF, _ERR = 0x00, 0xFB, 0xFE, 0xFF
_SHORT_EOF = 9
_FULL = 0xFFFFFF
_PROGRESS = b"\xff\xff\xff"  # an "error" that reports progress; source: MariaDB, "ERR_Packet"


def without_capabilities(greeting: bytes, unwanted: Capability) -> bytes:
    """Return a server's greeting that does not offer these capabilities; what is no greeting as it is."""
    version_ends = greeting.find(b"\0", 1)
    low = version_ends + 1 + 4 + 8 + 1
    if greeting[:1] != b"\x0a" or version_ends < 0 or len(greeting) < low + 7:
        return greeting
    changed = bytearray(greeting)
    for place, shift in ((low, 0), (low + 5, 16)):
        flags = struct.unpack_from("<H", changed, place)[0]
        struct.pack_into("<H", changed, place, flags & ~(int(unwanted) >> shift) & 0xFFFF)
    return bytes(changed)


def handshake_reply() -> Reply:
    """Greeting, questions, and OK or an error."""
    packet, _ = yield False
    if packet[:1] == b"\xff":
        return False
    packet, _ = yield True
    while packet[0] not in (_OK, _ERR):
        packet, _ = yield True
    return packet[0] == _OK


def closing_reply() -> Reply:
    """Questions, and OK or an error."""
    packet, _ = yield False
    while packet[0] not in (_OK, _ERR):
        packet, _ = yield True
    return packet[0] == _OK


def single_reply() -> Reply:
    """One packet."""
    packet, _ = yield False
    return packet[0] != _ERR


def columns_reply(capabilities: Capability) -> Reply:
    """Columns without their number."""
    packet, length = yield False
    while packet[0] != _ERR and not _is_end(packet, length, capabilities):
        packet, length = yield False
    return packet[0] != _ERR


def prepare_reply(capabilities: Capability) -> Reply:
    """A statement's number, its parameters and its columns."""
    packet, _ = yield False
    if packet[0] == _ERR:
        return False
    columns, parameters = struct.unpack_from("<HH", packet, 5)
    for count in (parameters, columns):
        for _ in range(count):
            yield False
        if count and not capabilities & Capability.DEPRECATE_EOF:
            yield False
    return True


def rows_reply(capabilities: Capability) -> Reply:
    """Rows of a cursor."""
    packet, length = yield False
    while packet[0] != _ERR and not _is_end(packet, length, capabilities):
        packet, length = yield False
    return packet[0] != _ERR


def result_reply(capabilities: Capability, *, is_prepared: bool = False) -> Reply:
    """One result or several: OK, an error, a request for a file, or columns and rows."""
    while True:
        packet, _ = yield False
        while packet[:3] == _PROGRESS:
            packet, _ = yield False
        if packet[0] == _FILE:
            packet, _ = yield True
        if packet[0] == _ERR:
            return False
        if packet[0] == _OK:
            status = _status_of_ok(packet)
        else:
            status_or_error = yield from _table(packet, capabilities, is_prepared)
            if status_or_error is None:
                return False
            status = status_or_error
        if not status & _Status.MORE_RESULTS:
            return True


def _table(
    first: bytes, capabilities: Capability, is_prepared: bool
) -> Generator[bool, tuple[bytes, int], _Status | None]:
    """Columns and rows. Return the status at their end, or None if that is an error."""
    count, after = _number(first, 0)
    if is_prepared and capabilities & Capability.CACHE_METADATA and first[after : after + 1] == b"\0":
        count = 0  # the client knows the columns from the last time
    for _ in range(count):
        yield False
    if not capabilities & Capability.DEPRECATE_EOF:
        packet, _ = yield False
        status = _status_of_eof(packet)
        if status & _Status.CURSOR_EXISTS:
            return status
    while True:
        packet, length = yield False
        if packet[0] == _ERR and packet[:3] != _PROGRESS:
            return None
        if _is_end(packet, length, capabilities):
            return _status_of_ok(packet) if _deprecates(capabilities) else _status_of_eof(packet)


def _is_end(packet: bytes, length: int, capabilities: Capability) -> bool:
    return packet[0] == _EOF and length < (_FULL if _deprecates(capabilities) else _SHORT_EOF)


def _deprecates(capabilities: Capability) -> bool:
    return bool(capabilities & Capability.DEPRECATE_EOF)


def _status_of_ok(packet: bytes) -> _Status:
    _, place = _number(packet, 1)
    _, place = _number(packet, place)
    return _Status(struct.unpack_from("<H", packet, place)[0])


def _status_of_eof(packet: bytes) -> _Status:
    return _Status(struct.unpack_from("<H", packet, 3)[0])


def _number(packet: bytes, place: int) -> tuple[int, int]:
    """Return the length-encoded number that begins there, and where it ends."""
    first = packet[place]
    width = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first, 0)
    if not width:
        return first, place + 1
    return int.from_bytes(packet[place + 1 : place + 1 + width], "little"), place + 1 + width
