"""The commit fence on SQLite: by the token table. A reply is never lost here; a process that is killed loses it all."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection, Dialect

from dbkit.backends.fencing import Verdict
from dbkit.tokens import COMMITTED, FENCED, FIRST_ROWS, PURGED, TABLE

_FENCE = text(f"INSERT OR IGNORE INTO {TABLE} (token, outcome) VALUES (:token, '{FENCED}')")
_OUTCOME = text(f"SELECT outcome FROM {TABLE} WHERE token = :token")
_PURGED = text(f"SELECT token > :token FROM ({FIRST_ROWS}) AS first_rows WHERE outcome = '{PURGED}' LIMIT 1")


class SQLiteFence:
    """The fence by the token table."""

    def literal(self, token: uuid.UUID) -> str:
        return f"x'{token.hex}'"

    def insert(self, token: uuid.UUID) -> str:
        return f"INSERT INTO {TABLE} (token, outcome) VALUES ({self.literal(token)}, '{COMMITTED}')"

    def commit_with(self, dialect: Dialect, insert: str) -> str | None:
        return None  # it takes one statement at a time, and no network is between

    def send(self, connection: Any, driver: str, text: str) -> None:
        cursor = connection.cursor()
        try:
            cursor.execute(text)
        finally:
            cursor.close()

    def fence(self, connection: Connection, token: uuid.UUID, wait_s: float) -> Verdict:
        name = {"token": token.bytes}
        connection.execute(_FENCE, name)
        if connection.scalar(_PURGED, name):
            return Verdict.PURGED
        return Verdict.COMMITTED if connection.scalar(_OUTCOME, name) == COMMITTED else Verdict.ROLLED_BACK

    def end_original(self, connection: Connection, token: uuid.UUID) -> None:
        """The writers' line and the busy timeout have waited for it already."""
