"""How deleted rows are removed for good: which ones, in which order, and what is done to each batch."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    ForeignKeyConstraint,
    Table,
    and_,
    exists,
    func,
    inspect,
    literal,
    or_,
    select,
    tuple_,
)
from sqlalchemy.orm import Mapper
from sqlalchemy.schema import sort_tables

from dbkit.exceptions import InvalidModel, UsageError
from dbkit.filters.marks import known_rules, parent_of
from dbkit.filters.options import blind_update, without
from dbkit.models.columns import column_of
from dbkit.models.marking import Marking, marking_of, moment_for
from dbkit.queries.bulk.archiving import make_archive, move

Step = Callable[[Connection], Any]
Work = Generator[Step, Any, "Purge"]


@dataclass(frozen=True, slots=True)
class Purged:
    """What has become of the deleted rows of a table that are old enough.

    :param table: its name.
    :param rows: how many were removed so far.
    :param found: how many there were when its turn came.
    :param held: how many had to stay, because rows that stay refer to them or somebody has locked them; known when the
        table is done, None before.

    .. versionadded:: 0.1
    """

    table: str
    rows: int
    found: int
    held: int | None = None


@dataclass(frozen=True, slots=True)
class Purge:
    """What a purge has done.

    :param tables: each table, in the order in which they were worked on.

    .. versionadded:: 0.1
    """

    tables: tuple[Purged, ...]

    @property
    def rows(self) -> int:
        """How many rows were removed."""
        return sum(each.rows for each in self.tables)

    @property
    def held(self) -> int:
        """How many rows are old enough and had to stay."""
        return sum(each.held or 0 for each in self.tables)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be purged.

    :param older_than: rows stay for so long after their deletion.
    :param batch: how many rows a transaction removes.
    :param archive: the name of the table to which a row is moved, with the place of its table's name as ``{}``.
    :param along: tables without marks whose rows go with those that they refer to.
    """

    tables: tuple[Table, ...]
    older_than: timedelta
    batch: int
    archive: str | None
    along: tuple[Table, ...]
    dry_run: bool
    progress: Callable[[Purged], object] | None


def order(
    models: Any,
    older_than: timedelta,
    *,
    batch: int,
    archive: str | bool | None,
    along: Any,
    dry_run: bool,
    progress: Callable[[Purged], object] | None,
) -> Order:
    """Return what is to be purged, looked over.

    :raises InvalidModel: something is no marked table, or its rows don't say when they were deleted.
    :raises UsageError: a number or a name cannot be used.
    """
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise UsageError(f"batch is how many rows a transaction removes, at least 1; it is {batch!r}")
    if not isinstance(older_than, timedelta) or older_than < timedelta(0):
        raise UsageError(
            f"older_than is how long rows stay after their deletion, such as timedelta(days=90); it is {older_than!r}"
        )
    pattern = "shadow_{}" if archive is True else archive or None
    if pattern is not None and pattern.count("{}") != 1:
        raise UsageError(
            f"archive names the tables to which rows are moved, with {{}} in place of their table's name, such as "
            f"'shadow_{{}}'; it is {archive!r}"
        )
    tables = [_marked(each) for each in _listed(models)]
    others = [_table(each) for each in _listed(along)]
    # children before their parents, so that nothing refers to a row any more when its turn comes
    ordered = reversed(sort_tables({*tables, *others}))
    by_turn = [each for each in ordered if each in tables]
    return Order(tuple(by_turn), older_than, batch, pattern, tuple(others), dry_run, progress)


def working(wanted: Order) -> Work:
    """Do what was ordered; yields what is done to a connection, in a transaction for each, and is sent what it returns.

    What is cut off between two steps is taken up where it was left by doing all of it again.
    """
    done = []
    jobs = [_Job(table, wanted) for table in wanted.tables]
    if wanted.archive is not None and not wanted.dry_run:
        for job in jobs:
            yield job.prepare_archive
    for job in jobs:
        found: int = yield job.count
        state = Purged(job.table.name, 0, found)
        _tell(wanted, state)
        while not wanted.dry_run:
            removed: int = yield job.remove_some
            if removed:
                state = Purged(job.table.name, state.rows + removed, found)
                _tell(wanted, state)
            elif not job.starts_over():
                break
        if wanted.dry_run:
            held: int = yield job.count_held
        else:
            held = yield job.count
        state = Purged(job.table.name, state.rows, found, held)
        _tell(wanted, state)
        done.append(state)
    return Purge(tuple(done))


