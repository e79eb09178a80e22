"""The text of an error: what happened, to which object, under which code, what to do. Never a value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dbkit.exceptions import DBError

_MOST_PARAMETERS = 1000
"""Past this many values a statement's text is not searched for them, and therefore not quoted."""

_WORD = re.compile(r"\w+")

_LONGEST_REASON = 200

# Beside the secrets that are known, for those that a callable gave: "password=x", "mysql://user:x@host".
_SECRET = re.compile(r"(?:pass\w*|pwd|secret|token)\s*[=:]|://[^\s/]*@", re.IGNORECASE)


def describe(
    cls: type[DBError],
    fields: Mapping[str, Any],
    *,
    happened: str = "",
    code: object = None,
    quote: str = "",
    advice: str = "",
) -> str:
    """Return the text of an error.

    :param fields: names of the objects concerned; only names are read from it, never the value.
    :param happened: what happened, where the summary of the class is too wide.
    :param quote: the server's own text, if it is safe to repeat: see :func:`is_quotable`.
    :param advice: what to do, where more is known than the class can know.
    """
    text = happened or cls.summary
    concerned = _objects(fields)
    if concerned:
        text += f": {concerned}"
    if code is not None:
        text += f" [{code}]"
    if quote:
        text += f': "{quote}"'
    return f"{text}; {advice or cls.advice}"


def reason(text: str, secrets: Any) -> str:
    """Return the first line of what a driver says of a connection, or nothing if it could hold a secret.

    :param secrets: passwords and parameters, of which the line must not hold a trace.
    """
    lines = text.strip().splitlines()
    line = lines[0].strip() if lines else ""
    if len(line) > _LONGEST_REASON:
        line = f"{line[:_LONGEST_REASON].rstrip()}..."
    return "" if _SECRET.search(line) or not is_quotable(line, secrets) else line


def _objects(fields: Mapping[str, Any]) -> str:
    parts = [f"{kind} {fields[kind]}" for kind in ("database", "user", "constraint", "table") if fields.get(kind)]
    columns = fields.get("columns") or ()
    if columns:
        parts.append(f"{'column' if len(columns) == 1 else 'columns'} {', '.join(columns)}")
    if fields.get("key_table"):
        parts.append(f"other table {fields['key_table']}")
    return ", ".join(parts)


def is_quotable(text: str, parameters: Any) -> bool:
    """Return whether the text holds no trace of the parameters, so that a log may show it.

    It errs on the side of silence: a word that the text shares with a value, in whole or in part, forbids the quote.
    """
    words = set(_WORD.findall(text.casefold()))
    if not words:
        return True
    for count, value in enumerate(_leaves(parameters)):
        if count >= _MOST_PARAMETERS:
            return False
        if any(_gives_away(word, part) for part in _WORD.findall(_as_text(value).casefold()) for word in words):
            return False
    return True


def _gives_away(word: str, part: str) -> bool:
    """Return whether a word of the text is a word of a value, contains one, or is the beginning of one cut short."""
    return word == part or (len(part) >= 3 and part in word) or (len(word) >= 3 and part.startswith(word))


def _as_text(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "replace")
    return str(value)


def _leaves(value: Any) -> Iterator[Any]:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes | bytearray | memoryview):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value
