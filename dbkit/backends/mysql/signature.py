"""How the errors of the drivers for MySQL and MariaDB are read, and what the names in their texts say."""

from __future__ import annotations

import re
from typing import Any

from dbkit.backends.rules import Rule, Signature, class_names, layers
from dbkit.exceptions import DBConstraintError, DBDuplicateEntry, DBReferenceError

# Errors of foreign keys in which it was the table pointed to that was written.
_PARENT_WRITTEN = (1217, 1451, 1701, 1834)
# What the server's text says about an object, before refine() turns it into fields of the error.
_RAW_FIELDS = ("column", "column_name", "key_there")


def signature(error: BaseException) -> Signature:
    """Read an exception of any driver for MySQL or MariaDB, bare or in SQLAlchemy's wrapping."""
    chain = layers(error)
    driver = chain[-1]
    number = None if isinstance(driver, OSError) else _number(driver)
    sqlstate = getattr(driver, "sqlstate", None)
    details: dict[str, Any] = {}
    if number:
        details["errno"] = number
    if isinstance(sqlstate, str) and len(sqlstate) == 5:
        details["sqlstate"] = sqlstate
    return Signature(
        () if number is None else (number,),
        _message(driver),
        details,
        tuple(name for layer in chain for name in class_names(layer)),
    )


def _number(error: BaseException) -> int | None:
    """Return the error number: ``args[0]``, or ``errno`` in the connectors of MariaDB and of Oracle."""
    for candidate in (error.args[0] if error.args else None, getattr(error, "errno", None)):
        if isinstance(candidate, int) and not isinstance(candidate, bool) and candidate >= 0:
            return int(candidate)
    return None


def _message(error: BaseException) -> str:
    for candidate in (error.args[1] if len(error.args) > 1 else None, getattr(error, "msg", None), *error.args[:1]):
        if isinstance(candidate, str):
            return candidate
    return ""


def refine(rule: Rule, fields: dict[str, Any], signature: Signature) -> dict[str, Any]:
    """Complete the fields: names without quotes and schema, columns of keys where the name proves them."""
    known = {name: value for name, value in fields.items() if name not in _RAW_FIELDS}
    for name in ("table", "constraint", "key_table"):
        if isinstance(known.get(name), str):
            known[name] = _plain(known[name])
    column = fields.get("column") or fields.get("column_name")
    if column:
        known["columns"] = [_plain(column)]
    if issubclass(rule.raises, DBConstraintError):
        _refine_check(known)
    if issubclass(rule.raises, DBDuplicateEntry):
        _refine_duplicate(known)
    if issubclass(rule.raises, DBReferenceError) and "key" in known:
        _refine_reference(known, fields.get("key_there") or "", signature)
    return known


def _refine_duplicate(known: dict[str, Any]) -> None:
    constraint = known.get("constraint", "")
    table, dot, key = constraint.partition(".")
    if dot and "." not in key:  # MySQL from 8.0.19 on writes table.key, MariaDB the key alone
        known["table"], known["constraint"] = table, key
    columns = columns_of_named_key(known.get("constraint", ""), known.get("table"))
    if columns:
        known["columns"] = columns


def _refine_check(known: dict[str, Any]) -> None:
    table, dot, column = known.get("constraint", "").partition(".")
    if dot and table == known.get("table"):  # MariaDB names a CHECK without a name of its own after its column
        known["constraint"], known["columns"] = column, [column]


def _refine_reference(known: dict[str, Any], there: str, signature: Signature) -> None:
    here = _names(known["key"])
    if signature.codes[0] in _PARENT_WRITTEN:
        # A row was removed that others point to: the text names their table first, but it is the other end that was
        # written. The error says the same of every product: `table` was written, `key_table` is at the other end.
        known["table"], known["key_table"] = known.get("key_table"), known.get("table")
        here = _names(there)
    known["columns"] = here
    known["key"] = ", ".join(here)


_UNIQ_PIECE = re.compile(r"[A-Za-z_](?:\w*[A-Za-z_])?")


def columns_of_named_key(name: str, table: str | None) -> list[str]:
    """Return the columns that a key named ``uniq_<table>0<column>0<column>`` tells, or none where that is a guess.

    The zeros that part the names cannot be told from zeros inside them: ``uniq_t0col_100b`` may mean ``col_10`` and
    ``b``, or ``col_100b``. So the name is read only if nothing that stands before a parting zero ends with a digit and
    every piece begins like a name. Otherwise the columns are left to who knows the schema.
    """
    prefix = f"uniq_{table}0" if table else "uniq_"
    if not name.startswith(prefix):
        return []
    pieces = name[len(prefix) :].split("0")
    whole = all(_UNIQ_PIECE.fullmatch(piece) for piece in pieces[:-1])
    if not whole or not re.fullmatch(r"[A-Za-z_]\w*", pieces[-1]):
        return []
    return pieces if table else pieces[1:]


def _names(text: str) -> list[str]:
    return [_plain(name) for name in re.findall(r"`(?:[^`]|``)*`|\"(?:[^\"]|\"\")*\"|[^,\s]+", text)]


def _plain(name: str) -> str:
    """Return a name without its quotes."""
    if len(name) > 1 and name[0] == name[-1] and name[0] in '`"':
        return name[1:-1].replace(name[0] * 2, name[0])
    return name