def _tell(wanted: Order, state: Purged) -> None:
    if wanted.progress is not None:
        wanted.progress(state)


def _listed(models: Any) -> list[Any]:
    if models is None:
        return []
    return list(models) if isinstance(models, Iterable) and not isinstance(models, type | Table) else [models]


def _table(model: Any) -> Table:
    """Return the table of a class, the root's where it inherits one, or the table that was given."""
    if isinstance(model, Table):
        return model
    mapper = inspect(model, raiseerr=False)
    if not isinstance(mapper, Mapper) or not isinstance(mapper.base_mapper.local_table, Table):
        raise InvalidModel(f"{model!r} is neither a mapped class nor a Table, so that it has no rows to purge")
    return mapper.base_mapper.local_table


def _marked(model: Any) -> Table:
    table = _table(model)
    marking = marking_of(table)
    if marking is None:
        raise InvalidModel(
            f"the rows of the table {table.name} are not marked when they are deleted, so that none are to be purged"
        )
    if marking.moment is None:
        raise InvalidModel(
            f"the deleted rows of the table {table.name} don't say when they were deleted; declare the column with "
            "soft_deletable(table, moment=...)"
        )
    if not table.primary_key.columns:
        raise InvalidModel(f"the table {table.name} has no primary key, by which its rows could be told apart")
    return table


