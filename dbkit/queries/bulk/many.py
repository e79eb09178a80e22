"""Writing many rows: blocking and asyncio."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dbkit.queries.bulk.batches import Progress, Written
from dbkit.queries.bulk.inserting import inserting
from dbkit.queries.bulk.updating import deleting, updating
from dbkit.queries.bulk.upserting import upserting
from dbkit.queries.bulk.walking import acarry_out, carry_out

__all__ = [
    "Written", "adelete_many", "ainsert_many", "aupdate_many", "aupsert",
    "delete_many", "insert_many", "update_many", "upsert",
]  # fmt: skip

_INSERTED = 10_000  # each batch waits once until the server is done with it
_ROWS = 5000
_JOINED = 500


def insert_many(
    where: Any,
    named: Any,
    rows: Iterable[Any],
    *,
    columns: Sequence[Any] | None = None,
    batch: int = _INSERTED,
    commit_each: bool = False,
    returning: bool = False,
    progress: Progress | None = None,
) -> Written:
    """Insert rows, as many as there are, and hold no more of them than a batch.

    On PostgreSQL they go by COPY where that does the same as INSERT; what is returned says why it was not used.
    Defaults, versions and tenants are filled in as by the unit of work; objects that the session has loaded, and its
    events, know nothing of it.

    :param where: an open block: its session or connection, a ``Database``, or a context object. A ``Database`` of which
        no block is open gets one.
    :param named: a mapped class or a table.
    :param rows: mappings by the names of attributes, tuples, or objects that are in no session. It may be a generator.
    :param columns: what the values of tuples are, in their order.
    :param batch: how many rows are written at once.
    :param commit_each: each batch is a transaction of its own; what was stored before an error stays.
    :param returning: the keys of all rows are wanted; they are held in memory.
    :param progress: called with what has been done, after each batch.
    :raises UsageError: a row is no row of the table; or ``commit_each`` is asked for inside a block.
    :raises ForeignScope: a row belongs to another tenant.
    :raises DBError: the database refused a row.

    .. versionadded:: 0.1
    """
    work = inserting(named, rows, columns=columns, batch=batch, returning=returning, progress=progress)
    return carry_out(where, work, commit_each)


async def ainsert_many(
    where: Any,
    named: Any,
    rows: Iterable[Any],
    *,
    columns: Sequence[Any] | None = None,
    batch: int = _INSERTED,
    commit_each: bool = False,
    returning: bool = False,
    progress: Progress | None = None,
) -> Written:
    """Do in asyncio what :func:`insert_many` does."""
    work = inserting(named, rows, columns=columns, batch=batch, returning=returning, progress=progress)
    return await acarry_out(where, work, commit_each)


def update_many(
    where: Any,
    named: Any,
    rows: Iterable[Any],
    *,
    by: Sequence[Any] | None = None,
    columns: Sequence[Any] | None = None,
    batch: int = _JOINED,
    commit_each: bool = False,
    blind: bool = False,
    progress: Progress | None = None,
) -> Written:
    """Change rows, each to values of its own, many with one statement; say how many were found.

    A row that has a value for the version column is changed if that is still its version, which is counted up.

    :param rows: as for :func:`insert_many`; each has the values of ``by``, which find it, and what others become.
    :param by: names of columns that find a row; None: its primary key.
    :param blind: rows of a versioned table are changed whatever their version is.
    :raises BlindUpdate: the table is versioned, rows come without their versions, and ``blind`` is not set.
    :raises UsageError: a row lacks its key or has nothing that it should become; or as for :func:`insert_many`.

    .. versionadded:: 0.1
    """
    work = updating(named, rows, by=by, columns=columns, batch=batch, blind=blind, progress=progress)
    return carry_out(where, work, commit_each)


async def aupdate_many(
    where: Any,
    named: Any,
    rows: Iterable[Any],
    *,
    by: Sequence[Any] | None = None,
    columns: Sequence[Any] | None = None,
    batch: int = _JOINED,
    commit_each: bool = False,
    blind: bool = False,
    progress: Progress | None = None,
) -> Written:
    """Do in asyncio what :func:`update_many` does."""
    work = updating(named, rows, by=by, columns=columns, batch=batch, blind=blind, progress=progress)
    return await acarry_out(where, work, commit_each)


def delete_many(
    where: Any,
    named: Any,
    keys: Iterable[Any] | None = None,
    *,
    criterion: Any = None,
    batch: int = _ROWS,
    commit_each: bool = False,
    progress: Progress | None = None,
) -> Written:
    """Delete rows by their keys, or all that meet a criterion, a batch with each statement; say how many there were.

    Rows of a table that says so are marked in place of being deleted.

    :param keys: of each row one value, or a tuple in the order of the primary key. It may be a generator.
    :param criterion: what the rows have in common, such as ``Item.amount == 0``; ``sqlalchemy.true()`` for all.
    :raises UsageError: keys and criterion are given, or none of them; or as for :func:`insert_many`.

    .. versionadded:: 0.1
    """
    return carry_out(where, deleting(named, keys, criterion=criterion, batch=batch, progress=progress), commit_each)


async def adelete_many(
    where: Any,
    named: Any,
    keys: Iterable[Any] | None = None,
    *,
    criterion: Any = None,
    batch: int = _ROWS,
    commit_each: bool = False,
    progress: Progress | None = None,
) -> Written:
    """Do in asyncio what :func:`delete_many` does."""
    work = deleting(named, keys, criterion=criterion, batch=batch, progress=progress)
    return await acarry_out(where, work, commit_each)


def upsert(
    where: Any,
    named: Any,
    rows: Iterable[Any],
    *,
    conflict: Sequence[Any] | None = None,
    update: Sequence[Any] | None = None,
    only_if: Any = None,
    columns: Sequence[Any] | None = None,
    batch: int = _JOINED,
    commit_each: bool = False,
    returning: bool = False,
    progress: Progress | None = None,
) -> Written:
    """Insert rows, and change those that are there already; many with one statement.

    A row that a rule hides, deleted or another tenant's, is left as it is, and counts as neither inserted nor updated.
    ``onupdate`` and the version of a row that is changed are honoured.

    :param conflict: names of the columns of the unique key that decides whether a row is there; None: the primary key.
    :param update: names of columns that a row takes from what is given; None: all that are given; ``[]``: none, and
        what is there stays.
    :param only_if: a row that is there is changed only if it meets this criterion, such as ``Item.amount < 5``.
    :param returning: the keys of the rows that were inserted or changed are wanted; on MySQL and MariaDB of all rows
        that can be seen.
    :raises UsageError: on MySQL and MariaDB, another unique key than ``conflict`` could find a row, and that would be
        changed; or as for :func:`insert_many`.

    .. versionadded:: 0.1
    """
    work = upserting(
        named, rows, conflict=conflict, update=update, only_if=only_if, columns=columns, batch=batch,
        returning=returning, progress=progress,
    )  # fmt: skip
    return carry_out(where, work, commit_each)


async def aupsert(
    where: Any,
    named: Any,
    rows: Iterable[Any],
    *,
    conflict: Sequence[Any] | None = None,
    update: Sequence[Any] | None = None,
    only_if: Any = None,
    columns: Sequence[Any] | None = None,
    batch: int = _JOINED,
    commit_each: bool = False,
    returning: bool = False,
    progress: Progress | None = None,
) -> Written:
    """Do in asyncio what :func:`upsert` does."""
    work = upserting(
        named, rows, conflict=conflict, update=update, only_if=only_if, columns=columns, batch=batch,
        returning=returning, progress=progress,
    )  # fmt: skip
    return await acarry_out(where, work, commit_each)
