"""How each product is brought to fail in a chosen way: as a rule by the server itself, which is asked to.

What the driver makes of it is a real error then, and the transaction stands as after a real one.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dbkit.backends.rules import Rule, RuleSet
from dbkit.exceptions import (
    DBConnectionError,
    DBDeadlock,
    DBDuplicateEntry,
    DBError,
    DBLockTimeout,
    DBNonExistentConstraint,
    DBNonExistentTable,
    DBNotNullError,
    DBQueryCanceled,
    DBReferenceError,
    DBSerializationFailure,
    DBTooManyConnections,
    Outcome,
    TransactionDoomed,
    UsageError,
)


@dataclass(frozen=True, slots=True)
class Original:
    """What the driver's exception is to say.

    :param rule: the rule by which it will be recognised.
    :param code: SQLSTATE, MySQL's number or SQLite's name.
    """

    rule: Rule
    code: int | str
    message: str
    fields: Mapping[str, str]


class Product(Protocol):
    """How one product is brought to fail."""

    needs_connection: bool
    """An error while connecting comes from a server that has been reached."""
    keeps_transaction: bool
    """What is raised by order leaves the transaction open where a real error would have ended it."""

    def provoke(self, connection: Any, original: Original) -> None:
        """Raise the error, on a DBAPI connection."""

    def lose(self, connection: Any) -> None:
        """End a DBAPI connection from the other side, then raise what the driver says of that."""


class _PostgreSQL:
    needs_connection = True
    keeps_transaction = False

    def provoke(self, connection: Any, original: Original) -> None:
        given = {"ERRCODE": str(original.code), "MESSAGE": original.message}
        for option, field in (("CONSTRAINT", "constraint"), ("TABLE", "table"), ("COLUMN", "column")):
            if field in original.fields:
                given[option] = original.fields[field]
        if "column" in original.fields and "value" in original.fields:
            given["DETAIL"] = f"Key ({original.fields['column']})=({original.fields['value']}) already exists."
        options = ", ".join(f"{option} = {_quoted(value)}" for option, value in given.items())
        _execute(connection, f"DO $dbkit$ BEGIN RAISE EXCEPTION USING {options}; END $dbkit$")

    def lose(self, connection: Any) -> None:
        _execute(connection, "SELECT pg_terminate_backend(pg_backend_pid())")


class _MySQL:
    needs_connection = True
    keeps_transaction = True

    def provoke(self, connection: Any, original: Original) -> None:
        state = "40001" if original.code == 1213 else "HY000"
        text = _quoted(original.message[:128])
        _execute(connection, f"SIGNAL SQLSTATE '{state}' SET MYSQL_ERRNO = {original.code}, MESSAGE_TEXT = {text}")

    def lose(self, connection: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("SELECT CONNECTION_ID()")
        number = cursor.fetchone()[0]
        try:
            cursor.execute(f"KILL {number}")
        except Exception as error:  # the reply says that KILL has met its own statement; the loss itself comes next
            if "1317" not in str(error):
                raise
        cursor.execute("SELECT 1")


class _SQLite:
    needs_connection = False
    keeps_transaction = True

    def provoke(self, connection: Any, original: Original) -> None:
        name = str(original.code)
        cls: type[sqlite3.Error] = sqlite3.OperationalError
        if name.startswith("SQLITE_CONSTRAINT") or name == "SQLITE_MISMATCH":
            cls = sqlite3.IntegrityError
        elif name in ("SQLITE_CORRUPT", "SQLITE_NOTADB"):
            cls = sqlite3.DatabaseError
        error = cls(original.message)
        error.sqlite_errorname = name
        error.sqlite_errorcode = _NEWER_CODES.get(name) or getattr(sqlite3, name)
        raise error

    def lose(self, connection: Any) -> None:
        if connection is None:
            self.provoke(None, Original(_ANY, "SQLITE_PROTOCOL", "locking protocol", {}))
        connection.close()
        _execute(connection, "SELECT 1")


# Python 3.11 has no names for these; SQLite has them since 3.37.
_NEWER_CODES = {"SQLITE_CONSTRAINT_DATATYPE": 3091}
_ANY = Rule(DBError, codes=("",))
_PRODUCTS: Mapping[str, Product] = {"postgresql": _PostgreSQL(), "mysql": _MySQL(), "sqlite": _SQLite()}

# The servers' words, for the errors whose text says something that the error is to say.
_MESSAGES: Mapping[str, Mapping[type[DBError], str]] = {
    "postgresql": {
        DBDeadlock: "deadlock detected",
        DBDuplicateEntry: 'duplicate key value violates unique constraint "{constraint}"',
        DBLockTimeout: "canceling statement due to lock timeout",
        DBNonExistentTable: 'relation "{table}" does not exist',
        DBNonExistentConstraint: 'constraint "{constraint}" of relation "{table}" does not exist',
        DBNotNullError: 'null value in column "{column}" of relation "{table}" violates not-null constraint',
        DBQueryCanceled: "canceling statement due to statement timeout",
        DBReferenceError: 'insert or update on table "{table}" violates foreign key constraint "{constraint}"',
        DBSerializationFailure: "could not serialize access due to concurrent update",
        DBTooManyConnections: "sorry, too many clients already",
    },
    "mysql": {
        DBDeadlock: "Deadlock found when trying to get lock; try restarting transaction",
        DBDuplicateEntry: "Duplicate entry '{value}' for key '{constraint}'",
        DBLockTimeout: "Lock wait timeout exceeded; try restarting transaction",
        DBNonExistentTable: "Table '{table}' doesn't exist",
        DBNotNullError: "Column '{column}' cannot be null",
        DBTooManyConnections: "Too many connections",
        TransactionDoomed: "SAVEPOINT a_savepoint does not exist",
    },
    "sqlite": {
        DBDuplicateEntry: "UNIQUE constraint failed: {table}.{column}",
        DBLockTimeout: "database is locked",
        DBNonExistentTable: "no such table: {table}",
        DBNonExistentConstraint: "no such index: {constraint}",
        DBNotNullError: "NOT NULL constraint failed: {table}.{column}",
        DBReferenceError: "FOREIGN KEY constraint failed",
        DBSerializationFailure: "database is locked",
        TransactionDoomed: "no such savepoint: a_savepoint",
    },
}
_UNNAMED = {"constraint": "a_constraint", "table": "a_table", "column": "a_column", "value": "a value"}


def product_named(name: str) -> Product:
    """Return the product of a backend.

    :raises UsageError: nobody has said how it is brought to fail.
    """
    try:
        return _PRODUCTS[name]
    except KeyError:
        raise UsageError(f"fail_next does not know how {name} fails; it knows {', '.join(_PRODUCTS)}") from None


def original_of(rules: RuleSet, wanted: DBError | type[DBError], at_commit: bool = False) -> Original:
    """Return what a product's driver would say for an error to be of this class.

    :param wanted: an instance also says the code, the message's objects, or both.
    :param at_commit: it is COMMIT that fails; of several errors, one that says what became of the transaction.
    :raises UsageError: the product has no such error.
    """
    cls = wanted if isinstance(wanted, type) else type(wanted)
    code = None if isinstance(wanted, type) else wanted.code
    fields = {} if isinstance(wanted, type) else _fields_of(wanted)
    texts = _MESSAGES[rules.name]
    outcome_of = rules.commit_outcome_of if at_commit else rules.outcome_of
    for rule in sorted(_candidates(rules, cls), key=lambda rule: outcome_of(rule) is Outcome.UNKNOWN):
        if code is not None and code not in rule.codes and str(code)[:2] not in rule.codes:
            continue
        template = next(
            (texts[each] for each in (rule.raises, cls) if each in texts), rule.means or rule.raises.summary
        )
        used = code if code is not None else _whole(rule.codes[0], rules.name)
        message = template.format(**{**_UNNAMED, **fields})
        if rule.text and not re.search(rule.text, message, re.DOTALL):
            continue
        return Original(rule, used, message, fields)
    with_code = "" if code is None else f" with the code {code}"
    raised = sorted({rule.raises.__name__ for rule in rules.rules})
    raise UsageError(f"{rules.name} has no {cls.__name__}{with_code} that could be raised; it has {', '.join(raised)}")


def _candidates(rules: RuleSet, cls: type[DBError]) -> list[Rule]:
    """Return the rules with codes that raise the class, or else, in the second place, classes derived from it."""
    coded = [rule for rule in rules.rules if rule.codes and not rule.classes]
    exact = [rule for rule in coded if rule.raises is cls]
    return exact + [rule for rule in coded if rule.raises is not cls and issubclass(rule.raises, cls)]


def _whole(code: int | str, product: str) -> int | str:
    return f"{code}000" if product == "postgresql" and isinstance(code, str) and len(code) == 2 else code


def _fields_of(wanted: DBError) -> dict[str, str]:
    found = {"constraint": wanted.constraint, "table": wanted.table, "value": getattr(wanted, "value", None)}
    found["column"] = ", ".join(wanted.columns) or None
    return {name: value for name, value in found.items() if value is not None}


def is_loss(wanted: type[DBError]) -> bool:
    """Return whether it is the error of a connection that was there and is gone."""
    return issubclass(wanted, DBConnectionError) and not issubclass(wanted, DBTooManyConnections)


def _execute(connection: Any, sql: str) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute(sql)
    finally:
        cursor.close()


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''").replace("\\", "\\\\") + "'"
