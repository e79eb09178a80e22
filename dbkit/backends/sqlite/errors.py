"""What SQLite's errors mean: its rules by the name of the extended result code, as Python 3.11's sqlite3 gives it."""

from __future__ import annotations

from typing import Any

from dbkit.backends.rules import Rule, RuleSet, Signature, class_names, layers
from dbkit.backends.sqlite.clues import PRIMARY_CODES, clues
from dbkit.exceptions import (
    DBAccessDenied,
    DBConnectionError,
    DBConstraintError,
    DBDataError,
    DBDuplicateEntry,
    DBError,
    DBIntegrityError,
    DBLockTimeout,
    DBNonExistentConstraint,
    DBNonExistentDatabase,
    DBNonExistentTable,
    DBNotNullError,
    DBQueryCanceled,
    DBReadOnly,
    DBReferenceError,
    DBSerializationFailure,
    Outcome,
    TransactionDoomed,
)

_CODES = "SQLite documentation: result and error codes"
_TEXTS = "SQLite gives one code, SQLITE_ERROR, to all of these; its texts are in no language but English"
_MAY_ROLL_BACK = (
    "SQLite documentation: transactions, 'response to errors within a transaction': SQLITE_FULL, SQLITE_IOERR, "
    "SQLITE_NOMEM, SQLITE_BUSY and SQLITE_INTERRUPT may roll the whole transaction back; in_transaction tells"
)

# In order of precedence. A primary code, such as SQLITE_BUSY, also catches the extended codes that no rule names, so
# the extended ones come first.
_RULES = (
    # -- conflicts
    # The transaction has only read so far, so to count it as rolled back loses nothing; no savepoint can save it.
    Rule(
        DBSerializationFailure,
        codes=("SQLITE_BUSY_SNAPSHOT",),
        means="another connection has written since this transaction read, so it can never write",
        source=_CODES,
    ),
    Rule(
        DBLockTimeout,
        codes=("SQLITE_BUSY",),
        means="another connection kept the database locked; the transaction is open still, unless SQLite had to roll "
        "it back",
        source=_MAY_ROLL_BACK,
    ),
    Rule(
        DBLockTimeout,
        codes=("SQLITE_LOCKED",),
        means="a table is in use by another statement of this connection or of its shared cache",
        source=_CODES,
    ),
    Rule(
        DBQueryCanceled,
        codes=("SQLITE_INTERRUPT",),
        means="the statement was interrupted; if it was writing, SQLite rolled the whole transaction back",
        source=_MAY_ROLL_BACK,
    ),
    # -- the file
    Rule(DBReadOnly, codes=("SQLITE_READONLY",), source=_CODES),
    Rule(DBNonExistentDatabase, codes=("SQLITE_CANTOPEN",), means="the file cannot be opened", source=_CODES),
    Rule(
        DBNonExistentDatabase,
        codes=("SQLITE_NOTADB",),
        means="the file is no SQLite database, or is encrypted",
        source=_CODES,
    ),
    Rule(DBError, codes=("SQLITE_CORRUPT",), means="the database file is damaged", source=_CODES),
    Rule(
        DBError,
        codes=("SQLITE_FULL",),
        means="the disk is full; SQLite may have rolled the whole transaction back",
        source=_MAY_ROLL_BACK,
    ),
    Rule(
        DBError,
        codes=("SQLITE_IOERR",),
        means="the operating system could not read or write; SQLite may have rolled the whole transaction back",
        source=_MAY_ROLL_BACK,
        untested="needs a failing disk",
    ),
    Rule(
        DBError,
        codes=("SQLITE_NOMEM",),
        means="memory ran out; SQLite may have rolled the whole transaction back",
        source=_MAY_ROLL_BACK,
        untested="sqlite3 raises MemoryError, without a code",
    ),
    Rule(
        DBConnectionError,
        codes=("SQLITE_PROTOCOL",),
        disconnect=True,
        means="the locks of the write-ahead log could not be had",
        source=_CODES,
        untested="needs a race between processes that open the log",
    ),
    Rule(
        DBAccessDenied,
        codes=("SQLITE_PERM", "SQLITE_AUTH"),
        means="the statement or the file is not permitted",
        source=_CODES,
    ),
    # -- integrity
    Rule(
        DBDuplicateEntry,
        codes=("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_ROWID"),
        extract=r"\AUNIQUE constraint failed: (?:index '(?P<constraint>.*)'\Z|(?P<column_list>.*)\Z)",
        source=_CODES,
    ),
    Rule(DBReferenceError, codes=("SQLITE_CONSTRAINT_FOREIGNKEY",), source=_CODES),
    Rule(
        DBConstraintError,
        codes=("SQLITE_CONSTRAINT_CHECK",),
        extract=r"\ACHECK constraint failed: (?P<constraint>.*)\Z",
        source=_CODES,
    ),
    Rule(
        DBNotNullError,
        codes=("SQLITE_CONSTRAINT_NOTNULL",),
        extract=r"\ANOT NULL constraint failed: (?P<column_list>.*)\Z",
        source=_CODES,
    ),
    Rule(
        DBDataError,
        codes=("SQLITE_CONSTRAINT_DATATYPE",),
        extract=r" column (?P<column_list>.*)\Z",
        source="SQLite documentation: STRICT tables",
    ),
    Rule(
        DBIntegrityError,
        codes=("SQLITE_CONSTRAINT_TRIGGER",),
        means="a trigger refused the write",
        source=_CODES,
    ),
    Rule(DBIntegrityError, codes=("SQLITE_CONSTRAINT",), source=_CODES, untested="needs a virtual table that refuses"),
    # -- what was sent
    Rule(DBDataError, codes=("SQLITE_MISMATCH", "SQLITE_TOOBIG", "SQLITE_RANGE"), source=_CODES),
    Rule(
        DBNonExistentTable,
        codes=("SQLITE_ERROR",),
        text=r"\Ano such table: (?:\w+\.)?(?P<table>.+)\Z",
        source=_TEXTS,
    ),
    Rule(
        DBNonExistentConstraint,
        codes=("SQLITE_ERROR",),
        text=r"\Ano such index: (?P<constraint>.+)\Z",
        means="the index does not exist",
        source=_TEXTS,
    ),
    Rule(
        TransactionDoomed,
        codes=("SQLITE_ERROR",),
        text=r"\Ano such savepoint: ",
        means="the savepoint is gone: SQLite rolled the whole transaction back, if it ever was set",
        source=_TEXTS,
    ),
    Rule(
        TransactionDoomed,
        codes=("SQLITE_ERROR",),
        text=r"\Acannot (?:commit|rollback) - no transaction is active\Z",
        means="there is no transaction: SQLite rolled it back, if it was ever begun",
        source=_TEXTS,
    ),
    Rule(
        DBError,
        codes=("SQLITE_SCHEMA",),
        transient=True,
        means="the schema changed while the statement ran",
        source=_CODES,
        untested="sqlite3 prepares the statement again by itself",
    ),
    Rule(
        DBError,
        codes=("SQLITE_ERROR", "SQLITE_MISUSE"),
        quotable=True,
        means="the statement is wrong, or names what does not exist",
        source=_CODES,
    ),
    # -- no code: what the sqlite3 module itself refuses
    Rule(
        DBConnectionError,
        classes=("ProgrammingError", "OperationalError"),
        text=r"\A(?:Cannot operate on a closed database\.|no active connection|Connection closed)\Z",
        disconnect=True,
        means="the connection is closed",
        source="Python documentation: sqlite3; aiosqlite",
    ),
    Rule(
        DBDataError,
        classes=("ProgrammingError", "InterfaceError"),
        text=r"\AError binding parameter ",
        means="a parameter has a type that SQLite does not store",
        source="Python documentation: sqlite3, adapters",
    ),
    Rule(
        DBError,
        classes=("ProgrammingError",),
        means="the statement or its parameters are used in a way that sqlite3 refuses",
        source="Python documentation: sqlite3",
    ),
)

