"""Optimistic locking by one statement: a row is changed if it is as it was seen, and nothing is locked before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Literal

from dbkit.queries.locking.seen import OnConflict, Swap
from dbkit.queries.locking.swapping import Swapped, swap, swap_all
from dbkit.transaction.greenlets import in_task


def compare_and_swap(
    where: Any,
    named: Any,
    key: Any = None,
    expected: Any = None,
    values: Mapping[Any, Any] | None = None,
    *,
    seen: Mapping[Any, Any] | None = None,
    on_conflict: OnConflict | None = None,
) -> Any:
    """Change a row if nobody else has changed it since it was seen; return its new version.

    One statement compares and writes, so that there is no moment in between; the version is counted up by it. Only if
    it has found no such row, one SELECT more says why. Objects of the block's session show what was stored.

    :param where: the open block: its session or connection, a ``Database``, or a context object.
    :param named: a mapped class or a table; or an object, which knows its key and the version with which it was loaded.
    :param key: one value, a tuple in the order of the primary key, or a mapping.
    :param expected: the version that was seen, :class:`.OneOf` or ``ANY_VERSION``; or, of tables without a version,
        the values that were seen, by their names: None for NULL, a list or tuple for any of its members.
    :param values: what columns become, by their names; expressions are allowed. None: what was changed on the object.
    :param seen: values that the decision rests on, by their names; an object knows them. ``merge`` needs them.
    :param on_conflict: ``"fail"``: the error says that another run would find the same. ``"rerun"``: it is
        ``transient``, so that a function declared with ``.retrying()`` is run again. ``"merge"``: the values are
        applied to the row as it is now, if others have changed none of the same columns. None: ``"rerun"`` for an
        object of the block's session, which was read in this very block, else ``"fail"``.
    :raises StaleRow: the row is missing, deleted or stale; nothing was changed.
    :raises UsageError: it is not clear which row is meant, how it was seen, or what it shall become.

    .. versionadded:: 0.1
    """
    return swap(where, named, key, expected, values, seen=seen, on_conflict=on_conflict)


async def acompare_and_swap(
    where: Any,
    named: Any,
    key: Any = None,
    expected: Any = None,
    values: Mapping[Any, Any] | None = None,
    *,
    seen: Mapping[Any, Any] | None = None,
    on_conflict: OnConflict | None = None,
) -> Any:
    """Do in asyncio what :func:`compare_and_swap` does."""
    return await in_task(partial(swap, where, named, key, expected, values, seen=seen, on_conflict=on_conflict))


def compare_and_swap_all(
    where: Any, named: Any, swaps: Iterable[Swap], *, on_conflict: Literal["fail", "rerun", "report"] = "fail"
) -> Swapped:
    """Change rows with one statement, each if nobody else has changed it since it was seen.

    A statement takes up to 200 rows; there are more statements where there are more rows. On MySQL and MariaDB, which
    have no ``UPDATE ... RETURNING``, a ``SELECT ... FOR UPDATE`` goes before it.

    :param on_conflict: ``"fail"`` or ``"rerun"``: one conflict is all rows' conflict. ``"report"``: the others are
        changed, and what is returned says which were not.
    :raises StaleRow: of the first conflict; it has those of the other rows in ``others``. Rows may have been changed
        by then: the transaction accepts nothing but ROLLBACK, if only to a savepoint.
    :raises UsageError: as :func:`compare_and_swap`; or a row is named twice.

    .. versionadded:: 0.1
    """
    return swap_all(where, named, swaps, on_conflict)


async def acompare_and_swap_all(
    where: Any, named: Any, swaps: Iterable[Swap], *, on_conflict: Literal["fail", "rerun", "report"] = "fail"
) -> Swapped:
    """Do in asyncio what :func:`compare_and_swap_all` does."""
    return await in_task(partial(swap_all, where, named, swaps, on_conflict))
