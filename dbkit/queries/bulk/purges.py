"""Removing deleted rows for good, in batches, each in a transaction of its own: blocking and asyncio."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from dbkit.exceptions import UsageError
from dbkit.queries.bulk.purging import Purge, Purged, Work, order, working
from dbkit.spec import Handle, Isolation, Mode, Propagation, TransactionSpec
from dbkit.transaction.block import Block
from dbkit.transaction.manager import Databased

__all__ = ["Purge", "Purged", "apurge", "purge"]

# At READ COMMITTED, because at REPEATABLE READ InnoDB locks the gaps between the rows as well.
_BATCH = TransactionSpec(
    mode=Mode.WRITER,
    propagation=Propagation.REQUIRES_NEW,
    handle=Handle.CONNECTION,
    isolation=Isolation.READ_COMMITTED,
)


def purge(
    database: Databased,
    models: Any,
    *,
    older_than: timedelta,
    batch: int = 1000,
    archive: str | bool | None = None,
    along: Any = (),
    dry_run: bool = False,
    progress: Callable[[Purged], object] | None = None,
) -> Purge:
    """Remove the rows that were deleted long enough ago; return how many of each table.

    Children go before their parents. A row to which another one refers that stays is held: it stays too. Each batch is
    a transaction of its own; a purge that was interrupted has lost nothing, and the next one goes on. It may run while
    the tables are in use, and twice at the same time.

    :param models: a mapped class or a Table that is marked, or several.
    :param older_than: rows stay for so long after their deletion.
    :param batch: how many rows a transaction removes; as many keys are held in memory.
    :param archive: move the rows into tables of this name, such as ``"shadow_{}"``, which is meant by True; they are
        made if they are missing. A row is there once it is gone here, and not before.
    :param along: classes or tables without marks, whose rows go with the row to which they refer.
    :param dry_run: only count.
    :param progress: called with what has become of a table, when it is begun, after each batch and when it is done.
    :raises InvalidModel: something is no marked table, or its rows don't say when they were deleted.
    :raises UsageError: an argument cannot be used.

    .. versionadded:: 0.1
    """
    work = _work(database, models, older_than, batch, archive, along, dry_run, progress)
    result: Any = None
    while True:
        try:
            step = work.send(result)
        except StopIteration as done:
            found: Purge = done.value
            return found
        with Block(database.factory, database.factory, _BATCH) as connection:
            result = step(connection)


async def apurge(
    database: Databased,
    models: Any,
    *,
    older_than: timedelta,
    batch: int = 1000,
    archive: str | bool | None = None,
    along: Any = (),
    dry_run: bool = False,
    progress: Callable[[Purged], object] | None = None,
) -> Purge:
    """Do the same in asyncio; see :func:`purge`."""
    work = _work(database, models, older_than, batch, archive, along, dry_run, progress)
    result: Any = None
    while True:
        try:
            step = work.send(result)
        except StopIteration as done:
            found: Purge = done.value
            return found
        async with Block(database.factory, database.factory, _BATCH) as connection:
            result = await connection.run_sync(step)


def _work(
    database: Databased,
    models: Any,
    older_than: timedelta,
    batch: int,
    archive: str | bool | None,
    along: Any,
    dry_run: bool,
    progress: Callable[[Purged], object] | None,
) -> Work:
    if not isinstance(database, Databased):
        raise UsageError(
            "a purge opens its own transactions: it takes a dbkit.Database, or a writer of enginefacade; an object of "
            f"class {type(database).__name__} was given"
        )
    return working(
        order(models, older_than, batch=batch, archive=archive, along=along, dry_run=dry_run, progress=progress)
    )
