"""Pages of a statement by the place of a row, not by counting: the faces, blocking and asyncio."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from sqlalchemy import Enum, Select, literal_column, select
from sqlalchemy.engine import Dialect, result_tuple
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Query, Session, scoped_session

from dbkit.exceptions import InvalidSetting, UsageError
from dbkit.queries.pagination.conditions import OrderedKey, at, behind, order_by
from dbkit.queries.pagination.cursor import Position, Signer, digest
from dbkit.queries.pagination.keys import SortKey, parse
from dbkit.queries.pagination.sources import is_nullable, missing_columns, perhaps_missing, sources_of
from dbkit.queries.pagination.style import Style, stored_type, style_of
from dbkit.transaction.greenlets import in_task

T = TypeVar("T")

_OWN = "dbkit_"
_KEY, _MARKER = f"{_OWN}key_", f"{_OWN}at_marker"


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows in their order, and how to get at those before and behind them.

    :ivar items: the objects, values or rows.
    :ivar next: the cursor of the next page; None if there is none.
    :ivar previous: the cursor of the page before; None if there is none.
    :ivar here: a cursor behind the last row, also where nothing follows yet; None if there is no row.
    """

    items: Sequence[T]
    next: str | None = None
    previous: str | None = None
    here: str | None = None

    @property
    def has_next(self) -> bool:
        """Whether rows followed when the page was read."""
        return self.next is not None

    @property
    def has_previous(self) -> bool:
        """Whether rows stood before it when the page was read."""
        return self.previous is not None


@dataclass(frozen=True, slots=True)
class _Layout:
    """A statement as it is paged on one kind of database."""

    keys: tuple[OrderedKey, ...]
    style: Style
    enums: tuple[Any, ...]


