"""How PostgreSQL's SQLSTATEs are found in a line of a log."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dbkit.backends.rules import Signature

_SQLSTATE = r"(?P<code>[0-9A-Z][0-9A-Z]{4})"
# psql, drivers, SQLAlchemy and PostgreSQL's own log (log_line_prefix with %e, log_error_verbosity = verbose).
_FORMS = (
    rf"\bSQLSTATE\W{{0,4}}{_SQLSTATE}\b(?:\W+(?P<message>.*))?",
    rf"\b(?:ERROR|FATAL|PANIC): +{_SQLSTATE}: (?P<message>.*)",
    rf"\A\[?{_SQLSTATE}\]?\Z",
    rf"\[{_SQLSTATE}\]",
)

# Exceptions of psycopg and asyncpg are named after the condition of the SQLSTATE; and texts of a server that speaks
# English, for logs that hold neither. Only :func:`clues` reads them.
_NAMES = {
    "UniqueViolation": "23505", "ForeignKeyViolation": "23503", "NotNullViolation": "23502",
    "CheckViolation": "23514", "ExclusionViolation": "23P01", "DeadlockDetected": "40P01",
    "SerializationFailure": "40001", "Serialization": "40001", "LockNotAvailable": "55P03",
    "QueryCanceled": "57014", "AdminShutdown": "57P01", "CannotConnectNow": "57P03",
    "IdleInTransactionSessionTimeout": "25P03", "ReadOnlySqlTransaction": "25006", "ReadOnlySQLTransaction": "25006",
    "InFailedSqlTransaction": "25P02", "InFailedSQLTransaction": "25P02", "TooManyConnections": "53300",
    "UndefinedTable": "42P01", "UndefinedColumn": "42703", "InvalidCatalogName": "3D000",
    "InsufficientPrivilege": "42501", "InvalidPassword": "28P01", "ConnectionDoesNotExist": "08003",
    "StringDataRightTruncation": "22001", "NumericValueOutOfRange": "22003", "InvalidTextRepresentation": "22P02",
}  # fmt: skip
_TEXTS = (
    ("deadlock detected", "40P01"),
    ("could not serialize access", "40001"),
    ("duplicate key value violates unique constraint", "23505"),
    ("violates foreign key constraint", "23503"),
    ("violates check constraint", "23514"),
    ("violates not-null constraint", "23502"),
    ("conflicting key value violates exclusion constraint", "23P01"),
    ("canceling statement due to lock timeout", "55P03"),
    ("could not obtain lock on row", "55P03"),
    ("canceling statement due to", "57014"),
    ("current transaction is aborted", "25P02"),
    ("in a read-only transaction", "25006"),
    ("terminating connection due to idle-in-transaction timeout", "25P03"),
    ("terminating connection due to administrator command", "57P01"),
    ("the database system is ", "57P03"),
    ("sorry, too many clients already", "53300"),
    ("too many connections for ", "53300"),
    ("password authentication failed for user", "28P01"),
)


def clues(text: str) -> Iterator[Signature]:
    """Yield a signature for each SQLSTATE that a line of a log shows, by itself, by a class's name or by its text."""
    seen = set()
    for form in _FORMS:
        for found in re.finditer(form, text):
            if found["code"] not in seen and _is_sqlstate(found["code"]):
                seen.add(found["code"])
                yield _signature(found["code"], (found.groupdict().get("message") or "").strip())
    for name in re.findall(r"\b([A-Z]\w+?)(?:Error)?\b", text):
        code = _NAMES.get(name)
        if code and code not in seen:
            seen.add(code)
            yield _signature(code, "")
    if seen:
        return
    for words, code in _TEXTS:
        start = text.find(words)
        if start >= 0:
            yield _signature(code, text[start:].splitlines()[0])
            return


def _is_sqlstate(code: str) -> bool:
    """Return whether it can be a SQLSTATE and not a word in capitals: all that PostgreSQL has hold a digit."""
    return any(sign.isdigit() for sign in code)


def _signature(code: str, message: str) -> Signature:
    return Signature((code, code[:2]), message, {"sqlstate": code})
