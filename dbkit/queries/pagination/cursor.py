"""Cursors: the place of a row in a sort order, as a text that only its maker can write."""

from __future__ import annotations

import base64
import binascii
import enum
import hashlib
import hmac
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from dbkit.exceptions import InvalidCursor, InvalidSetting, UsageError

_VERSION = 1
_MAC_BYTES = 16
_LEAST_KEY_BYTES = 16
_LONGEST = 16384

_PLAIN = frozenset({type(None), bool, int, float, str, bytes, Decimal, datetime, date, UUID})

_READERS: dict[str, Any] = {
    "b": bool,
    "i": int,
    "f": float.fromhex,
    "s": str,
    "y": base64.b64decode,
    "d": Decimal,
    "t": datetime.fromisoformat,
    "D": date.fromisoformat,
    "T": time.fromisoformat,
    "x": lambda parts: timedelta(*parts),
    "u": UUID,
}


@dataclass(frozen=True, slots=True)
class Position:
    """A row's place, and which way a page goes from there.

    :param values: of its sort keys.
    :param is_backward: the page lies before the row.
    :param is_inclusive: the row itself is of the page.
    """

    values: tuple[Any, ...]
    is_backward: bool = False
    is_inclusive: bool = False


class Signer:
    """Writes cursors and reads them.

    :param keys: secrets of at least 16 bytes; the first signs, each is accepted.
    :raises InvalidSetting: there is none, or one is too short.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) < _LEAST_KEY_BYTES for key in keys):
            raise InvalidSetting(f"cursors are signed with a secret key of at least {_LEAST_KEY_BYTES} bytes")
        self._keys = tuple(keys)

    def write(self, position: Position, order: str, filters: str) -> str:
        """Return the cursor of a position.

        :param order: a digest of the sort keys.
        :param filters: a digest of the filters.
        :raises UsageError: a value is of a class that no cursor can hold.
        """
        way = ("B" if position.is_inclusive else "b") if position.is_backward else "F" if position.is_inclusive else "f"
        body = json.dumps(
            [way, order, filters, [_written(value) for value in position.values]], separators=(",", ":")
        ).encode()
        signed = bytes([_VERSION]) + body
        return base64.urlsafe_b64encode(_mac(self._keys[0], signed) + signed).rstrip(b"=").decode()

    def read(self, cursor: str, order: str, filters: str, enums: Sequence[type[enum.Enum] | None]) -> Position:
        """Return the position that a cursor stands for.

        :param enums: for each sort key the class of its values, if that is an enum.
        :raises InvalidCursor: this is no cursor of this order and these filters.
        """
        signed = self._opened(cursor)
        if signed[0] != _VERSION:
            raise InvalidCursor("the cursor has the format of another version of dbkit; begin with the first page")
        way, of_order, of_filters, values = json.loads(signed[1:])
        if of_order != order or len(values) != len(enums):
            raise InvalidCursor("the cursor belongs to other sort keys or directions; begin with the first page")
        if of_filters != filters:
            raise InvalidCursor("the cursor belongs to a query with another filter; begin with the first page")
        found = tuple(_read(value, cls) for value, cls in zip(values, enums, strict=True))
        return Position(found, way in "bB", way in "BF")

    def _opened(self, cursor: str) -> bytes:
        if not isinstance(cursor, str) or len(cursor) > _LONGEST:
            raise InvalidCursor("this is no cursor, which is a text that a page has given; begin with the first page")
        try:
            raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError) as unreadable:
            raise InvalidCursor("this is no cursor: it cannot be decoded; begin with the first page") from unreadable
        mac, signed = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not signed or not any(hmac.compare_digest(mac, _mac(key, signed)) for key in self._keys):
            raise InvalidCursor(
                "the cursor was changed on its way, or signed with a key that is not known here; begin with the first "
                "page"
            )
        return signed


def _mac(key: bytes, signed: bytes) -> bytes:
    return hmac.new(key, b"dbkit cursor" + signed, hashlib.sha256).digest()[:_MAC_BYTES]


def _written(value: Any) -> Any:
    """Return what JSON holds for a value: None for None, otherwise a letter for its class and a text."""
    match value:
        case None:
            return None
        case enum.Enum():
            return ["e", value.name]
        case bool():
            return ["b", value]
        case int():
            return ["i", value]
        case float():
            return ["f", value.hex()]
        case str():
            return ["s", value]
        case bytes() | bytearray() | memoryview():
            return ["y", base64.b64encode(value).decode()]
        case Decimal():
            return ["d", str(value)]
        case datetime():
            return ["t", value.isoformat()]
        case date():
            return ["D", value.isoformat()]
        case time():
            return ["T", value.isoformat()]
        case timedelta():
            return ["x", [value.days, value.seconds, value.microseconds]]
        case UUID():
            return ["u", value.hex]
    raise UsageError(
        f"a sort key has values of class {type(value).__name__}, which a cursor cannot hold; sort by an expression "
        "that is a number, a text, a date or a UUID"
    )


def refuse_unwritable(values: Iterable[Any]) -> None:
    """Refuse values that a cursor cannot hold, before one must be written.

    :raises UsageError: there is one.
    """
    for value in values:
        if type(value) not in _PLAIN:
            _written(value)


def _read(written: Any, cls: type[enum.Enum] | None) -> Any:
    if written is None:
        return None
    letter, value = written
    if letter == "e":
        if cls is None or value not in cls.__members__:
            raise InvalidCursor("the cursor names a member that its enum no longer has; begin with the first page")
        return cls[value]
    return _READERS[letter](value)


def digest(*parts: object) -> str:
    """Return a short name for something, the same in every process."""
    text = "\x1f".join(map(stable, parts))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def stable(value: object) -> str:
    """Return a text for a value that is the same in every process."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(stable, value))}]"
    if isinstance(value, set | frozenset):
        return f"{{{','.join(sorted(map(stable, value)))}}}"
    if type(value).__repr__ is object.__repr__:
        return f"{type(value).__module__}.{type(value).__qualname__}"
    return f"{type(value).__name__}:{value!r}"
