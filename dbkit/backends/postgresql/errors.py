"""What PostgreSQL's errors mean: its rules by SQLSTATE, and how they are read from psycopg, psycopg2 and asyncpg."""

from __future__ import annotations

import re
from typing import Any

from dbkit.backends.postgresql.clues import clues
from dbkit.backends.postgresql.keys import read_key
from dbkit.backends.rules import Rule, RuleSet, Signature, class_names, layers
from dbkit.exceptions import (
    DBAccessDenied,
    DBConnectionError,
    DBConstraintError,
    DBDataError,
    DBDeadlock,
    DBDuplicateEntry,
    DBError,
    DBExclusionError,
    DBIntegrityError,
    DBInvalidUnicodeParameter,
    DBLockTimeout,
    DBNonExistentConstraint,
    DBNonExistentDatabase,
    DBNonExistentTable,
    DBNotNullError,
    DBNotSupportedError,
    DBQueryCanceled,
    DBReadOnly,
    DBReferenceError,
    DBSerializationFailure,
    DBTooManyConnections,
    Outcome,
    TransactionDoomed,
)

_CODES = "PostgreSQL documentation, appendix A: error codes"
_LIBPQ = "libpq gives no SQLSTATE for a connection that was refused; the text is the server's"
_USER = r'(?: for user |, user )"(?P<user>[^"]*)"'

