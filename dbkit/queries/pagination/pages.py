"""Pages of a statement by the place of a row, not by counting: the faces, blocking and asyncio."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from sqlalchemy import Enum, Select, literal_column, select, type_coerce
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import Query

from dbkit.exceptions import InvalidSetting, UsageError
from dbkit.queries.pagination.conditions import OrderedKey
from dbkit.queries.pagination.cursor import Position, Signer, digest, refuse_unwritable, stable
from dbkit.queries.pagination.handles import dialect_of, handle_of
from dbkit.queries.pagination.keys import SortKey, as_read, parse
from dbkit.queries.pagination.reading import Layout, Reader
from dbkit.queries.pagination.refusals import pageable, refuse_strangers
from dbkit.queries.pagination.sources import (
    is_nullable,
    leaves,
    missing_columns,
    perhaps_missing,
    refuse_more_rows,
    sources_of,
)
from dbkit.queries.pagination.style import Style, stored_type, style_of
from dbkit.transaction.greenlets import in_task

T = TypeVar("T")


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
        self._statement = pageable(statement)
        self._size = _checked_size(size)
        given = (key,) if isinstance(key, bytes | str) else key
        self._signer = Signer([each.encode() if isinstance(each, str) else each for each in given])
        self._bound_to = bound_to
        self._sources = sources_of(self._statement)
        self._missing = perhaps_missing(self._sources)
        self._keys = self._completed([parse(each, self._statement) for each in sort_by], is_unique)
        self._layouts: dict[str, Layout] = {}
        self._filter = _filter_of(self._statement, self._sources)

    def _completed(self, keys: list[SortKey], is_unique: bool) -> list[SortKey]:
        read = {leaf for source in self._sources for leaf in leaves(source)}
        keys = [replace(each, expression=as_read(each.expression, read)) for each in keys]
        expressions = [each.expression for each in keys]
        refuse_strangers(expressions, read)
        refuse_more_rows(self._statement, expressions, read)
        if not is_unique:
            descending = keys[-1].descending if keys else False
            keys += [SortKey(column, descending) for column in missing_columns(self._statement, expressions)]
        if not keys:
            raise UsageError("pages need a sort key; name one in sort_by")
        return keys

    def page(
        self, where: Any, cursor: str | None = None, *, size: int | None = None, parameters: Mapping[str, Any] = {}
    ) -> Page[T]:
        """Return the page that a cursor leads to, the first one without a cursor.

        :param where: the block: its session or connection, a :class:`.Database`, or a context object; or a session or
            connection of plain SQLAlchemy's.
        :param parameters: values of the statement's ``bindparam()``.
        :raises InvalidCursor: the cursor was changed, or belongs to another order or another filter.
        :raises NoTransaction: no block is open there, or it has ended.
        :raises HandleNotRequested: the block is one of asyncio, and this is the blocking method.
        :raises UsageError: ``where`` is nothing of the kind, or a sort key has values that a cursor cannot hold.
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
        handle = handle_of(where)
        layout = self._layout(dialect_of(handle, self._statement))
        filters = digest(*self._filter, *sorted(parameters.items()), self._bound_to)
        position = None if cursor is None else self._signer.read(cursor, layout.order, filters, layout.enums)
        limit = self._size if size is None else _checked_size(size)
        is_backward = is_last if position is None else position.is_backward
        rows, is_behind = Reader(handle, self._statement, layout, parameters).read(position, is_backward, limit)
        refuse_unwritable(value for _, values in rows for value in values)
        goes_on, rows = len(rows) > limit, rows[:limit]
        if is_backward:
            rows.reverse()
        has_next, has_previous = (is_behind, goes_on) if is_backward else (goes_on, is_behind)
        write = partial(self._signer.write, order=layout.order, filters=filters)
        if not rows:
            beside = None if position is None or not is_behind else write(_turned(position))
            return Page([], beside if has_next else None, beside if has_previous else None)
        here = write(Position(rows[-1][1]))
        before = write(Position(rows[0][1], is_backward=True)) if has_previous else None
        return Page([item for item, _ in rows], here if has_next else None, before, here)

    def _layout(self, dialect: Dialect) -> Layout:
        found = self._layouts.get(dialect.name)
        if found is None:
            style = style_of(dialect)
            keys = tuple(self._ordered(key, style, dialect) for key in self._keys)
            enums = tuple(key.read.type.enum_class if isinstance(key.read.type, Enum) else None for key in keys)
            order = digest(*(_described(key, has) for key, has in zip(self._keys, keys, strict=True)))
            found = self._layouts[dialect.name] = Layout(keys, style, enums, order)
        return found

    def _ordered(self, key: SortKey, style: Style, dialect: Dialect) -> OrderedKey:
        kind = stored_type(key.expression.type, dialect)
        compared, read = type_coerce(key.expression, kind), style.read(key.expression, kind)
        nulls_first, is_placed = None, True
        if is_nullable(key.expression, self._missing):
            own = None if style.nulls_are_smallest is None else style.nulls_are_smallest is not key.descending
            if key.nulls_first is None:
                nulls_first, is_placed = own if own is not None else not key.descending, own is not None
            else:
                nulls_first, is_placed = key.nulls_first, key.nulls_first is own
        return OrderedKey(
            key.expression, compared, read, key.descending, nulls_first, is_placed, casts=style.casts(kind)
        )


def _checked_size(size: int) -> int:
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise InvalidSetting(f"the size of a page is a whole number, at least 1; it is {size!r}")
    return size


def _turned(position: Position) -> Position:
    """Return the way back from an empty page, of which the row at which it began may be the first."""
    return Position(position.values, not position.is_backward, not position.is_inclusive)


def _described(key: SortKey, has: OrderedKey) -> tuple[Any, ...]:
    compiled: Any = key.expression.compile()
    return (str(compiled), *_values_of(compiled), key.descending, has.nulls_first)


def _filter_of(statement: Select[Any], sources: Sequence[Any]) -> tuple[Any, ...]:
    """Return what a statement is filtered by: its FROM and its conditions, not what it selects."""
    asked: Select[Any] = select(literal_column("1")).select_from(*sources)
    if statement.whereclause is not None:
        asked = asked.where(statement.whereclause)
    compiled: Any = asked.having(*statement._having_criteria).compile()
    return (str(compiled), *_values_of(compiled))


def _values_of(compiled: Any) -> list[tuple[str, Any]]:
    """Return the values in a text; those of IN have no order of their own, for they may come from a set."""
    return [
        (name, sorted(map(stable, value)) if compiled.binds[name].expanding and value is not None else value)
        for name, value in sorted(compiled.params.items())
    ]
