"""Hides what must not be read: passwords in URLs, in their arguments, and in mappings of arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

HIDDEN = "***"

# passfile names a file and is worth reading; odbc_connect is a whole connection string.
_SECRET = re.compile(r"pass(?!file)|pwd|secret|token|credential|scram_\w+_key|odbc_connect", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Return whether an argument of this name holds a secret."""
    return _SECRET.search(name) is not None


def mask_mapping(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with each secret hidden, at any depth."""
    return {name: HIDDEN if is_secret(str(name)) else _masked(value) for name, value in arguments.items()}


def _masked(value: Any) -> Any:
    return mask_mapping(value) if isinstance(value, Mapping) else mask_text(value)


def mask_text(value: Any) -> Any:
    """Return the value itself, or with its secrets hidden if it is a text that holds a URL."""
    return mask(value) if isinstance(value, str) and "://" in value else value


def mask_parameters(text: str) -> str:
    """Return URL arguments such as ``a=1&password=x`` with each secret hidden."""
    shown = []
    for part in text.split("&"):
        name, equals, value = part.partition("=")
        shown.append(f"{name}={HIDDEN}" if equals and is_secret(name) else f"{name}{equals}{value}")
    return "&".join(shown)


def secrets_of(url: URL) -> tuple[str, ...]:
    """Return all that :func:`mask` hides in a URL."""
    found = [] if url.password is None else [str(url.password)]
    for name, value in url.query.items():
        if is_secret(name):
            found += value if isinstance(value, tuple) else (value,)
    return tuple(found)


def mask(url: URL | str) -> str:
    """Return the URL with every secret hidden: the password, also one that was not escaped, and secret arguments.

    A text that is no URL is returned too, with all hidden that could be a password.
    """
    if isinstance(url, str):
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError):
            return _mask_unparsed(url)
        if "@" in (parsed.database or "") and parsed.host is not None:
            return _mask_unparsed(url)  # the password may have held a slash and an "@"
        url = parsed
    query = {
        name: HIDDEN if is_secret(name) else (tuple(map(mask_text, value)) if isinstance(value, tuple) else value)
        for name, value in url.query.items()
    }
    shown = url.set(query=query, password=None if url.password is None else HIDDEN)
    if "@" in (url.host or ""):  # an unescaped "@" cut the password in two
        shown = shown.set(host=(url.host or "").rpartition("@")[2])
    return shown.render_as_string(hide_password=True).replace("%2A%2A%2A", HIDDEN)


def _mask_unparsed(text: str) -> str:
    scheme, found, rest = text.partition("://")
    if not found:
        return HIDDEN
    account, at, place = rest.rpartition("@")
    if not at:
        place, question, arguments = rest.partition("?")
        host, colon, _ = place.partition(":")
        return f"{scheme}://{host}{':' + HIDDEN if colon else ''}{question}{mask_parameters(arguments)}"
    user, colon, _ = account.partition(":")
    place, question, arguments = place.partition("?")
    return f"{scheme}://{user}{':' + HIDDEN if colon else ''}@{place}{question}{mask_parameters(arguments)}"