# In order of precedence. A code of two characters stands for a whole class of SQLSTATEs, so the narrow ones come first.
_RULES = (
    # -- the session is over
    Rule(
        DBConnectionError,
        codes=("57P01", "57P02", "57P03", "57P04", "57P05"),
        disconnect=True,
        means="the server ended the session or accepts none now: it stops, starts, or someone ended it",
        source=_CODES,
    ),
    Rule(
        DBConnectionError,
        codes=("25P03", "25P04"),
        disconnect=True,
        means="the server ended the session because its transaction was idle, or open, for too long",
        source="PostgreSQL documentation: idle_in_transaction_session_timeout, transaction_timeout",
    ),
    Rule(DBTooManyConnections, codes=("53300",), source=_CODES),
    Rule(
        DBError,
        codes=("08007", "40003"),
        outcome=Outcome.UNKNOWN,
        at_commit=Outcome.UNKNOWN,
        means="the server does not know whether the statement took effect",
        source=_CODES,
    ),
    # Not a disconnect by itself: postgres_fdw reports its own lost server so, while our connection lives.
    Rule(DBConnectionError, codes=("08",), means="a connection was lost or could not be made", source=_CODES),
    # -- who, and where
    Rule(DBNonExistentDatabase, codes=("3D000",), extract=r'"(?P<database>.*)"', source=_CODES),
    Rule(DBAccessDenied, codes=("28", "42501"), extract=_USER, source=_CODES),
    # -- conflicts
    # a savepoint opened before the statement survives both: the server goes back to it if it is told to
    Rule(
        DBSerializationFailure,
        codes=("40001",),
        outcome=Outcome.ABORTED,
        at_commit=Outcome.ROLLED_BACK,
        source="PostgreSQL documentation: serialization failure handling",
    ),
    Rule(
        DBDeadlock,
        codes=("40P01",),
        outcome=Outcome.ABORTED,
        at_commit=Outcome.ROLLED_BACK,
        source="PostgreSQL documentation: explicit locking, deadlocks",
    ),
    Rule(
        DBIntegrityError,
        codes=("40002",),
        outcome=Outcome.ROLLED_BACK,
        means="a constraint refused the transaction as a whole",
        source=_CODES,
    ),
    Rule(DBDeadlock, codes=("40",), means="the server rolled the transaction back", source=_CODES),
    Rule(
        DBSerializationFailure,
        codes=("72000",),
        means="the rows that the transaction's snapshot needs are gone",
        source="PostgreSQL documentation: old_snapshot_threshold (until version 16)",
    ),
    Rule(DBLockTimeout, codes=("55P03",), source="PostgreSQL documentation: lock_timeout, NOWAIT"),
    Rule(DBQueryCanceled, codes=("57014",), source="PostgreSQL documentation: statement_timeout, pg_cancel_backend"),
    # -- the transaction
    Rule(DBReadOnly, codes=("25006",), source=_CODES),
    Rule(
        DBReadOnly,
        codes=("0A000",),
        text=r"read-write mode during recovery",
        means="the server is a standby and cannot open a writer",
        source="PostgreSQL source: access/transam/xact.c, check_transaction_read_only",
    ),
    Rule(TransactionDoomed, codes=("25P02",), outcome=Outcome.ABORTED, source=_CODES),
    Rule(DBError, codes=("25", "2D", "3B"), quotable=True, means="the transaction does not allow this", source=_CODES),
    # -- integrity
    Rule(DBDuplicateEntry, codes=("23505",), source=_CODES),
    Rule(DBReferenceError, codes=("23503", "23001"), source=_CODES),
    Rule(DBConstraintError, codes=("23514",), source=_CODES),
    Rule(
        DBConstraintError,
        codes=("44",),
        extract=r'"(?P<table>.*)"',
        means="the check option of a view refused the row",
        source=_CODES,
    ),
    Rule(DBNotNullError, codes=("23502",), source=_CODES),
    Rule(DBExclusionError, codes=("23P01",), source=_CODES),
    Rule(DBIntegrityError, codes=("23",), source=_CODES),
    # -- what was sent
    Rule(DBInvalidUnicodeParameter, codes=("22021", "22P05"), source=_CODES),
    Rule(DBDataError, codes=("22",), source=_CODES),
    Rule(
        DBError,
        codes=("42P01",),
        text=r"FROM-clause",
        quotable=True,
        means="the statement uses a table that its FROM does not name",
        source="PostgreSQL source: parser/parse_relation.c, errorMissingRTE",
    ),
    Rule(DBNonExistentTable, codes=("42P01",), extract=r'"(?P<table>.*)"', source=_CODES),
    Rule(
        DBNonExistentConstraint,
        codes=("42704",),
        text=r'\Aconstraint "(?P<constraint>.*)" of relation "(?P<table>.*)" does not exist',
        source="PostgreSQL source: commands/tablecmds.c, ATExecDropConstraint",
    ),
    Rule(
        DBNonExistentConstraint,
        codes=("42704",),
        text=r'\Aindex "(?P<constraint>.*)" does not exist',
        means="the index does not exist",
        source="PostgreSQL source: commands/tablecmds.c, DropErrorMsgNonExistent",
    ),
    Rule(
        DBError,
        codes=("42P05", "26000"),
        means="a prepared statement is there twice, or no more: a proxy gave this session another connection",
        source="PgBouncer FAQ: prepared statements with transaction pooling",
    ),
    Rule(
        DBError,
        codes=("42", "3F000"),
        quotable=True,
        means="the statement is wrong, or names what does not exist",
        source=_CODES,
    ),
    Rule(
        DBNotSupportedError,
        codes=("0A000",),
        text=r"\Acached plan must not change result type",
        transient=True,
        means="a table changed under a prepared statement",
        source="PostgreSQL source: utils/cache/plancache.c, RevalidateCachedQuery",
    ),
    Rule(DBNotSupportedError, codes=("0A",), quotable=True, source=_CODES),
    # -- the server
    Rule(DBError, codes=("53100",), means="the server's disk is full", source=_CODES),
    Rule(DBError, codes=("53", "54"), means="the statement needs more than the server has or allows", source=_CODES),
    Rule(DBError, codes=("55",), means="an object is in use, or not in the state that is needed", source=_CODES),
    Rule(DBError, codes=("57",), means="an operator's action stopped the statement", source=_CODES),
    Rule(DBError, codes=("58", "F0", "XX"), means="the server met an error of its own", source=_CODES),
    Rule(DBError, codes=("HV",), means="a foreign server reported an error", source=_CODES),
    Rule(DBError, codes=("P0",), means="code in the database raised an error", source=_CODES),
    # -- no SQLSTATE: psycopg and psycopg2 while connecting, and after the connection broke
    Rule(
        DBNonExistentDatabase,
        classes=("OperationalError",),
        text=r'\Adatabase "(?P<database>.*)" does not exist\Z',
        source=_LIBPQ,
    ),
    Rule(
        DBTooManyConnections,
        classes=("OperationalError",),
        text=r"\A(?:sorry, too many clients already|too many connections for |remaining connection slots are reserved)",
        source=_LIBPQ,
    ),
    Rule(
        DBAccessDenied,
        classes=("OperationalError",),
        text=r"\A(?:\S+ authentication failed for user |no pg_hba\.conf entry |pg_hba\.conf rejects |role \".*\" "
        r"(?:does not exist|is not permitted to log in)|permission denied for database )",
        extract=_USER,
        source=_LIBPQ,
    ),
    Rule(
        DBConnectionError,
        classes=("OperationalError",),
        disconnect=True,
        source="libpq and psycopg give no SQLSTATE when there is no connection, or no more",
    ),
    Rule(
        DBConnectionError,
        classes=("InterfaceError",),
        text=r"connection (?:is |was |already |has been )?closed",
        disconnect=True,
        source="psycopg2 and asyncpg, on the use of a connection that is closed",
    ),
    Rule(
        DBQueryCanceled,
        classes=("TimeoutError",),
        means="the driver's own timeout ended the wait for the server",
        source="asyncpg documentation: command_timeout",
    ),
    Rule(
        DBConnectionError,
        classes=("OSError",),
        disconnect=True,
        means="the network refused or lost the connection",
        source="asyncpg lets the errors of the socket through",
    ),
)


