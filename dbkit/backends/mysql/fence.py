"""The commit fence on MySQL, MariaDB and Galera: by the token table."""

from __future__ import annotations

import uuid
from typing import Any, cast

from sqlalchemy import text
from sqlalchemy.engine import Connection, Dialect

from dbkit.backends.fencing import Verdict
from dbkit.tokens import COMMITTED, FENCED, FIRST_ROWS, PURGED, TABLE

_RUNNING = text(
    "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND LOCATE(:original, info) > 0"
)


class MySQLFence:
    """The fence by the token table."""

    def literal(self, token: uuid.UUID) -> str:
        return f"x'{token.hex}'"  # not every driver passes bytes on in a text's parameters

    def insert(self, token: uuid.UUID) -> str:
        return f"INSERT INTO {TABLE} (token, outcome) VALUES ({self.literal(token)}, '{COMMITTED}')"

    def commit_with(self, dialect: Dialect, insert: str) -> str | None:
        # A block of statements is one statement to the protocol, so no driver has to be allowed to send several.
        # MySQL has it inside stored programs only. Source: MariaDB documentation, "Using Compound Statements Outside
        # of Stored Programs".
        return f"BEGIN NOT ATOMIC {insert}; COMMIT; END" if is_mariadb(dialect) else None

    def send(self, connection: Any, driver: str, text: str) -> None:
        cursor = connection.cursor()
        try:
            cursor.execute(text)
        finally:
            cursor.close()

    def fence(self, connection: Connection, token: uuid.UUID, wait_s: float) -> Verdict:
        name = self.literal(token)
        # not INSERT IGNORE, whose warning some drivers print
        _insert_in_time(
            connection,
            f"INSERT INTO {TABLE} (token, outcome) VALUES ({name}, '{FENCED}') "
            "ON DUPLICATE KEY UPDATE outcome = outcome",
            max(1, round(wait_s)),  # InnoDB counts lock waits in whole seconds
        )
        # only now: at REPEATABLE READ a SELECT before it would fix what is seen after it
        purged = text(f"SELECT token > {name} FROM ({FIRST_ROWS}) AS first_rows WHERE outcome = '{PURGED}' LIMIT 1")
        if connection.scalar(purged):
            return Verdict.PURGED
        outcome = connection.scalar(text(f"SELECT outcome FROM {TABLE} WHERE token = {name}"))
        return Verdict.COMMITTED if outcome in (COMMITTED, COMMITTED.encode()) else Verdict.ROLLED_BACK

    def end_original(self, connection: Connection, token: uuid.UUID) -> None:
        for number in connection.scalars(_RUNNING, {"original": self.insert(token)}).all():
            connection.execute(text(f"KILL {int(number)}"))


def is_mariadb(dialect: Dialect) -> bool:
    """Return whether the server is MariaDB, which SQLAlchemy knows after the first connection."""
    return bool(cast(Any, dialect).is_mariadb)


def _insert_in_time(connection: Connection, insert: str, seconds: int) -> None:
    if is_mariadb(connection.dialect):
        connection.execute(text(f"SET STATEMENT innodb_lock_wait_timeout = {seconds} FOR {insert}"))
        return
    connection.execute(text(f"SET SESSION innodb_lock_wait_timeout = {seconds}"))
    try:
        connection.execute(text(insert))
    finally:
        if not connection.invalidated:
            connection.execute(text("SET SESSION innodb_lock_wait_timeout = @@GLOBAL.innodb_lock_wait_timeout"))
