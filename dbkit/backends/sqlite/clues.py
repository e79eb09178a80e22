"""SQLite's result codes, and how they are found in a line of a log."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator

from dbkit.backends.rules import Signature

PRIMARY_CODES = {
    getattr(sqlite3, name): name
    for name in (
        "SQLITE_ERROR", "SQLITE_INTERNAL", "SQLITE_PERM", "SQLITE_ABORT", "SQLITE_BUSY", "SQLITE_LOCKED",
        "SQLITE_NOMEM", "SQLITE_READONLY", "SQLITE_INTERRUPT", "SQLITE_IOERR", "SQLITE_CORRUPT", "SQLITE_NOTFOUND",
        "SQLITE_FULL", "SQLITE_CANTOPEN", "SQLITE_PROTOCOL", "SQLITE_EMPTY", "SQLITE_SCHEMA", "SQLITE_TOOBIG",
        "SQLITE_CONSTRAINT", "SQLITE_MISMATCH", "SQLITE_MISUSE", "SQLITE_NOLFS", "SQLITE_AUTH", "SQLITE_FORMAT",
        "SQLITE_RANGE", "SQLITE_NOTADB",
    )
}  # fmt: skip

_CODES = {value: name for name, value in vars(sqlite3).items() if re.fullmatch(r"SQLITE_[A-Z_]+", name)} | PRIMARY_CODES

# Texts that SQLite writes, for logs that do not hold the code. Only :func:`clues` reads them.
_TEXTS = (
    (r"database (?:table )?is locked", "SQLITE_BUSY"),
    (r"UNIQUE constraint failed: .+", "SQLITE_CONSTRAINT_UNIQUE"),
    (r"FOREIGN KEY constraint failed", "SQLITE_CONSTRAINT_FOREIGNKEY"),
    (r"NOT NULL constraint failed: .+", "SQLITE_CONSTRAINT_NOTNULL"),
    (r"CHECK constraint failed: .+", "SQLITE_CONSTRAINT_CHECK"),
    (r"attempt to write a readonly database", "SQLITE_READONLY"),
    (r"unable to open database file", "SQLITE_CANTOPEN"),
    (r"file is not a database", "SQLITE_NOTADB"),
    (r"database disk image is malformed", "SQLITE_CORRUPT"),
    (r"database or disk is full", "SQLITE_FULL"),
    (r"disk I/O error", "SQLITE_IOERR"),
    (r"datatype mismatch", "SQLITE_MISMATCH"),
    (r"no such (?:table|index|savepoint|column): \S+", "SQLITE_ERROR"),
    (r"cannot (?:commit|rollback) - no transaction is active", "SQLITE_ERROR"),
    (r'near ".*": syntax error', "SQLITE_ERROR"),
)


def clues(text: str) -> Iterator[Signature]:
    """Yield a signature for each of SQLite's codes that a line of a log shows, by name, by number or by its text."""
    for name in re.findall(r"\bSQLITE_[A-Z_]+\b", text):
        yield _named(name)
    if re.fullmatch(r"\d{1,4}", text) and int(text) in _CODES:
        yield _named(_CODES[int(text)])
    for pattern, name in _TEXTS:
        found = re.search(pattern, text)
        if found:
            yield _named(name, re.split(r"[\r\n]|\s\[SQL", found[0])[0])


def _named(name: str, message: str = "") -> Signature:
    number = next((value for value, known in _CODES.items() if known == name), None)
    primary = None if number is None else PRIMARY_CODES.get(number & 0xFF)
    return Signature(tuple(dict.fromkeys(code for code in (name, primary) if code)), message, {"errname": name})
