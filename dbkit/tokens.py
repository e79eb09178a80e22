"""The token table: one row for each transaction that must be decided when the reply to its COMMIT is lost.

The row is written by the transaction itself, last of all, so that it is stored if and only if the transaction is.
Whoever asks later inserts the same token: the unique key lets one of the two in, and so decides for good.

Tokens are UUIDs of version 7: they begin with the time of their making, so that the newest lie together in the key and
old ones can be removed as one range.
"""

from __future__ import annotations

import os
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

from dbkit.exceptions import InvalidToken

__all__ = ["create_token_table", "drop_token_table", "token_table"]

TABLE = "dbkit_txn"

COMMITTED = "C"
"""The outcome in the row of a transaction that is stored."""
FENCED = "F"
"""The outcome in the row that keeps a transaction from ever being stored."""
PURGED = "P"
"""The outcome in the one row that says up to which token rows were removed."""

FIRST_ROWS = f"SELECT token, outcome FROM {TABLE} ORDER BY token LIMIT 16"
"""The rows among which the one of :data:`PURGED` stands: all that came before it were removed, but for latecomers."""

_BINARY = 16


def token_type() -> sa.types.TypeEngine[Any]:
    """Return the type of a token's column: 16 bytes, on PostgreSQL its ``uuid``."""
    return (
        sa.LargeBinary(_BINARY)
        .with_variant(postgresql.UUID(as_uuid=True), "postgresql")
        .with_variant(mysql.BINARY(_BINARY), "mysql", "mariadb")
    )


def token_table(metadata: sa.MetaData) -> sa.Table:
    """Return the token table as part of an application's own metadata, so that its migrations know of it.

    .. versionadded:: 0.1
    """
    return sa.Table(
        TABLE,
        metadata,
        sa.Column("token", token_type(), primary_key=True),
        sa.Column("outcome", sa.CHAR(1), nullable=False),
        mysql_engine="InnoDB",
        mariadb_engine="InnoDB",
        sqlite_with_rowid=False,
    )


def create_token_table(connection: sa.Connection) -> None:
    """Create the token table if it is not there; for a migration: ``create_token_table(op.get_bind())``.

    .. versionadded:: 0.1
    """
    token_table(sa.MetaData()).create(connection, checkfirst=True)


def drop_token_table(connection: sa.Connection) -> None:
    """Drop the token table if it is there, for the way back of a migration.

    .. versionadded:: 0.1
    """
    token_table(sa.MetaData()).drop(connection, checkfirst=True)


def new_token() -> uuid.UUID:
    """Return a token that nobody else has."""
    return _made_at(time.time_ns() // 1_000_000, int.from_bytes(os.urandom(10), "big"))


def first_token_of(moment: datetime) -> uuid.UUID:
    """Return what all tokens made before a moment are smaller than.

    :param moment: aware of its time zone.
    """
    return _made_at(int(moment.timestamp() * 1000), 0)


def made_at(token: uuid.UUID) -> datetime:
    """Return when a token was made, by the clock of the machine that made it; aware, in UTC."""
    return datetime.fromtimestamp((token.int >> 80) / 1000, UTC)


def parse_token(text: str | uuid.UUID | None) -> uuid.UUID:
    """Return a token that was written down as text; None is what a :class:`.CommitUnknown` has that carries none.

    :raises InvalidToken: it is none.
    """
    if text is None:
        raise InvalidToken(
            "None is no token: the writer was not exactly_once, and nobody can tell what became of it; look at the data"
        )
    try:
        token = text if isinstance(text, uuid.UUID) else uuid.UUID(text)
    except (ValueError, AttributeError, TypeError):
        token = None
    if token is None or token.version != 7:
        raise InvalidToken(f"{text!r} is no token of a transaction; give the token of a CommitUnknown as it was told")
    return token


def _made_at(milliseconds: int, chance: int) -> uuid.UUID:
    # RFC 9562, section 5.7: 48 bits of time, the version, 12 bits of chance, the variant, 62 bits of chance
    high = (milliseconds & 0xFFFF_FFFF_FFFF) << 80
    return uuid.UUID(int=high | 7 << 76 | (chance >> 62 & 0xFFF) << 64 | 2 << 62 | chance & (1 << 62) - 1)