class Pages(Generic[T]):
    """The pages of a statement.

    A row is in one page only and none is left out, whatever is inserted or deleted meanwhile elsewhere. Each page costs
    one statement, and a second one only if the row has gone at which the page begins.

    :param statement: a ``select()`` or a legacy ``Query``, without ORDER BY, LIMIT and OFFSET.
    :param sort_by: columns, attributes, hybrids, labels, other expressions or names, each with ``.asc()``, ``.desc()``,
        ``.nulls_first()`` or ``.nulls_last()`` as wished. A unique key is added if they don't name a row.
    :param key: the secret that signs cursors, of at least 16 bytes; of several, all are accepted and the first signs.
    :param size: how many rows a page has at most.
    :param bound_to: what else a cursor is bound to, such as the id of a user.
    :param is_unique: the sort keys differ in each row, though the tables don't say so.
    :raises InvalidSortKey: a sort key is none.
    :raises InvalidSetting: the key is too short, or the size below 1.
    :raises UsageError: the statement cannot be paged.

    .. versionadded:: 0.1
    """

    def __init__(
        self,
        statement: Select[Any] | Query[Any],
        *,
        sort_by: Iterable[Any],
        key: bytes | str | Sequence[bytes | str],
        size: int = 50,
        bound_to: str = "",
        is_unique: bool = False,
    ) -> None:
        self._statement = _pageable(statement)
        self._size = _checked_size(size)
        given = (key,) if isinstance(key, bytes | str) else key
        self._signer = Signer([each.encode() if isinstance(each, str) else each for each in given])
        self._bound_to = bound_to
        keys = [parse(each, self._statement) for each in sort_by]
        if not is_unique:
            descending = keys[-1].descending if keys else False
            added = missing_columns(self._statement, [each.expression for each in keys])
            keys += [SortKey(column, descending) for column in added]
        if not keys:
            raise UsageError("pages need a sort key; name one in sort_by")
        self._keys = keys
        self._sources = sources_of(self._statement)
        self._missing = perhaps_missing(self._sources)
        self._layouts: dict[str, _Layout] = {}
        self._filter = _filter_of(self._statement, self._sources)

    def page(
        self, where: Any, cursor: str | None = None, *, size: int | None = None, parameters: Mapping[str, Any] = {}
    ) -> Page[T]:
        """Return the page that a cursor leads to, the first one without a cursor.

        :param where: a session or connection of an open block, or a plain one of SQLAlchemy's.
        :param parameters: values of the statement's ``bindparam()``.
        :raises InvalidCursor: the cursor was changed, or belongs to another order or another filter.
        """
        return self._read(where, cursor, size, parameters, False)

    async def apage(
        self, where: Any, cursor: str | None = None, *, size: int | None = None, parameters: Mapping[str, Any] = {}
    ) -> Page[T]:
        """Return the page that a cursor leads to; as :meth:`page`."""
        return await in_task(partial(self._read, where, cursor, size, parameters, False))

    def last(self, where: Any, *, size: int | None = None, parameters: Mapping[str, Any] = {}) -> Page[T]:
        """Return the last page, which is a full one if there are rows enough."""
        return self._read(where, None, size, parameters, True)

    async def alast(self, where: Any, *, size: int | None = None, parameters: Mapping[str, Any] = {}) -> Page[T]:
        """Return the last page; as :meth:`last`."""
        return await in_task(partial(self._read, where, None, size, parameters, True))

    # -- reading ------------------------------------------------------------------------------------------------------

    def _read(
        self, where: Any, cursor: str | None, size: int | None, parameters: Mapping[str, Any], is_last: bool
    ) -> Page[T]:
        handle = _handle_of(where)
        dialect = handle.get_bind(clause=self._statement).dialect if isinstance(handle, Session) else handle.dialect
        layout = self._layout(dialect)
        order = digest(*(_described(key, has) for key, has in zip(self._keys, layout.keys, strict=True)))
        filters = digest(*self._filter, *sorted(parameters.items()), self._bound_to)
        position = None if cursor is None else self._signer.read(cursor, order, filters, layout.enums)
        limit = self._size if size is None else _checked_size(size)
        is_backward = is_last if position is None else position.is_backward
        rows, is_behind = self._fetched(handle, layout, position, is_backward, limit, parameters)
        goes_on, rows = len(rows) > limit, rows[:limit]
        if is_backward:
            rows.reverse()
        has_next, has_previous = (is_behind, goes_on) if is_backward else (goes_on, is_behind)
        write = partial(self._signer.write, order=order, filters=filters)
        if not rows:
            beside = None if position is None or not is_behind else write(_turned(position))
            return Page([], beside if has_next else None, beside if has_previous else None)
        here = write(Position(rows[-1][1]))
        before = write(Position(rows[0][1], is_backward=True)) if has_previous else None
        return Page([item for item, _ in rows], here if has_next else None, before, here)

    def _fetched(
        self, handle: Any, layout: _Layout, position: Position | None, is_backward: bool, limit: int, parameters: Any
    ) -> tuple[list[tuple[Any, tuple[Any, ...]]], bool]:
        """Return items with their keys, one more than the limit if there is one, and whether rows lie behind."""
        keys = _directed(layout, is_backward)
        statement = self._statement.add_columns(*(key.value.label(f"{_KEY}{n}") for n, key in enumerate(keys)))
        if position is None:
            asked = _ended(statement, layout, keys, limit + 1)
            return _executed(handle, asked, len(keys), parameters, False)[0], False
        statement = statement.add_columns(at(keys, position.values).label(_MARKER))
        # the row at the marker comes along: if it is there, something lies behind, and no second look is needed
        asked = _ended(_restricted(statement, layout, keys, position.values, True), layout, keys, limit + 2)
        rows, marks = _executed(handle, asked, len(keys), parameters)
        if not position.is_inclusive:
            kept = [row for row, is_marker in zip(rows, marks, strict=True) if not is_marker]
            if len(kept) < len(rows):
                return kept, True
            rows = kept
        other_way = _directed(layout, not is_backward)
        looked = _ended(_restricted(statement, layout, other_way, position.values, False), layout, other_way, 1)
        return rows, bool(_executed(handle, looked, len(keys), parameters)[0])

    def _layout(self, dialect: Dialect) -> _Layout:
        found = self._layouts.get(dialect.name)
        if found is None:
            style = style_of(dialect)
            keys = tuple(self._ordered(key, style, dialect) for key in self._keys)
            enums = tuple(key.value.type.enum_class if isinstance(key.value.type, Enum) else None for key in keys)
            found = self._layouts[dialect.name] = _Layout(keys, style, enums)
        return found

    def _ordered(self, key: SortKey, style: Style, dialect: Dialect) -> OrderedKey:
        kind = stored_type(key.expression.type, dialect)
        value = style.value(key.expression, kind)
        sorted_by = value if style.sorts_by_value(kind) else key.expression
        if not is_nullable(key.expression, self._missing):
            return OrderedKey(sorted_by, value, key.descending, None)
        own = None if style.nulls_are_smallest is None else style.nulls_are_smallest is not key.descending
        if key.nulls_first is None:
            nulls_first = own if own is not None else not key.descending
            return OrderedKey(sorted_by, value, key.descending, nulls_first, own is not None)
        return OrderedKey(sorted_by, value, key.descending, key.nulls_first, key.nulls_first is own)


