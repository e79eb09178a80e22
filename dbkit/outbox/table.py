"""The table of the outbox, for a call, for a migration, and for an application's own metadata."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

TABLE = "dbkit_outbox"

WAITING = "waiting"
"""To be delivered, as soon as its time has come."""
DELIVERED = "delivered"
"""Delivered, and kept."""
ASIDE = "aside"
"""Tried so often in vain that it waits for a decision."""


def outbox_table(metadata: sa.MetaData) -> sa.Table:
    """Return the outbox's table as part of an application's own metadata, so that its migrations know of it.

    .. versionadded:: 0.1
    """
    return sa.Table(
        TABLE,
        metadata,
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("message_id", sa.String(64), nullable=False),
        sa.Column("topic", sa.String(255), nullable=False),
        sa.Column("payload", sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")),
        sa.Column("body", sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("state", sa.String(9), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("available_at", sa.DateTime(), nullable=False),
        sa.Column("delivered_at", sa.DateTime()),
        sa.Column("error", sa.String(255)),
        sa.UniqueConstraint("message_id", name=f"{TABLE}_message_id"),
        sa.Index(f"{TABLE}_state", "state", "id"),
        mysql_engine="InnoDB",
        mariadb_engine="InnoDB",
        mysql_charset="utf8mb4",
        mariadb_charset="utf8mb4",
    )


def create_outbox_table(connection: sa.Connection) -> None:
    """Create the outbox's table if it is not there; for a migration: ``create_outbox_table(op.get_bind())``.

    .. versionadded:: 0.1
    """
    outbox_table(sa.MetaData()).create(connection, checkfirst=True)


def drop_outbox_table(connection: sa.Connection) -> None:
    """Drop the outbox's table, with what was not delivered, if it is there; for the way back of a migration.

    .. versionadded:: 0.1
    """
    outbox_table(sa.MetaData()).drop(connection, checkfirst=True)


class utc_now(FunctionElement[Any]):
    """The present moment by the database's clock, in UTC and whole seconds: that of a deliverer may be wrong."""

    type = sa.DateTime()
    inherit_cache = True


@compiles(utc_now)
def _plain(element: Any, compiler: Any, **kw: Any) -> str:
    return "CURRENT_TIMESTAMP"


@compiles(utc_now, "sqlite")
def _on_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return "strftime('%Y-%m-%d %H:%M:%S.000000', 'now')"  # as SQLAlchemy writes it: it is compared as a text


@compiles(utc_now, "postgresql")
def _on_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return "date_trunc('second', statement_timestamp() AT TIME ZONE 'UTC')"


@compiles(utc_now, "mysql")
@compiles(utc_now, "mariadb")
def _on_mysql(element: Any, compiler: Any, **kw: Any) -> str:
    return "UTC_TIMESTAMP()"
