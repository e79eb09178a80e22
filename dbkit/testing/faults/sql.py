"""What a statement's text says: its statements, the words each begins with, and the text without its values."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from functools import lru_cache


class Dialect(enum.Enum):
    """How a product writes literals and comments."""

    POSTGRESQL = "postgresql"
    MYSQL = "mysql"


#: The name that every statement answers to.
STATEMENT = "statement"

#: The name of what pools send to learn whether a connection lives.
PING = "ping"

# Possessive, so that a long literal costs one pass. Sources: PostgreSQL, "Lexical Structure"; MariaDB, "String
# Literals", "Comment Syntax".
_TOKENS = {
    Dialect.POSTGRESQL: re.compile(
        r"""(?P<comment>--[^\n]*+|/\*.*?(?:\*/|\Z))
        |(?P<value>[eE]'(?:[^'\\]++|''|\\.)*+(?:'|\Z)
            |(?:[bBxXnN]|[uU]&)?'(?:[^']++|'')*+(?:'|\Z)
            |\$(?P<tag>[A-Za-z_]\w*+|)\$.*?(?:\$(?P=tag)\$|\Z)
            |(?<![\w$.])\.?\d[\w.]*+(?:(?<=[eE])[+-]\d++)?)
        |(?P<name>"(?:[^"]++|"")*+(?:"|\Z)|[^\W\d][\w$]*+)
        |(?P<end>;)""",
        re.VERBOSE | re.DOTALL,
    ),
    Dialect.MYSQL: re.compile(
        r"""(?P<comment>--(?=\s|\Z)[^\n]*+|\#[^\n]*+|/\*.*?(?:\*/|\Z))
        |(?P<value>[bBxXnN]?'(?:[^'\\]++|''|\\.)*+(?:'|\Z)
            |"(?:[^"\\]++|""|\\.)*+(?:"|\Z)
            |(?<![\w$.])\.?\d[\w.]*+(?:(?<=[eE])[+-]\d++)?)
        |(?P<name>`(?:[^`]++|``)*+(?:`|\Z)|@{0,2}[^\W\d][\w$]*+)
        |(?P<end>;)""",
        re.VERBOSE | re.DOTALL,
    ),
}

# Their bodies hold statements that are not executed now.
_DEFINITION = re.compile(r"(?is)\s*create\b(?:[^;'\"`]*?)\b(?:procedure|function|trigger|event|package)\b")

_SYNONYMS = {
    ("START", "TRANSACTION"): "BEGIN",
    ("END",): "COMMIT",
    ("ABORT",): "ROLLBACK",
}

_LONGEST_REMEMBERED = 300


def masked(text: str, dialect: Dialect) -> str:
    """Return the text with ``?`` for every literal, and without comments, which may hold values too."""
    return " ".join(_TOKENS[dialect].sub(_mask, text).split())


def _mask(token: re.Match[str]) -> str:
    if token["comment"] is not None:
        return " "
    return "?" if token["value"] is not None else token[0]


def names_of(text: str, dialect: Dialect) -> frozenset[str]:
    """Return the names that a text answers to: ``statement``, each statement's verb, ``ping`` if it is one.

    A verb is upper case and one word, ``COMMIT``, save for ``ROLLBACK TO``. Synonyms have one name: ``START
    TRANSACTION`` is ``BEGIN``, ``END`` is ``COMMIT``, ``ABORT`` is ``ROLLBACK``.
    """
    return _remembered(text, dialect) if len(text) <= _LONGEST_REMEMBERED else _names(text, dialect)


def _names(text: str, dialect: Dialect) -> frozenset[str]:
    statements = list(_statements(text, dialect))
    names = {STATEMENT}
    for statement in statements:
        names.update(_verb(statement, dialect))
    if not statements or [each.split() for each in statements] in ([["SELECT", "1"]], [["select", "1"]]):
        names.add(PING)
    return frozenset(names)


@lru_cache(maxsize=2048)
def _remembered(text: str, dialect: Dialect) -> frozenset[str]:
    return _names(text, dialect)


def _statements(text: str, dialect: Dialect) -> Iterator[str]:
    """Yield the statements of a text that have words in them."""
    if ";" not in text.rstrip("; \t\r\n") or _DEFINITION.match(text):
        parts = [text.rstrip("; \t\r\n")]
    else:
        parts, begin = [], 0
        for token in _TOKENS[dialect].finditer(text):
            if token["end"]:
                parts.append(text[begin : token.start()])
                begin = token.end()
        parts.append(text[begin:])
    for part in parts:
        if next(_words(part, dialect), None) is not None:
            yield part.strip()


def _words(statement: str, dialect: Dialect) -> Iterator[str]:
    """Yield the names in a statement, upper case, in their order."""
    for token in _TOKENS[dialect].finditer(statement):
        if token["name"] is not None:
            yield token["name"].upper()


def _verb(statement: str, dialect: Dialect) -> Iterator[str]:
    words = _words(statement, dialect)
    first = next(words)
    if first not in ("START", "END", "ABORT", "ROLLBACK"):
        yield first
        return
    following = [word for word, _ in zip(words, range(2), strict=False) if word not in ("WORK", "TRAN")]
    if first != "START":
        following = [word for word in following if word != "TRANSACTION"]
    if first == "ROLLBACK":
        yield "ROLLBACK TO" if following[:1] == ["TO"] else "ROLLBACK"
        return
    yield _SYNONYMS.get((first, *following[:1])) or _SYNONYMS.get((first,)) or first