# Python 3.11 calls these "unknown"; SQLite has them since 3.37.
_NEWER_CODES = {3091: "SQLITE_CONSTRAINT_DATATYPE"}


def signature(error: BaseException) -> Signature:
    """Read an exception of sqlite3 or aiosqlite, bare or in SQLAlchemy's wrapping."""
    chain = layers(error)
    driver = chain[-1]
    number = getattr(driver, "sqlite_errorcode", None)
    name = getattr(driver, "sqlite_errorname", None)
    codes: tuple[str, ...] = ()
    details: dict[str, Any] = {}
    if isinstance(number, int) and isinstance(name, str):
        name = _NEWER_CODES.get(number, name)
        primary = PRIMARY_CODES.get(number & 0xFF)
        codes = tuple(dict.fromkeys(code for code in (name, primary) if code))
        details = {"errno": number, "errname": name}
    message = driver.args[0] if driver.args and isinstance(driver.args[0], str) else ""
    return Signature(codes, message, details, tuple(word for layer in chain for word in class_names(layer)))


def _refine(rule: Rule, fields: dict[str, Any], signature: Signature) -> dict[str, Any]:
    known = {name: value for name, value in fields.items() if name != "column_list"}
    listed = fields.get("column_list")
    if listed:
        # SQLite writes table.column for each; a name that holds a dot or a comma cannot be told apart, and is rare.
        pairs = [piece.rpartition(".") for piece in listed.split(", ")]
        known["columns"] = [column for _, _, column in pairs]
        known["table"] = pairs[0][0] or None
    return known


RULES = RuleSet(
    "sqlite", _RULES, signature=signature, refine=_refine, clues=clues, failed_commit=Outcome.STATEMENT_FAILED
)