def _pageable(statement: Any) -> Select[Any]:
    if isinstance(statement, Query):
        statement = statement.statement
    if not isinstance(statement, Select):
        raise UsageError(
            "pages are made of a select() or a Query; select from the subquery() of anything else, such as a union"
        )
    # SQLAlchemy has no public place for what a statement has of these
    if statement._order_by_clauses:
        raise UsageError("the statement has an ORDER BY of its own; take it off, and name the keys in sort_by")
    has_bounds = (statement._limit_clause, statement._offset_clause, statement._fetch_clause)
    if any(each is not None for each in has_bounds) or statement._distinct_on:
        raise UsageError("the statement has a LIMIT, an OFFSET or DISTINCT ON; put it into a subquery and page that")
    return statement


def _checked_size(size: int) -> int:
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise InvalidSetting(f"the size of a page is a whole number, at least 1; it is {size!r}")
    return size


def _handle_of(where: Any) -> Any:
    if isinstance(where, scoped_session):
        return where()
    if isinstance(where, AsyncSession):
        return where.sync_session
    return where.sync_connection if isinstance(where, AsyncConnection) else where


def _directed(layout: _Layout, is_backward: bool) -> list[OrderedKey]:
    return [key.backward() for key in layout.keys] if is_backward else list(layout.keys)


def _restricted(
    statement: Select[Any], layout: _Layout, keys: Sequence[OrderedKey], values: Sequence[Any], inclusive: bool
) -> Select[Any]:
    is_grouped = bool(statement._group_by_clauses)
    if is_grouped and layout.style.having_takes_names:
        keys = [replace(key, value=literal_column(f"{_KEY}{n}", key.value.type)) for n, key in enumerate(keys)]
    condition = behind(keys, values, inclusive=inclusive, compares_rows=layout.style.compares_rows)
    return statement.having(condition) if is_grouped else statement.where(condition)


def _ended(statement: Select[Any], layout: _Layout, keys: Sequence[OrderedKey], limit: int) -> Select[Any]:
    return statement.order_by(*order_by(keys, places_nulls=layout.style.places_nulls)).limit(limit)


def _executed(
    handle: Any, statement: Select[Any], count: int, parameters: Any, is_marked: bool = True
) -> tuple[list[Any], list[bool]]:
    """Return each row as its item and its keys, and whether it is the one at the marker."""
    result = handle.execute(statement, dict(parameters))
    if isinstance(handle, Session):
        result = result.unique()  # what joins of collections repeat; rows of ours are unique
    names = [str(name) for name in result.keys() if not name.startswith(_OWN)]
    fetched = result.all()
    width = len(fetched[0]) - count - is_marked if fetched else 0
    if len(names) < width:  # an alias of a model has no name in a row
        names = [each["name"] or f"column_{n}" for n, each in enumerate(statement.column_descriptions[:width])]
    made = result_tuple(names)
    rows = [(row[0] if width == 1 else made(row[:width]), tuple(row[width : width + count])) for row in fetched]
    return rows, [bool(row[-1]) for row in fetched]


def _turned(position: Position) -> Position:
    """Return the way back from an empty page, of which the row at which it began may be the first."""
    return Position(position.values, not position.is_backward, not position.is_inclusive)


def _described(key: SortKey, has: OrderedKey) -> tuple[Any, ...]:
    compiled = key.expression.compile()
    return (str(compiled), *sorted(compiled.params.items()), key.descending, has.nulls_first)


def _filter_of(statement: Select[Any], sources: Sequence[Any]) -> tuple[Any, ...]:
    """Return what a statement is filtered by: its FROM and its conditions, not what it selects."""
    asked: Select[Any] = select(literal_column("1")).select_from(*sources)
    if statement.whereclause is not None:
        asked = asked.where(statement.whereclause)
    compiled = asked.having(*statement._having_criteria).compile()
    return (str(compiled), *sorted(compiled.params.items()))
