"""What savepoints can hold on each database product, and how a block on them is made a reader's."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from dbkit.backends.base import Backend

Run = Callable[..., list[Any]]
"""Sends a statement on the test's connection and returns the rows."""

Check = Callable[[Run], None]


def _looks_for_nothing(run: Run) -> Check | None:
    return None


@dataclass(frozen=True, slots=True)
class Product:
    """How one product behaves inside a transaction that a test must not leave.

    :param opening: what opens the transaction, where the driver does not do so by itself.
    :param reading: makes the open savepoint a reader's, until one goes back to it or sends ``writing``.
    :param writing: makes it a writer's again, where going back does not.
    :param watches_readers: the server cannot be told to refuse writes here, so statements are looked at.
    :param ends: finds a statement that ends the transaction by itself; its text then stands in group 1.
    :param lingers: finds a statement that leaves something in the session, which no rollback takes away.
    :param find_check: looks for constraints that wait for COMMIT; returns what checks them, raising as COMMIT would.
    """

    opening: tuple[str, ...] = ()
    reading: tuple[str, ...] = ()
    writing: tuple[str, ...] = ()
    watches_readers: bool = False
    ends: re.Pattern[str] | None = None
    lingers: re.Pattern[str] | None = None
    find_check: Callable[[Run], Check | None] = _looks_for_nothing


_COMMENTS = r"\s*(?:--[^\n]*\n\s*|#[^\n]*\n\s*|/\*(?!!|M!).*?\*/\s*)*"


# -- PostgreSQL -------------------------------------------------------------------------------------------------------

_DEFERRABLE = """
    SELECT c.condeferred, quote_ident(n.nspname) || '.' || quote_ident(c.conname)
    FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace
    WHERE c.condeferrable ORDER BY 2
"""


# What SET and LISTEN do is rolled back; these are not. Source: PostgreSQL documentation, "PREPARE", "Advisory Locks".
_LINGERS_ON_POSTGRESQL = re.compile(
    rf"\A{_COMMENTS}(?:PREPARE|LOAD)\b|\bpg_(?:try_)?advisory_lock(?:_shared)?\s*\(", re.IGNORECASE | re.DOTALL
)


def _find_deferrable(run: Run) -> Check | None:
    """Checking makes the constraints immediate for the rest of the transaction; they are deferred again after it."""
    found = run(_DEFERRABLE)
    if not found:
        return None
    deferred = ", ".join(dict.fromkeys(name for is_deferred, name in found if is_deferred))

    def check(run: Run) -> None:
        run("SET CONSTRAINTS ALL IMMEDIATE")
        if deferred:
            run(f"SET CONSTRAINTS {deferred} DEFERRED")

    return check


# -- SQLite -----------------------------------------------------------------------------------------------------------


# A pragma that asks about a table or an index changes nothing.
_LINGERS_ON_SQLITE = re.compile(
    rf"\A{_COMMENTS}(?:(?:ATTACH|DETACH)\b"
    r"|PRAGMA\s+(?:\w+\.)?(?!table_|index_|foreign_key_|\w+_check\b|\w+_list\b)\w+\s*[=(])",
    re.IGNORECASE | re.DOTALL,
)


def _find_deferred_keys(run: Run) -> Check | None:
    """SQLite checks deferred keys at COMMIT only, and tells which rows break them when it is asked."""
    sql = "SELECT count(*) FROM sqlite_master WHERE upper(sql) LIKE '%INITIALLY DEFERRED%'"
    if not run(sql)[0][0] or not run("PRAGMA foreign_keys")[0][0]:
        return None

    def check(run: Run) -> None:
        if run("PRAGMA foreign_key_check"):
            error = sqlite3.IntegrityError("FOREIGN KEY constraint failed")
            error.sqlite_errorcode = sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY
            error.sqlite_errorname = "SQLITE_CONSTRAINT_FOREIGNKEY"
            raise error

    return check


# -- MySQL and MariaDB ------------------------------------------------------------------------------------------------

# Source: "Statements That Cause an Implicit Commit" of both manuals. Temporary tables do not.
_IMPLICIT_COMMIT = re.compile(
    rf"{_COMMENTS}"
    r"((?:ALTER|ANALYZE|CACHE\s+INDEX|CHECK|FLUSH|GRANT|INSTALL|LOAD\s+INDEX|LOCK\s+TABLES?"
    r"|OPTIMIZE|RENAME|REPAIR|RESET"
    r"|REVOKE|SET\s+PASSWORD|TRUNCATE|UNINSTALL|UNLOCK\s+TABLES?"
    r"|(?:CHANGE|START|STOP)\s+(?:ALL\s+)?(?:MASTER|REPLICAS?|SLAVES?)"
    r"|(?:CREATE|DROP)(?!(?:\s+OR\s+REPLACE)?\s+TEMPORARY\b))\b(?:\s+(?:OR\s+REPLACE\s+)?[A-Z]+)?)",
    re.IGNORECASE | re.DOTALL,
)

# Variables, temporary tables, prepared statements, locks by name, the current database. A procedure may do any of it.
_LINGERS_ON_MYSQL = re.compile(
    rf"\A{_COMMENTS}(?:SET|USE|PREPARE|HANDLER|CALL|CREATE\s+(?:OR\s+REPLACE\s+)?TEMPORARY)\b"
    r"|\bGET_LOCK\s*\(|:=|\bINTO\s+@",
    re.IGNORECASE | re.DOTALL,
)

PRODUCTS: Mapping[str, Product] = MappingProxyType(
    {
        "postgresql": Product(
            reading=("SET LOCAL transaction_read_only = on",),
            lingers=_LINGERS_ON_POSTGRESQL,
            find_check=_find_deferrable,
        ),
        "sqlite": Product(
            opening=("BEGIN IMMEDIATE",),
            reading=("PRAGMA query_only = ON",),
            writing=("PRAGMA query_only = OFF",),
            lingers=_LINGERS_ON_SQLITE,
            find_check=_find_deferred_keys,
        ),
        "mysql": Product(
            opening=("START TRANSACTION",), watches_readers=True, ends=_IMPLICIT_COMMIT, lingers=_LINGERS_ON_MYSQL
        ),
    }
)

#: For a backend that says nothing: any driver that begins by itself, any server with savepoints.
_ANY = Product(watches_readers=True)


def product_of(backend: Backend) -> Product:
    """Return what is known of a backend's product; a backend of one's own may say it as its ``isolation``."""
    known = PRODUCTS.get(backend.name, _ANY)
    own = getattr(backend, "isolation", None)
    return own if isinstance(own, Product) else known