@dataclass
class _Job:
    """Removes the deleted rows of one table."""

    table: Table
    wanted: Order
    after: tuple[Any, ...] | None = None
    """The key of the last row that was looked at."""
    removed: int = 0
    """How many rows have gone since it was begun at the first key."""
    halves: list[Table] = field(default_factory=list)
    """Tables that hold other parts of the same rows, the lowest first."""

    def __post_init__(self) -> None:
        marking = marking_of(self.table)
        assert marking is not None and marking.moment is not None
        self.marking: Marking = marking
        moment = column_of(self.table, marking.moment)
        self.before: datetime = moment_for(moment) - self.wanted.older_than
        self.halves = list(_halves_of(self.table))
        self.keys: Sequence[Column[Any]] = list(self.table.primary_key.columns)
        self.options = without(*known_rules())  # whoever refers to a row holds it, whether others see him or not

    # -- which rows -----------------------------------------------------------------------------------------------

    def _old_enough(self) -> ColumnElement[bool]:
        assert self.marking.moment is not None
        moment = column_of(self.table, self.marking.moment)
        return and_(self.marking.is_dead(self.table), moment < self.before)

    def _unheld(self, connection: Connection) -> list[ColumnElement[bool]]:
        """Return that no row refers to it which would stay, or which the database would remove unasked."""
        found = []
        for other in self.table.metadata.tables.values():
            if other in self.halves or other in self.wanted.along:
                continue
            for key in other.foreign_key_constraints:
                if key.referred_table is self.table:
                    there = other.alias()
                    pairs = [there.columns[each.parent.key] == each.column for each in key.elements]
                    # a row that refers to itself holds nobody, if the database lets it go
                    if other is self.table and (_loosened(key) or not _holds_itself(connection)):
                        pairs.append(or_(*(there.columns[each.key] != each for each in self.keys)))
                    found.append(~exists().where(and_(*pairs)).correlate(self.table))
        return found

    def _refers_to_itself(self) -> bool:
        return any(each.referred_table is self.table for each in self.table.foreign_key_constraints)

    # -- steps ----------------------------------------------------------------------------------------------------

    def count(self, connection: Connection) -> int:
        """Return how many rows are old enough."""
        query = select(func.count()).select_from(self.table).where(self._old_enough())
        return int(connection.execute(query.options(self.options)).scalar_one())

    def count_held(self, connection: Connection) -> int:
        """Return how many rows are old enough and others refer to them now."""
        query = select(func.count()).select_from(self.table).where(self._old_enough(), *self._unheld(connection))
        return self.count(connection) - int(connection.execute(query.options(self.options)).scalar_one())

    def remove_some(self, connection: Connection) -> int:
        """Remove a batch of rows, and what goes with them; return how many."""
        query = (
            select(*self.keys)
            .where(self._old_enough(), *self._unheld(connection))
            .order_by(*self.keys)  # along the primary key, of which there is always an index
            .limit(self.wanted.batch)
            .with_for_update(skip_locked=True, of=self.table if connection.dialect.name == "postgresql" else None)
        )
        if self.after is not None:
            query = query.where(
                self.keys[0] > self.after[0]
                if len(self.keys) == 1
                else tuple_(*self.keys) > tuple_(*map(literal, self.after, (each.type for each in self.keys)))
            )
        rows = [tuple(row) for row in connection.execute(query.options(self.options))]
        if not rows:
            return 0
        for table, condition in self._going(rows):
            if self.wanted.archive is not None:
                move(connection, table, self.wanted.archive, select(*table.columns).where(condition), self.options)
            if table is self.table and _holds_itself(connection):
                self._loosen(connection, condition)
            connection.execute(table.delete().where(condition).options(self.options))
        self.after = rows[-1]
        self.removed += len(rows)
        return len(rows)

    def _loosen(self, connection: Connection, condition: ColumnElement[bool]) -> None:
        """Let rows that are going to be removed not refer to themselves any more."""
        for key in self.table.foreign_key_constraints:
            loosened = _loosened(key)
            if key.referred_table is self.table and loosened:
                itself = [each.parent == each.column for each in key.elements]
                change = self.table.update().where(condition, *itself).values(dict.fromkeys(loosened))
                connection.execute(change.options(self.options, blind_update()))

    def starts_over(self) -> bool:
        """Return whether to begin at the first key again: rows that others referred to may be free now."""
        again = self.removed > 0 and self._refers_to_itself()
        self.after, self.removed = None, 0
        return again

    def _going(self, rows: list[tuple[Any, ...]]) -> Iterator[tuple[Table, ColumnElement[bool]]]:
        """Yield each table from which rows go, the lowest first, and which rows of it."""
        for other in self.wanted.along:
            for key in other.foreign_key_constraints:
                if key.referred_table is self.table and other is not self.table:
                    there = [each.column for each in key.elements]
                    here = [each.parent for each in key.elements]
                    query = select(*there).where(_are(self.keys, rows))
                    yield other, _in(here, query)
        for half in self.halves:
            yield half, _are(list(half.primary_key.columns), rows)
        yield self.table, _are(self.keys, rows)

    # -- the archive ----------------------------------------------------------------------------------------------

    def prepare_archive(self, connection: Connection) -> None:
        """Make the tables to which rows are moved, where they are missing.

        :raises UsageError: one is there and cannot take the rows.
        """
        for table in (*self._along(), *self.halves, self.table):
            make_archive(connection, table, str(self.wanted.archive))

    def _along(self) -> list[Table]:
        return [
            each
            for each in self.wanted.along
            if any(key.referred_table is self.table for key in each.foreign_key_constraints)
        ]


def _holds_itself(connection: Connection) -> bool:
    """Return whether a row that refers to itself cannot be deleted: InnoDB looks for who refers to it before."""
    return connection.dialect.name in ("mysql", "mariadb")


def _loosened(key: ForeignKeyConstraint) -> list[str]:
    """Return the keys of the columns by whose NULL a row refers to no other; none if they are never NULL."""
    return [each.parent.key for each in key.elements if each.parent.nullable]


def _halves_of(table: Table) -> Iterator[Table]:
    for other in table.metadata.tables.values():
        parent = parent_of(other)
        if parent is not None and parent.table is table:
            yield from _halves_of(other)
            yield other


def _are(keys: Sequence[Any], rows: list[tuple[Any, ...]]) -> ColumnElement[bool]:
    if len(keys) == 1:
        found: ColumnElement[bool] = keys[0].in_([value for (value,) in rows])
        return found
    return tuple_(*keys).in_(rows)


def _in(columns: Sequence[Any], query: Any) -> ColumnElement[bool]:
    return columns[0].in_(query) if len(columns) == 1 else tuple_(*columns).in_(query)
