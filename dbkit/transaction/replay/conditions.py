"""What a transaction must not have done if it is to be repeated, each with the name under which it is told and counted.

Two kinds of things forbid it: what would happen twice, because it is not undone when the transaction is lost, and what
would be missing on another connection, because it belongs to the session and not to the transaction.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any


@dataclass(frozen=True, slots=True)
class Condition:
    """A reason not to repeat a transaction.

    :param name: under which it is counted.
    :param text: what the block has done, for the note at the error.
    :param pattern: finds it in a statement; None where the text does not tell.
    """

    name: str
    text: str
    pattern: re.Pattern[str] | None = None


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE | re.DOTALL | re.VERBOSE)


SERVER_SIDE_CURSOR = Condition(
    "server-side cursor",
    "it reads through a server-side cursor, whose rows were not all seen",
    _pattern(r"\A (?:DECLARE | FETCH | MOVE | HANDLER) \b"),
)
DRIVER_CONNECTION = Condition(
    "driver's connection",
    "the block has had the driver's connection in hand, and what was done with it was not seen",
)
TOO_LARGE = Condition("too large", "its statements and parameters take more than [database] replay_max_size")
TOO_OLD = Condition("too old", "it began longer ago than [database] replay_max_time")
STRANGE_VALUE = Condition("strange value", "a value in it is of a type that cannot be kept or compared")
DEADLINE = Condition("deadline", "the time that the block has is over")

# Looked at in this order; the first that finds something names the reason.
CONDITIONS: tuple[Condition, ...] = (
    Condition(
        "several statements",
        "it sends several statements in one text, or one inside a comment",
        # a semicolon inside a literal counts too: how far a literal goes depends on the server's settings
        _pattern(r"; \s* \S | /\*M?!"),
    ),
    Condition("COPY", "it uses COPY", _pattern(r"\A (?:COPY | LOAD) \b")),
    Condition(
        "temporary table",
        "it makes a temporary table, which belongs to the connection",
        _pattern(
            r"\b (?:CREATE | DROP | INTO) \s+ (?:OR \s+ REPLACE \s+)? (?:GLOBAL \s+ | LOCAL \s+)? TEMP(?:ORARY)? \b"
        ),
    ),
    Condition(
        "DDL",
        "it changes the schema, which commits on some databases",
        _pattern(
            r"\A (?:CREATE | ALTER | DROP | TRUNCATE | RENAME | COMMENT | GRANT | REVOKE | REINDEX | REFRESH | IMPORT"
            r" | SECURITY | ANALYZE | OPTIMIZE | REPAIR | CHECK | CLUSTER | VACUUM) \b"
        ),
    ),
    Condition(
        "session lock",
        "it takes locks that belong to the connection or guard something outside of the database",
        _pattern(
            r"\b pg_ (?:try_)? advisory_ \w+ | \b (?:GET | RELEASE)_(?:ALL_)? LOCKS? \s* \( | \A LOCK \s+ TABLES \b"
        ),
    ),
    Condition("LISTEN", "it listens for notifications on the connection", _pattern(r"\A (?:UN)? LISTEN \b")),
    SERVER_SIDE_CURSOR,
    Condition(
        "stored procedure",
        "it calls a stored procedure, which can commit",
        _pattern(r"\A (?:CALL | DO | EXECUTE | PREPARE | DEALLOCATE) \b"),
    ),
    Condition(
        "outside effect",
        "it calls a function whose effect a ROLLBACK does not undo",
        _pattern(
            r"\b (?: dblink \w* | lo_(?:im|ex)port | pg_(?:terminate|cancel)_backend | setval | pg_logical_emit_message"
            r" | load_file ) \s* \( | \b INTO \s+ (?:OUTFILE | DUMPFILE) \b"
        ),
    ),
)
UNKNOWN_STATEMENT = Condition(
    "unknown statement", "it sends a statement of which it is not known that it can be repeated"
)

# What is undone with the transaction, or says the same again. Anything else forbids the replay.
_REPEATABLE = _pattern(
    r"\A \(* \s* (?:SELECT | INSERT | UPDATE | DELETE | REPLACE | MERGE | WITH | VALUES | TABLE | SET | RESET | SHOW"
    r" | EXPLAIN | DESC(?:RIBE)? | SAVEPOINT | RELEASE | ROLLBACK \s+ (?:WORK \s+ | TRANSACTION \s+)? TO | NOTIFY"
    r" | LOCK (?! \s+ TABLES\b) ) \b"
)
_AHEAD = re.compile(r"\A(?:\s+|--[^\n]*(?:\n|\Z)|\#[^\n]*(?:\n|\Z)|/\*(?!M?!).*?\*/)+", re.DOTALL)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")
# With these in a text, where a literal ends depends on more than its quotes: then its content is searched too.
_TRICKY = re.compile(r"\\|--|/\*|\$\w*\$")
_SETTING = _pattern(r"\A (?:SET | RESET) \b")


def reason_against(statement: str, context: Any = None) -> Condition | None:
    """Return why a transaction with this statement is not repeated, or None.

    :param context: SQLAlchemy's execution context.
    """
    return SERVER_SIDE_CURSOR if getattr(context, "_is_server_side", False) else _reason_in(statement)


@lru_cache(maxsize=2048)
def _reason_in(statement: str) -> Condition | None:
    bare = without_comments_ahead(statement)
    if "'" in bare and not _TRICKY.search(bare):
        bare = _QUOTED.sub("''", bare)
    for condition in CONDITIONS:
        if condition.pattern is not None and condition.pattern.search(bare):
            return condition
    return None if _REPEATABLE.match(bare) else UNKNOWN_STATEMENT


def is_setting(statement: str) -> bool:
    """Return whether a statement changes the session's settings."""
    return _SETTING.match(without_comments_ahead(statement)) is not None


def without_comments_ahead(statement: str) -> str:
    """Return a statement from its first word on."""
    return _AHEAD.sub("", statement, count=1)
