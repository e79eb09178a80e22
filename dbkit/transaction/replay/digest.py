"""Digests of what a statement answered: equal if, and only if, whoever saw the two answers could not tell them apart.

A value counts by its type and what it holds, not by which objects share it. Buffers count as their bytes, because each
driver has its own kind of them.
"""

from __future__ import annotations

import datetime
import decimal
import hashlib
import struct
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

_DEEPEST = 50


class Hash(Protocol):
    """What takes in the bytes of a value."""

    def update(self, data: bytes, /) -> None:
        """Take in more bytes."""


class Incomparable(TypeError):
    """A value cannot be compared by what it holds."""


def digest_of_result(rowcount: int, rows: Iterable[Sequence[Any]] | None, generated: Any = None) -> bytes:
    """Return the digest of the answer to a statement that succeeded.

    :param rows: None for a statement that gives none.
    :param generated: the number that the server has given to a row.
    :raises Incomparable: a value is of a kind that cannot be compared.
    """
    found = hashlib.sha256(b"result")
    _put(found, rowcount, 0)
    _put(found, generated, 0)
    if rows is not None:
        found.update(b"rows")
        for row in rows:
            # drivers have row classes of their own, which say nothing that the values do not
            _put(found, tuple(row), 0)
    return found.digest()


def digest_of_error(code: object, kind: str) -> bytes:
    """Return the digest of the answer to a statement that failed.

    :param code: the database's own.
    :param kind: the name of the error's class, for errors without a code.
    """
    found = hashlib.sha256(b"error")
    _put(found, str(code), 0)
    _put(found, kind, 0)
    return found.digest()


def put_value(found: Hash, value: Any) -> None:
    """Let a hash take in a value.

    :raises Incomparable: it is of a kind that cannot be compared.
    """
    _put(found, value, 0)


def _put(found: Hash, value: Any, depth: int) -> None:
    kind = type(value)
    write = _WRITERS.get(kind)
    if write is not None:
        tag, data = write(value)
        found.update(b"%s%d:%s" % (tag, len(data), data))
        return
    if depth > _DEEPEST:
        raise Incomparable(f"a value of type {kind.__qualname__} is nested too deeply")
    if kind in (list, tuple):
        _put_all(found, b"[" if kind is list else b"(", value, depth)
    elif kind is dict:
        _put_all(found, b"{", [part for item in value.items() for part in item], depth)
    elif kind in (set, frozenset):
        _put_all(found, b"<", sorted(_alone(each, depth) for each in value), depth)
    else:
        _put_object(found, value, depth)


def _put_all(found: Hash, tag: bytes, values: Sequence[Any], depth: int) -> None:
    found.update(b"%s%d:" % (tag, len(values)))
    for each in values:
        _put(found, each, depth + 1)


def _alone(value: Any, depth: int) -> bytes:
    own = hashlib.sha256()
    _put(own, value, depth + 1)
    return own.digest()


def _put_object(found: Hash, value: Any, depth: int) -> None:
    """Let a hash take in what would make the object again, as copying and pickling see it."""
    if callable(value):
        raise Incomparable(f"a value of type {type(value).__qualname__} cannot be compared")
    try:
        # protocol 4 in every Python, so that the parts are the same
        made = value.__reduce_ex__(4)
    except Exception as error:  # classes refuse this with errors of any kind
        raise Incomparable(f"a value of type {type(value).__qualname__} cannot be compared") from error
    if isinstance(made, str):
        _put(found, made, depth)
        return
    parts: tuple[Any, ...] = (*made, None, None, None, None)
    make, arguments, state, items, pairs = parts[:5]
    found.update(b"object")
    _put(found, _name_of(make), depth)
    _put(found, tuple(_name_of(each) if callable(each) else each for each in arguments), depth + 1)
    _put(found, state, depth + 1)
    _put(found, None if items is None else list(items), depth + 1)
    _put(found, None if pairs is None else [list(each) for each in pairs], depth + 1)


def _name_of(thing: Any) -> str:
    name = getattr(thing, "__qualname__", None)
    if not isinstance(name, str):
        raise Incomparable(f"a value of type {type(thing).__qualname__} cannot be compared")
    return f"{thing.__module__}.{name}"


def _text(tag: bytes, written: Callable[[Any], str]) -> Callable[[Any], tuple[bytes, bytes]]:
    return lambda value: (tag, written(value).encode("utf-8", "surrogatepass"))


# Values that hold no others: the type's tag, and bytes that tell one value of the type from every other.
_WRITERS: dict[type, Callable[[Any], tuple[bytes, bytes]]] = {
    type(None): lambda value: (b"n", b""),
    bool: lambda value: (b"?", b"1" if value else b"0"),
    int: lambda value: (b"i", b"%d" % value),
    float: lambda value: (b"f", struct.pack("!d", value)),
    complex: lambda value: (b"c", struct.pack("!dd", value.real, value.imag)),
    str: lambda value: (b"s", value.encode("utf-8", "surrogatepass")),
    bytes: lambda value: (b"b", value),
    bytearray: lambda value: (b"b", bytes(value)),
    memoryview: lambda value: (b"b", value.tobytes()),
    decimal.Decimal: _text(b"D", str),
    datetime.date: _text(b"d", datetime.date.isoformat),
    datetime.datetime: _text(b"t", lambda value: f"{value.isoformat()} {value.tzname()} {value.fold}"),
    datetime.time: _text(b"h", lambda value: f"{value.isoformat()} {value.tzname()} {value.fold}"),
    datetime.timedelta: _text(b"l", lambda value: f"{value.days} {value.seconds} {value.microseconds}"),
    uuid.UUID: lambda value: (b"u", value.bytes),
}
