"""Which rows of a table are duplicates, and of which: the statements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from sqlalchemy import Column, ColumnElement, Connection, Select, Table, and_, case, func, literal, select, tuple_

from dbkit.exceptions import SchemaMismatch, UsageError
from dbkit.schema.inspection import columns_alone
from dbkit.schema.marks import SoftDelete
from dbkit.schema.places import missing_column, shown

Key = tuple[Any, ...]
Pairs = list[tuple[Key, Key]]
Nulls = Literal["differ", "equal"]
_AT_ONCE = 500

Keep = Literal["largest", "smallest"] | Callable[[Table], Sequence[Any]]


class DuplicateSearch:
    """Finds, confirms and removes the duplicates of one table.

    :param alive: rows that are marked as deleted in this way don't count.
    :raises SchemaMismatch: there is no such table or column.
    :raises UsageError: no columns are named, or NULL is said to be something unknown.
    """

    def __init__(
        self,
        connection: Connection,
        name: str,
        schema: str | None,
        columns: Sequence[str],
        nulls: Nulls,
        alive: SoftDelete | None,
    ) -> None:
        if not columns:
            raise UsageError(
                f"name the columns in which rows of {shown(name, schema)} are duplicates if they are equal"
            )
        if nulls not in ("differ", "equal"):
            raise UsageError(f"nulls says whether NULL is the same as NULL: 'differ' or 'equal', not {nulls!r}")
        self.table = columns_alone(connection, name, schema)
        for each in columns:
            if each not in self.table.columns:
                raise missing_column(each, list(self.table.columns.keys()), name)
        self.columns = list(columns)
        self.keys: list[Column[Any]] = list(self.table.primary_key)
        self._nulls_differ = nulls == "differ"
        self._alive = alive
        self._order: list[Any] = []
        if alive is not None:
            alive.check(self.table)

    def keep(self, keep: Keep, soft_delete: SoftDelete | None) -> None:
        """Say which row of each group stays, and how the others go.

        :raises SchemaMismatch: the table has no primary key, or lacks a column.
        :raises UsageError: there is no such way.
        """
        if not self.keys:
            raise SchemaMismatch(
                f"the table {shown(self.table.name, self.table.schema)} has no primary key, by which its rows could be "
                "told apart; add one first",
                table=self.table.name,
            )
        if soft_delete is not None:
            soft_delete.check(self.table)
        largest = [each.desc() for each in self.keys]
        if callable(keep):
            self._order = [*keep(self.table), *largest]
        elif keep in ("largest", "smallest"):
            self._order = largest if keep == "largest" else [each.asc() for each in self.keys]
        else:
            raise UsageError(f"keep says which row stays: 'largest', 'smallest' or a function, not {keep!r}")

    # -- finding --------------------------------------------------------------------------------------------------

    def groups(self) -> Select[Any]:
        """Return the statement for the values that several rows have, and how many they are."""
        columns = [self.table.c[each] for each in self.columns]
        counted = func.count().label("dbkit_rows")
        return select(*columns, counted).where(*self._counting(self.table)).group_by(*columns).having(func.count() > 1)

    def pairs(self, connection: Connection, limit: int) -> Pairs:
        """Return keys of rows that are to go, each with that of the row that stays; not more than a number of them."""
        window: Any = {"partition_by": [self.table.c[each] for each in self.columns], "order_by": self._order}
        ranked = (
            select(
                *(each.label(f"dbkit_gone_{number}") for number, each in enumerate(self.keys)),
                *(
                    func.first_value(each).over(**window).label(f"dbkit_kept_{number}")
                    for number, each in enumerate(self.keys)
                ),
                func.row_number().over(**window).label("dbkit_place"),
            )
            .where(*self._counting(self.table))
            .subquery("dbkit_ranked")
        )
        wanted = [each for each in ranked.c if each.name != "dbkit_place"]
        query = select(*wanted).where(ranked.c.dbkit_place > 1).limit(limit)
        count = len(self.keys)
        return [(tuple(row[:count]), tuple(row[count:])) for row in connection.execute(query)]

    def confirmed(self, connection: Connection, pairs: Pairs) -> Pairs:
        """Return those of the pairs whose rows are still there and still the same; they are locked."""
        return [each for some in _parts(pairs) for each in self._confirmed(connection, some)]

    def _confirmed(self, connection: Connection, pairs: Pairs) -> Pairs:
        gone, kept = self.table.alias("dbkit_gone"), self.table.alias("dbkit_kept")
        here, there = [gone.c[each.name] for each in self.keys], [kept.c[each.name] for each in self.keys]
        equal = [
            gone.c[each] == kept.c[each] if self._nulls_differ else gone.c[each].is_not_distinct_from(kept.c[each])
            for each in self.columns
        ]
        # each row meets the one that it was paired with, found by its key: without an index over the columns, any other
        # join would compare all rows of the batch with all
        if len(here) == 1:
            kind = self.keys[0].type
            chosen = [(literal(key, kind), literal(other, kind)) for (key,), (other,) in pairs]
            partner = [there[0] == case(*chosen, value=here[0])]
        else:
            partner = [
                each == case(*((self._are(here, [key]), literal(other[number], each.type)) for key, other in pairs))
                for number, each in enumerate(there)
            ]
        query = (
            select(*here, *(each.label(f"dbkit_kept_{number}") for number, each in enumerate(there)))
            .select_from(gone.join(kept, and_(*partner)))
            .where(
                self._are(here, [key for key, _ in pairs]),
                *equal,
                *self._counting(gone),
                *self._counting(kept),
            )
            .with_for_update()
        )
        count = len(self.keys)
        return [(tuple(row[:count]), tuple(row[count:])) for row in connection.execute(query)]

    def remove(self, connection: Connection, keys: list[Key], soft_delete: SoftDelete | None) -> None:
        """Delete rows, or mark them as deleted."""
        for some in _parts(keys):
            chosen = self._are(self.keys, some)
            if soft_delete is None:
                connection.execute(self.table.delete().where(chosen))
            else:
                connection.execute(self.table.update().where(chosen).values(soft_delete.values(self.table)))

    def _counting(self, table: Any) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = [] if self._alive is None else [self._alive.is_alive(table)]
        if self._nulls_differ:
            found += [table.c[each].is_not(None) for each in self.columns]
        return found

    @staticmethod
    def _are(columns: Sequence[Any], keys: list[Key]) -> ColumnElement[bool]:
        if len(keys) == 1:
            return and_(*(each == value for each, value in zip(columns, keys[0], strict=True)))
        if len(columns) == 1:
            one: ColumnElement[bool] = columns[0].in_([value for (value,) in keys])
            return one
        return tuple_(*columns).in_(keys)


def _parts(items: list[Any]) -> list[list[Any]]:
    """Return items in parts that a statement can take: databases bound the number of its values."""
    return [items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE)]
