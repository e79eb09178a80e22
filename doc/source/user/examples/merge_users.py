"""A migration: users are known by their mail, so two of the same mail become one, and no more can come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, update

import dbkit
from dbkit import schema

db = dbkit.Database()


@schema.per_dialect("*")
def refresh_statistics(connection: Connection, table: str) -> None:
    """Let the planner know what the table looks like now."""
    connection.exec_driver_sql(f"ANALYZE {table}")


@refresh_statistics.on("mysql")  # and MariaDB
def _(connection: Connection, table: str) -> None:
    connection.exec_driver_sql(f"ANALYZE TABLE {table}")


def move_orders(connection: Connection, pairs: Sequence[tuple[Any, Any]]) -> None:
    """Let the orders of a user that goes belong to the one that stays."""
    orders = schema.get_table(connection, "orders")
    for (gone,), (kept,) in pairs:
        connection.execute(update(orders).where(orders.c.user_id == gone).values(user_id=kept))


def upgrade() -> int:
    """Merge users of the same mail, the one seen last stays; return how many went."""
    done = schema.delete_duplicates(
        db.engine, "users", "mail", keep=lambda users: [users.c.seen_at.desc()], before=move_orders
    )
    schema.ensure_index(db.engine, "users", "uniq_mail", "mail", unique=True)
    with db.engine.begin() as connection:
        refresh_statistics(connection, "users")
    return done.rows


async def mail_is_unique() -> bool:
    """Return whether no two users can have the same mail, asked in asyncio."""
    async with db.async_engine.connect() as connection:
        indexes = await connection.run_sync(schema.describe_indexes, "users")
    return any(index.unique and index.is_whole and index.columns == ("mail",) for index in indexes)
