"""Reading more rows than fit into memory: from a cursor of the server, so many at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

from dbkit.exceptions import UsageError
from dbkit.queries.bulk.batches import batch_of
from dbkit.queries.where import transaction_of
from dbkit.transaction.greenlets import in_task


def _opened(where: Any, statement: Any, batch: int) -> tuple[Any, Iterator[Any]]:
    """Send the statement; return its result and its parts."""
    batch_of(batch)
    if not hasattr(statement, "execution_options"):
        raise UsageError(
            f"a stream reads what select() or text() says; an object of class {type(statement).__name__} was given"
        )
    transaction = transaction_of(where)
    wanted = statement.execution_options(yield_per=batch)
    if getattr(statement, "_propagate_attrs", {}).get("compile_state_plugin") == "orm":
        result: Any = transaction.open_session().execute(wanted)
        if len(statement.column_descriptions) == 1 and isinstance(statement.column_descriptions[0]["type"], type):
            entity = statement.column_descriptions[0].get("entity")
            if entity is not None and statement.column_descriptions[0]["expr"] is entity:
                result = result.scalars()
    else:
        if transaction.session is not None and transaction.session.may_write:
            transaction.session.flush()
        result = transaction.connect().execute(wanted)
    return result, result.partitions(batch)


def _part(parts: Iterator[Any]) -> Any:
    return next(parts, None)


def stream(where: Any, statement: Any, *, batch: int = 1000) -> Iterator[Any]:
    """Yield what a statement returns, and hold no more of it than a batch.

    A statement that selects one class yields its objects, any other one rows. Objects belong to the block's session,
    which forgets those that the caller lets go. The cursor is closed when the caller stops.

    :param where: the open block: its session or connection, a ``Database``, or a context object.
    :param batch: how many rows are fetched at once.
    :raises NoTransaction: no block is open.

    .. versionadded:: 0.1
    """
    result, parts = _opened(where, statement, batch)
    try:
        for part in parts:
            yield from part
    finally:
        result.close()


async def astream(where: Any, statement: Any, *, batch: int = 1000) -> AsyncIterator[Any]:
    """Do in asyncio what :func:`stream` does: ``async for row in astream(...)``.

    A caller who stops early closes it with ``aclose()``, or by ``contextlib.aclosing()``; else its event loop does.
    """
    result, parts = await in_task(partial(_opened, where, statement, batch))
    try:
        while (part := await in_task(partial(_part, parts))) is not None:
            for each in part:
                yield each
    finally:
        await in_task(result.close)
