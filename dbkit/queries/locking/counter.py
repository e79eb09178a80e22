"""Counters that nobody reads before they are changed."""

from __future__ import annotations

from functools import partial
from typing import Any

from dbkit.queries.locking.counting import increment_one
from dbkit.transaction.greenlets import in_task


def increment(where: Any, column: Any, key: Any, by: Any = 1, *, minimum: Any = None, maximum: Any = None) -> Any:
    """Add to the counter of a row and return its new value, with one statement.

    It cannot lose an update, because nothing is read before. The row is locked until the transaction ends. Its version,
    if it has one, is counted up.

    The value comes with the answer: by ``RETURNING`` on PostgreSQL and SQLite, by ``LAST_INSERT_ID()`` on MySQL and
    MariaDB, where it takes a SELECT more if the column is not of an integer type.

    :param where: the open block: its session or connection, a ``Database``, or a context object.
    :param column: an attribute of a mapped class, such as ``Item.stock``, or a column.
    :param key: one value, a tuple in the order of the primary key, or a mapping.
    :param by: what is added; less than 0 to count down.
    :param minimum: the counter does not become less.
    :param maximum: the counter does not become more.
    :raises LimitReached: it would leave its bounds.
    :raises StaleRow: there is no such row, it is marked as deleted, or its counter is NULL.

    .. versionadded:: 0.1
    """
    return increment_one(where, column, key, by, minimum, maximum)


async def aincrement(
    where: Any, column: Any, key: Any, by: Any = 1, *, minimum: Any = None, maximum: Any = None
) -> Any:
    """Do in asyncio what :func:`increment` does."""
    return await in_task(partial(increment_one, where, column, key, by, minimum, maximum))
