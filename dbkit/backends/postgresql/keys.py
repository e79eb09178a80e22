"""The key in PostgreSQL's DETAIL: ``Key (a, lower(b))=(1, x) already exists.``

The parentheses are the same in every language of the server; the words around them are not.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Key:
    """A violated key.

    :param columns: names of columns, or expressions as the server writes them.
    :param value: the values, as the server writes them, joined by a comma.
    :param table: the table at the other end of a foreign key.
    """

    columns: tuple[str, ...]
    value: str
    table: str | None


def read_key(detail: str) -> Key | None:
    """Return the key that the text shows, or None if it shows none."""
    start = detail.find("(")
    if start < 0:
        return None
    pieces: list[str] = []
    depth, quote, begin = 0, "", start + 1
    for position in range(start, len(detail)):
        sign = detail[position]
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign == "(":
            depth += 1
        elif sign == ")":
            depth -= 1
        if depth == 0 or (depth == 1 and not quote and detail.startswith(", ", position)):
            pieces.append(detail[begin:position])
            begin = position + 2
        if depth == 0:
            return _read_value(tuple(map(_unquoted, pieces)), detail[position + 1 :])
    return None


def _read_value(columns: tuple[str, ...], rest: str) -> Key | None:
    if not rest.startswith("=("):
        return None
    value, _, tail = rest[2:].rpartition(")")
    return Key(columns, value, _last_name(tail))


def _unquoted(name: str) -> str:
    if len(name) > 2 and name[0] == name[-1] == '"':
        return name[1:-1].replace('""', '"')
    return name


def _last_name(text: str) -> str | None:
    """Return what stands in the last pair of quotes, in the quotes of any language."""
    for opening, closing in (('"', '"'), ("«", "»"), ("»", "«"), ("„", "“"), ("“", "”")):
        end = text.rfind(closing)
        begin = text.rfind(opening, 0, max(end, 0))
        if 0 <= begin < end:
            return text[begin + 1 : end].strip()
    return None
