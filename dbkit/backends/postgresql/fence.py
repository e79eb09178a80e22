"""The commit fence on PostgreSQL: by the token table, or by what the server remembers of its transactions."""

from __future__ import annotations

import re
import uuid
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.util import await_only

from dbkit.backends.fencing import Verdict
from dbkit.exceptions import InvalidToken
from dbkit.tokens import COMMITTED, FENCED, FIRST_ROWS, PURGED, TABLE

_FENCE = text(
    f"INSERT INTO {TABLE} (token, outcome) VALUES (CAST(:token AS uuid), '{FENCED}') "
    "ON CONFLICT (token) DO NOTHING RETURNING 1"
)
_OUTCOME = text(f"SELECT outcome FROM {TABLE} WHERE token = CAST(:token AS uuid)")
_PURGED = text(
    f"SELECT token > CAST(:token AS uuid) FROM ({FIRST_ROWS}) AS first_rows WHERE outcome = '{PURGED}' LIMIT 1"
)
_WAIT = text("SELECT set_config('lock_timeout', :wait, true)")
# The statement that a session ran last stays readable while its transaction is idle, and it names the token.
_END = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE pid <> pg_backend_pid() AND backend_xid IS NOT NULL AND position(CAST(:insert AS text) in query) > 0"
)


class PostgreSQLFence:
    """The fence by the token table."""

    def literal(self, token: uuid.UUID) -> str:
        return f"'{token}'"

    def insert(self, token: uuid.UUID) -> str:
        return f"INSERT INTO {TABLE} (token, outcome) VALUES ({self.literal(token)}, '{COMMITTED}')"

    def commit_with(self, dialect: Dialect, insert: str) -> str | None:
        # psycopg2 counts its transactions by the calls of commit(), asyncpg's adapter by an object of its own: both
        # would think that the transaction is open still
        return f"{insert}; COMMIT" if dialect.driver.startswith("psycopg") and dialect.driver != "psycopg2" else None

    def send(self, connection: Any, driver: str, text: str) -> None:
        if driver == "asyncpg":  # its adapter would prepare the statement first, which is a trip more
            try:
                await_only(connection.driver_connection.execute(text))
            except Exception as error:
                connection._handle_exception(error)  # makes of it what it raises itself, so that a loss is seen as one
            return
        cursor = connection.cursor()
        try:
            cursor.execute(text)
        finally:
            cursor.close()

    def fence(self, connection: Connection, token: uuid.UUID, wait_s: float) -> Verdict:
        name = {"token": str(token)}
        connection.execute(_WAIT, {"wait": f"{max(1, int(wait_s * 1000))}ms"})
        is_new = connection.scalar(_FENCE, name)
        if connection.scalar(_PURGED, name):
            return Verdict.PURGED
        if is_new:
            return Verdict.ROLLED_BACK
        return Verdict.COMMITTED if connection.scalar(_OUTCOME, name) == COMMITTED else Verdict.ROLLED_BACK

    def end_original(self, connection: Connection, token: uuid.UUID) -> None:
        connection.execute(_END, {"insert": self.insert(token)})


# A server that was made from a copy of another one has its system's identifier, and a timeline of its own.
_IDENTIFY = (
    "SELECT pg_current_xact_id_if_assigned()::text, system_identifier::text, "
    "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) FROM pg_control_system()"
)
_SAME_SERVER = text(
    "SELECT system_identifier::text = :system AND substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) = :timeline "
    "FROM pg_control_system()"
)
_STATUS = text("SELECT pg_xact_status(CAST(CAST(:number AS text) AS xid8))")
_END_NUMBER = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
    "AND CAST(CAST(backend_xid AS text) AS bigint) = CAST(CAST(:number AS text) AS numeric) % 4294967296"
)
_TOKEN = re.compile(r"xact:(?P<system>\d+):(?P<timeline>[0-9A-F]{8}):(?P<number>\d+)")
_VERDICTS = {
    "committed": Verdict.COMMITTED,
    "aborted": Verdict.ROLLED_BACK,
    "in progress": Verdict.OPEN,
    None: Verdict.PURGED,
}


class PostgreSQLStatusFence:
    """The fence by ``pg_xact_status``: sound as long as the server is the same and has not failed over.

    A number that was lost in a failover is given to another transaction later, and its status would be that one's. So
    the token says which server it was, and on which timeline, and for any other one the answer is refused.
    Source: PostgreSQL documentation, "Transaction ID and Snapshot Information Functions".
    """

    def identify(self, connection: Any, driver: str) -> str | None:
        cursor = connection.cursor()
        try:
            cursor.execute(_IDENTIFY)
            number, system, timeline = cursor.fetchone()
        finally:
            cursor.close()
        return None if number is None else f"xact:{system}:{timeline}:{number}"

    def verdict(self, connection: Connection, token: str) -> Verdict:
        known = _parts(token)
        if not connection.scalar(_SAME_SERVER, {"system": known["system"], "timeline": known["timeline"]}):
            return Verdict.PURGED
        return _VERDICTS[connection.scalar(_STATUS, {"number": known["number"]})]

    def end_original(self, connection: Connection, token: str) -> None:
        connection.execute(_END_NUMBER, {"number": _parts(token)["number"]})


def _parts(token: str) -> dict[str, str]:
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise InvalidToken(f"{token!r} is no number of a transaction; give the token of a CommitUnknown as it was told")
    return found.groupdict()
