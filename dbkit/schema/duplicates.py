"""Rows that are the same in some columns: finding them, and leaving one of each, before a unique constraint is made."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, func, select

from dbkit.exceptions import UsageError
from dbkit.schema.inspection import columns_alone
from dbkit.schema.marks import SoftDelete
from dbkit.schema.places import Where, changing, named, reading
from dbkit.schema.search import DuplicateSearch, Keep, Key, Nulls, Pairs

LOG = logging.getLogger(__name__)

# Looking for duplicates reads and sorts the whole table: it is done once for so many batches. Only keys are held.
_BATCHES_PER_LOOK = 20


@dataclass(frozen=True, slots=True)
class Deduplicated:
    """What has become of duplicates so far.

    :param table: its name.
    :param rows: how many were deleted, or marked as deleted.
    :param skipped: how many were left because others have changed them, or the row to keep, in the meantime.
    :param deleted: the keys of the last batch, each with that of the row that was kept.

    .. versionadded:: 0.1
    """

    table: str
    rows: int = 0
    skipped: int = 0
    deleted: tuple[tuple[Key, Key], ...] = ()


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Rows that are the same.

    :param values: what they have in common, by the names of the columns.
    :param rows: how many they are.

    .. versionadded:: 0.1
    """

    values: dict[str, Any]
    rows: int


def find_duplicates(
    where: Where,
    table: Any,
    *columns: str,
    nulls: Nulls = "differ",
    alive: SoftDelete | None = None,
    schema: str | None = None,
) -> Iterator[DuplicateGroup]:
    """Yield each group of rows that are the same in these columns; no more than a part of them is held in memory.

    :param nulls: whether NULL is the same as NULL. For a unique constraint it is not.
    :param alive: rows that are marked as deleted in this way don't count.
    :raises SchemaMismatch: there is no such table or column.

    .. versionadded:: 0.1
    """
    name, schema = named(table, schema)
    with reading(where) as connection:
        found = DuplicateSearch(connection, name, schema, columns, nulls, alive)
        with connection.execute(found.groups(), execution_options={"yield_per": 1000}) as rows:
            for *values, count in rows:
                yield DuplicateGroup(dict(zip(columns, values, strict=True)), count)


def count_duplicates(
    where: Where,
    table: Any,
    *columns: str,
    nulls: Nulls = "differ",
    alive: SoftDelete | None = None,
    schema: str | None = None,
) -> int:
    """Return how many rows would have to go for these columns to be unique; takes what :func:`find_duplicates` does.

    .. versionadded:: 0.1
    """
    name, schema = named(table, schema)
    with reading(where) as connection:
        groups = DuplicateSearch(connection, name, schema, columns, nulls, alive).groups().subquery()
        counted = select(func.coalesce(func.sum(groups.c.dbkit_rows - 1), 0))
        return int(connection.execute(counted).scalar_one())


def delete_duplicates(
    where: Where,
    table: Any,
    *columns: str,
    keep: Keep = "largest",
    nulls: Nulls = "differ",
    alive: SoftDelete | None = None,
    soft_delete: SoftDelete | None = None,
    batch: int = 500,
    before: Callable[[Connection, Pairs], object] | None = None,
    progress: Callable[[Deduplicated], object] | None = None,
    schema: str | None = None,
) -> Deduplicated:
    """Leave one row of each group that is the same in these columns; return how many went.

    With an engine each batch has a transaction of its own, so that what is cut off goes on where it was; with a
    connection or session all is done in the caller's. Memory holds the keys of a number of rows, whatever there is.
    Before a row goes, it is locked together with the one that stays, and both are compared again: of rows that others
    change or delete meanwhile, one always stays.

    :param keep: which row stays: the one with the ``"largest"`` or ``"smallest"`` primary key, or a function that is
        given the table and returns by what to sort, the row that stays first: ``lambda t: [t.c.updated_at.desc()]``.
    :param nulls: whether NULL is the same as NULL. For a unique constraint it is not.
    :param alive: rows that are marked as deleted in this way don't count: they are neither compared nor kept.
    :param soft_delete: mark rows as deleted in this way in place of deleting them; those that are already don't count.
    :param batch: how many rows go at once.
    :param before: is called before a batch goes, in its transaction, with the connection and pairs of keys, of the row
        that goes and the one that stays: to let what refers to the one refer to the other.
    :param progress: is told of each batch: how many rows have gone, and the keys of the last ones.
    :raises SchemaMismatch: there is no such table or column, or no primary key.
    :raises UsageError: a number or a name cannot be used.

    .. versionadded:: 0.1
    """
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise UsageError(f"batch is how many rows go at once, at least 1; it is {batch!r}")
    name, schema = named(table, schema)
    with reading(where) as connection:
        search = DuplicateSearch(connection, name, schema, columns, nulls, alive or soft_delete)
        search.keep(keep, soft_delete)
    state = Deduplicated(name)
    while True:
        with reading(where) as connection:
            pairs = search.pairs(connection, batch * _BATCHES_PER_LOOK)
        gone = 0
        for start in range(0, len(pairs), batch):
            some = pairs[start : start + batch]
            with changing(where) as connection:
                certain = search.confirmed(connection, some)
                if certain and before is not None:
                    before(connection, certain)
                if certain:
                    search.remove(connection, [key for key, _ in certain], soft_delete)
            gone += len(certain)
            state = replace(state, rows=state.rows + len(certain), deleted=tuple(certain))
            if progress is not None and certain:
                progress(state)
        if not gone:
            # what is found and cannot be confirmed changes under our hands; the next call meets it again
            return replace(state, skipped=len(pairs), deleted=())


def drop_old_duplicate_entries_from_table(
    engine: Where, table_name: Any, use_soft_delete: bool, *uc_column_names: str, schema: str | None = None
) -> None:
    """Leave the row with the largest key of each group of rows that are the same in these columns.

    Rows that are marked as deleted, by ``deleted_at``, are neither compared nor kept nor deleted. NULL counts as the
    same as NULL. :func:`delete_duplicates` has more to choose.

    :param use_soft_delete: mark rows as deleted, by ``deleted`` and ``deleted_at``, in place of deleting them.
    :raises SchemaMismatch: there is no such table or column, or no primary key.

    .. versionadded:: 0.1
    """
    name, schema = named(table_name, schema)
    with reading(engine) as connection:
        has_moment = "deleted_at" in columns_alone(connection, name, schema).columns
    done = delete_duplicates(
        engine,
        name,
        *uc_column_names,
        nulls="equal",
        alive=SoftDelete("time") if has_moment else None,
        soft_delete=SoftDelete("key") if use_soft_delete else None,
        schema=schema,
    )
    LOG.info("of the rows of %s that were the same in %s, %d went", name, ", ".join(uc_column_names), done.rows)
