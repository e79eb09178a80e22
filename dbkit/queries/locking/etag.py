"""Versions of rows as entity tags, and the preconditions of HTTP requests that name them (RFC 9110, 8.8.3 and 13.1)."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import inspect

from dbkit.exceptions import Staleness, StaleRow, UsageError
from dbkit.queries.locking.seen import ANY_VERSION, AnyVersion, OneOf
from dbkit.queries.target import Target, target_of
from dbkit.transaction.stale import loaded_value

_MARK_BYTES = 9
_MEMBER = re.compile(r'(?P<weak>W/)?"(?P<opaque>[\x21\x23-\x7e\x80-\xff]*)"')
_BETWEEN = re.compile(r"[ \t,]*")


@dataclass(frozen=True, slots=True)
class EntityTag:
    """A member of ``If-Match`` or ``If-None-Match``.

    :ivar opaque: what stands between the quotes.

    .. versionadded:: 0.1
    """

    opaque: str
    is_weak: bool = False

    def __str__(self) -> str:
        return f'W/"{self.opaque}"' if self.is_weak else f'"{self.opaque}"'


@dataclass(frozen=True, slots=True)
class EntityTags:
    """What a header names.

    :ivar is_any: it is ``*``: whatever there is.
    :ivar tags: those that could be read; what cannot be read matches nothing.

    .. versionadded:: 0.1
    """

    is_any: bool = False
    tags: tuple[EntityTag, ...] = ()


def parse_etags(header: str) -> EntityTags:
    """Return what ``If-Match`` or ``If-None-Match`` names: one tag, a list, or ``*``.

    .. versionadded:: 0.1
    """
    text = header.strip(" \t")
    if text == "*":
        return EntityTags(is_any=True)
    return EntityTags(tags=tuple(_members(text)))


def _members(text: str) -> Iterator[EntityTag]:
    at = _BETWEEN.match(text).end()  # type: ignore[union-attr]
    while at < len(text):
        found = _MEMBER.match(text, at)
        if found is None:
            return  # nobody can tell where the next one would begin
        yield EntityTag(found["opaque"], found["weak"] is not None)
        between = _BETWEEN.match(text, found.end())
        assert between is not None
        if "," not in between.group() and between.end() < len(text):
            return
        at = between.end()


def etag(instance: Any, *, secret: str | bytes | None = None) -> str:
    """Return the strong entity tag of an object: its key and version, as the header ``ETag`` takes it.

    It says nothing of the key, and does not fit another row. It is short, and the same in each process.

    :param secret: lets nobody else make a tag. Without it, one who knows how they are made can, and so could say that
        it has seen what it has not.
    :raises UsageError: the object has no version, or it is not loaded.

    .. versionadded:: 0.1
    """
    target = target_of(instance)
    key, version = _stands(target, instance)
    return str(EntityTag(_opaque(target, key, version, secret)))


def etag_of(named: Any, key: Any, version: Any, *, secret: str | bytes | None = None) -> str:
    """Return the strong entity tag of a row whose key and version are known, such as after ``compare_and_swap()``.

    .. versionadded:: 0.1
    """
    target = target_of(named)
    return str(EntityTag(_opaque(target, target.key_of(key), version, secret)))


def if_match(
    header: str | None, named: Any, key: Any, *, secret: str | bytes | None = None
) -> AnyVersion | OneOf | None:
    """Return what ``If-Match`` says of a row's version, as ``compare_and_swap()`` takes it; None without the header.

    Weak tags, and tags of other rows, match nothing: the comparison is the strong one.

    .. versionadded:: 0.1
    """
    if header is None:
        return None
    found = parse_etags(header)
    if found.is_any:
        return ANY_VERSION
    target = target_of(named)
    versions = (_version(target, target.key_of(key), tag.opaque, secret) for tag in found.tags if not tag.is_weak)
    return OneOf(frozenset(version for version in versions if version is not None))


def require_match(header: str | None, instance: Any, *, secret: str | bytes | None = None) -> None:
    """Do nothing if ``If-Match`` is absent, or names the version of an object that was loaded.

    For what is then written by the session, whose flush compares the version once more.

    :raises StaleRow: it names others; the answer to the request is 412.

    .. versionadded:: 0.1
    """
    target = target_of(instance)
    key, version = _stands(target, instance)
    wanted = if_match(header, type(instance), key, secret=secret)
    if isinstance(wanted, OneOf) and version not in wanted.versions:
        seen = next(iter(wanted.versions)) if len(wanted.versions) == 1 else None
        raise StaleRow(
            Staleness.STALE,
            key=target.told(key),
            expected=seen,
            current=version,
            table=target.table.name,
            transient=False,
            message=f"the row of {target.table.name} is not as If-Match says; {StaleRow.advice}",
        )


def is_fresh(header: str | None, instance: Any, *, secret: str | bytes | None = None) -> bool:
    """Return whether ``If-None-Match`` names the version of an object, so that the answer to a GET is 304.

    The comparison is the weak one.

    .. versionadded:: 0.1
    """
    if header is None:
        return False
    found = parse_etags(header)
    opaque = parse_etags(etag(instance, secret=secret)).tags[0].opaque
    return found.is_any or any(tag.opaque == opaque for tag in found.tags)


def _stands(target: Target, instance: Any) -> tuple[tuple[Any, ...], Any]:
    state = inspect(instance, raiseerr=False)
    name = None if target.version is None or state is None else target.attribute(target.version)
    if name is None or state is None or not hasattr(state, "dict"):
        raise UsageError(f"{target.name} has no version, and so no entity tag; give it a version column")
    version = loaded_value(state, name)
    if version is None:
        raise UsageError(f"the version of the {target.name} is not loaded; read or flush it first")
    assert target.mapper is not None
    return tuple(state.identity or target.mapper.primary_key_from_instance(instance)), version


def _opaque(target: Target, key: tuple[Any, ...], version: Any, secret: str | bytes | None) -> str:
    written = json.dumps(version, default=str).encode()
    return base64.urlsafe_b64encode(_mark(target, key, written, secret) + written).rstrip(b"=").decode()


def _version(target: Target, key: tuple[Any, ...], opaque: str, secret: str | bytes | None) -> Any:
    """Return the version that a tag names; None if it is no tag of this row, or another's hand has made it."""
    try:
        raw = base64.urlsafe_b64decode(opaque.encode("ascii") + b"=" * (-len(opaque) % 4))
    except (UnicodeEncodeError, binascii.Error):
        return None
    mark, written = raw[:_MARK_BYTES], raw[_MARK_BYTES:]
    if not hmac.compare_digest(mark, _mark(target, key, written, secret)):
        return None
    try:
        version = json.loads(written)
    except ValueError:
        return None
    assert target.version is not None
    python = getattr(target.version.type, "python_type", type(version))
    return version if isinstance(version, python) else python(version)


def _mark(target: Target, key: tuple[Any, ...], written: bytes, secret: str | bytes | None) -> bytes:
    row = json.dumps([target.table.fullname, *key], default=str).encode()
    known = secret.encode() if isinstance(secret, str) else secret or b""
    return hmac.digest(known, row + b"\0" + written, "sha256")[:_MARK_BYTES]