def signature(error: BaseException) -> Signature:
    """Read an exception of psycopg, psycopg2 or asyncpg, bare or in SQLAlchemy's wrapping."""
    chain = layers(error)
    driver = chain[-1]
    sqlstate = next((found for layer in chain if (found := _sqlstate(layer))), None)
    # psycopg and psycopg2 collect the server's fields in `diag`; asyncpg sets them on the exception itself.
    diagnosis = getattr(driver, "diag", None) or driver
    prefix = "message_" if hasattr(diagnosis, "message_primary") else ""
    message = _text(diagnosis, f"{prefix}primary" if prefix else "message")
    details: dict[str, Any] = {
        "sqlstate": sqlstate,
        "table": _text(diagnosis, "table_name") or None,
        "constraint": _text(diagnosis, "constraint_name") or None,
    }
    if column := _text(diagnosis, "column_name"):
        details["columns"] = [column]
    return Signature(
        (sqlstate, sqlstate[:2]) if sqlstate else (),
        message or _refusal(driver),
        {name: value for name, value in details.items() if value},
        tuple(name for layer in chain for name in class_names(layer)),
        _text(diagnosis, "message_detail" if prefix else "detail"),
        # For psycopg2 SQLAlchemy also looks for a disconnect in the text, which a trigger may have written.
        session_lives=type(driver).__module__.startswith("psycopg2")
        and _text(diagnosis, "severity_nonlocalized") == "ERROR",
        # asyncpg gives SQLSTATEs to what it refuses itself, but no severity.
        unsent=sqlstate is not None and not prefix and not _text(driver, "severity"),
    )


def _sqlstate(error: BaseException) -> str | None:
    for name in ("sqlstate", "pgcode"):
        code = getattr(error, name, None)
        if isinstance(code, str) and len(code) == 5:
            return code
    return None


def _text(source: object, name: str) -> str:
    value = getattr(source, name, None)
    return value if isinstance(value, str) else ""


def _refusal(error: BaseException) -> str:
    """Return what the server said when it refused the connection, without the address that libpq puts before it."""
    text = str(error) if isinstance(error, OSError) else str(error.args[0]) if error.args else ""
    return re.split(r"\bFATAL: +", text, maxsplit=1)[-1].strip().split("\n", 1)[0]


def _refine(rule: Rule, fields: dict[str, Any], signature: Signature) -> dict[str, Any]:
    if not issubclass(rule.raises, DBDuplicateEntry | DBReferenceError | DBExclusionError):
        return fields
    key = read_key(signature.remark)
    if key is None:
        return fields
    fields = {**fields, "columns": list(key.columns)}
    if issubclass(rule.raises, DBDuplicateEntry):
        fields["value"] = key.value
    elif issubclass(rule.raises, DBReferenceError):
        fields["key"] = ", ".join(key.columns)
        fields["key_table"] = key.table
        if key.table == fields.get("table"):
            # A row was removed that others point to. The server names their table in `table_name` as well; the
            # table that was written stands first in its text.
            written = re.search(r'["«»„“](.+?)["«»”“]', signature.message)
            fields["table"] = written[1] if written else None
    return fields


RULES = RuleSet(
    "postgresql",
    _RULES,
    signature=signature,
    refine=_refine,
    clues=clues,
    failed_statement=Outcome.ABORTED,
    failed_commit=Outcome.ROLLED_BACK,
)
