"""Messages of both protocols as clients and servers write them, and what a parser makes of them in any pieces."""

from __future__ import annotations

import struct
from collections.abc import Iterable

# -- PostgreSQL -------------------------------------------------------------------------------------------------------


def pg(kind: str, body: bytes = b"") -> bytes:
    """Return a message with a type."""
    return kind.encode() + struct.pack("!I", len(body) + 4) + body


def startup(code: int = 196608) -> bytes:
    """Return a client's first message: StartupMessage, or a request by its code."""
    body = b"user\0app\0\0" if code == 196608 else struct.pack("!II", 7, 8) if code == 80877102 else b""
    return struct.pack("!II", len(body) + 8, code) + body


def query(text: str) -> bytes:
    return pg("Q", text.encode() + b"\0")


def parse(text: str, name: str = "") -> bytes:
    return pg("P", name.encode() + b"\0" + text.encode() + b"\0" + struct.pack("!H", 0))


def bind(name: str = "", portal: str = "") -> bytes:
    return pg("B", portal.encode() + b"\0" + name.encode() + b"\0" + struct.pack("!HHH", 0, 0, 0))


def describe() -> bytes:
    return pg("D", b"S\0")


def execute(portal: str = "") -> bytes:
    return pg("E", portal.encode() + b"\0" + struct.pack("!I", 0))


SYNC = pg("S")
FLUSH = pg("H")
AUTHENTICATION_OK = pg("R", struct.pack("!I", 0))
ASKS_PASSWORD = pg("R", struct.pack("!I", 3))
PASSWORD = pg("p", b"secret\0")
READY = pg("Z", b"I")
PARSED = pg("1")
BOUND = pg("2")
NO_DATA = pg("n")
COLUMNS = pg("T", struct.pack("!H", 0))
ROW = pg("D", struct.pack("!H", 0))
NOTICE = pg("N", b"SNOTICE\0\0")
ERROR = pg("E", b"SERROR\0C40001\0\0")
WELCOME = AUTHENTICATION_OK + pg("S", b"server_version\x0015\0") + pg("K", bytes(8)) + READY


def done(tag: str) -> bytes:
    return pg("C", tag.encode() + b"\0")


# -- MySQL ------------------------------------------------------------------------------------------------------------

LONG_PASSWORD, COMPRESS, SSL = 1 << 0, 1 << 5, 1 << 11
DEPRECATE_EOF = 1 << 24
CACHE_METADATA = 1 << 36
MORE_RESULTS, CURSOR_EXISTS = 8, 64


def packets(first: int, *payloads: bytes) -> bytes:
    """Return packets numbered from ``first``, long ones split as the protocol does it."""
    out = b""
    for payload in payloads:
        while True:
            part, payload = payload[:0xFFFFFF], payload[0xFFFFFF:]
            out += len(part).to_bytes(3, "little") + bytes([first % 256]) + part
            first += 1
            if len(part) < 0xFFFFFF:
                break
    return out


def greeting(capabilities: int = 0xFFFFFFFF) -> bytes:
    low, high = capabilities & 0xFFFF, capabilities >> 16 & 0xFFFF
    body = b"\x0a10.11.19-MariaDB\0" + bytes(4) + b"8bytes.." + b"\0"
    body += (
        struct.pack("<HBHH", low, 45, 2, high) + b"\x15" + bytes(10) + b"moresaltmore\0" + b"mysql_native_password\0"
    )
    return packets(0, body)


def handshake(capabilities: int = LONG_PASSWORD | 512) -> bytes:
    body = struct.pack("<IIB", capabilities & 0xFFFFFFFF, 1 << 24, 45) + bytes(19)
    body += struct.pack("<I", capabilities >> 32) + b"app\0\0"
    return packets(1, body)


def command(code: int, body: bytes = b"") -> bytes:
    return packets(0, bytes([code]) + body)


def com_query(text: str) -> bytes:
    return command(3, text.encode())


def ok(status: int = 2, header: int = 0) -> bytes:
    return bytes([header, 0, 0]) + struct.pack("<HH", status, 0)


def eof(status: int = 2) -> bytes:
    return b"\xfe" + struct.pack("<HH", 0, status)


REFUSAL = b"\xff" + struct.pack("<H", 1213) + b"#40001Deadlock"
COLUMN = b"\x03def" + bytes(20)


def table(rows: int, columns: int = 1, capabilities: int = 0, status: int = 2) -> list[bytes]:
    """Return the packets of a result."""
    short = not capabilities & DEPRECATE_EOF
    end = eof(status) if short else ok(status, 0xFE)
    return [bytes([columns]), *[COLUMN] * columns, *[eof()] * short, *[b"\x011"] * rows, end]


# -- parsing ----------------------------------------------------------------------------------------------------------


#: The sizes of the pieces in which a parser is fed; 0 is in one piece.
SIZES = (0, 1, 2, 3, 7, 64)


def pieces(data: bytes, size: int) -> Iterable[bytes]:
    """Return the data in pieces of a size."""
    return [data[place : place + size] for place in range(0, len(data), size)] if size else [data]
