"""The statements of a compare-and-swap, in blocking style, for one row and for many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, and_, case, inspect, literal, or_, select
from sqlalchemy.orm import InstanceState, Session
from sqlalchemy.orm.attributes import set_committed_value

from dbkit.engines.connection import TrackedConnection
from dbkit.exceptions import Outcome, StaleRow, UsageError
from dbkit.queries.locking.seen import Swap, Wish, checked, refuse_unseen, wish_for, wish_of
from dbkit.queries.target import Target, is_computed, target_of
from dbkit.queries.where import transaction_of
from dbkit.transaction.stale import Row, Sight, changes, locks_to_see
from dbkit.transaction.transaction import Transaction

_MERGES = 5
_ROWS_OF_A_STATEMENT = 200


@dataclass(frozen=True, slots=True)
class Swapped:
    """What became of the rows of :func:`.compare_and_swap_all`.

    :ivar versions: the new versions of those that were changed, by their keys; None where the table has none.
    :ivar conflicts: an error for each that was left as it is.

    .. versionadded:: 0.1
    """

    versions: Mapping[Any, Any]
    conflicts: Sequence[StaleRow] = ()


def swap(
    where: Any,
    named: Any,
    key: Any = None,
    expected: Any = None,
    values: Mapping[Any, Any] | None = None,
    *,
    seen: Mapping[Any, Any] | None = None,
    on_conflict: str | None = None,
) -> Any:
    """Change a row if it is as it was seen; return its new version."""
    transaction = transaction_of(where)
    target = target_of(named)
    state = inspect(named, raiseerr=False)
    instance = named if isinstance(state, InstanceState) else None
    if instance is not None:
        if key is not None:
            raise UsageError("an object knows its key; leave the key out, and pass values by their name")
        wish = wish_for(target, instance, values, expected)
        is_ours = state.session is not None and state.session is transaction.session
    else:
        wish, is_ours = wish_of(target, key, expected, values or {}, seen or {}), False
    policy = checked(on_conflict or ("rerun" if is_ours else "fail"))
    if policy == "merge":
        refuse_unseen(target, wish)
    swapper = Swapper(transaction, target)
    return swapper.swap(wish, instance, merges=policy == "merge", transient=is_ours or policy == "rerun")


def swap_all(where: Any, named: Any, swaps: Iterable[Swap], on_conflict: str = "fail") -> Swapped:
    """Change rows, each if it is as it was seen."""
    if on_conflict not in ("fail", "rerun", "report"):
        raise UsageError(f"on_conflict is one of fail, rerun, report; it is {on_conflict!r}")
    transaction = transaction_of(where)
    target = target_of(named)
    wishes = [wish_of(target, each.key, each.expected, each.values, {}) for each in swaps]
    if len({wish.key for wish in wishes}) < len(wishes):
        raise UsageError(f"a row of {target.name} is named twice; one statement changes it once")
    swapper = Swapper(transaction, target)
    versions: dict[Any, Any] = {}
    conflicts: list[StaleRow] = []
    for first in range(0, len(wishes), _ROWS_OF_A_STATEMENT):
        some = wishes[first : first + _ROWS_OF_A_STATEMENT]
        found, lost = swapper.swap_all(some, transient=on_conflict == "rerun", goes_on=on_conflict == "report")
        versions |= found
        conflicts += lost
        if conflicts and on_conflict != "report":
            break
    if conflicts and on_conflict != "report":
        raise swapper.refusal(conflicts, changed=bool(versions))
    return Swapped(versions, tuple(conflicts))


class Swapper:
    """Compare-and-swap in one transaction, on one table."""

    def __init__(self, transaction: Transaction, target: Target) -> None:
        self._transaction = transaction
        self._target = target
        self._connection: TrackedConnection = transaction.connect()
        self._connection.driver_level  # noqa: B018 - the dialect knows its server from the first connection on
        self._returns = self._connection.dialect.update_returning

    # -- one row --------------------------------------------------------------------------------------------------

    def swap(self, wish: Wish, instance: Any, *, merges: bool, transient: bool) -> Any:
        """Change a row; return its new version.

        :raises StaleRow: it is not as it was seen.
        """
        target = self._target
        shown: dict[Column[Any], Any] = {}
        for left in reversed(range(_MERGES if merges else 1)):
            stored = self._send(wish)
            if stored is not None:
                self._show(wish, {**shown, **stored}, instance)
                return None if target.version is None else stored.get(target.version)
            row = self._look([wish], for_update=merges).get(wish.key)
            if not left or row is None or not row.is_alive or changes(self._touched(wish), row.values):
                break
            wish = wish.after(target, row)
            shown = {column: row.values[column.key] for column in target.table.columns}
        raise self._conflict(wish, row, transient)

    @staticmethod
    def _touched(wish: Wish) -> dict[str, Any]:
        """Return what the columns were, when they were seen, that are to be changed."""
        return {column.key: wish.seen[column.key] for column in wish.values}

    def _send(self, wish: Wish) -> dict[Column[Any], Any] | None:
        """Send the one statement; return what the columns are now that it has changed; None if there was no such row.

        What only the database knows is asked for in the same statement where it has UPDATE ... RETURNING; else in
        another one, if there is somebody who would look at it.
        """
        target = self._target
        values = {**wish.values, **target.bump(wish.version)}
        if target.version in values and target.counts and wish.version is not None:
            values[target.version] = wish.version + 1
        asked = [column for column in self._set_by_database(values) if column is not None]
        statement = target.table.update().where(*wish.criteria(target)).values(values)
        if self._returns and asked:
            statement = statement.returning(*asked)
        result = self._connection.execute(statement)
        if self._returns and asked:
            row = result.one_or_none()
            if row is None:
                return None
            answer = tuple(row)
        elif not result.rowcount:
            return None
        elif asked:
            answer = tuple(self._connection.execute(select(*asked).where(*target.is_row(wish.key))).one())
        else:
            answer = ()
        stored = {column: value for column, value in values.items() if not is_computed(value)}
        sent = result.last_updated_params()
        for column in target.table.columns:
            if column not in values and column.onupdate is not None and column.key in sent:
                stored[column] = sent[column.key]
        return {**stored, **dict(zip(asked, answer, strict=True))}

    def _set_by_database(self, values: Mapping[Column[Any], Any]) -> list[Column[Any]]:
        """Return the columns whose new values only the database knows."""
        target = self._target
        computed = [column for column, value in values.items() if is_computed(value)]
        for column in target.table.columns:
            if column in values:
                continue
            by_expression = column.onupdate is not None and getattr(column.onupdate, "is_clause_element", False)
            by_itself = column.server_onupdate is not None or (column is target.version and column not in values)
            if by_expression or by_itself:
                computed.append(column)
        return computed

    # -- many rows ------------------------------------------------------------------------------------------------

    def swap_all(
        self, wishes: Sequence[Wish], *, transient: bool, goes_on: bool
    ) -> tuple[dict[Any, Any], list[StaleRow]]:
        """Change rows with one statement; return the new versions by keys, and the conflicts.

        Where there is no UPDATE ... RETURNING, the rows that are as they were seen are locked and named by a SELECT
        before it.

        :param goes_on: those that are as they were seen are changed though others are not.
        """
        target = self._target
        keys = tuple(target.table.primary_key.columns)
        won: Sequence[Wish] = wishes
        if self._returns:
            found = self._connection.execute(self._statement(wishes).returning(*keys, *self._versions())).all()
            versions = {tuple(row[: len(keys)]): row[-1] if target.version is not None else None for row in found}
            won = [wish for wish in wishes if wish.key in versions]
        else:
            matching = or_(*(and_(*wish.criteria(target)) for wish in wishes))
            found = self._connection.execute(select(*keys, *self._versions()).where(matching).with_for_update()).all()
            before = {tuple(row[: len(keys)]): row[-1] for row in found}
            won = [wish for wish in wishes if wish.key in before]
            versions = {}
            if won and (goes_on or len(won) == len(wishes)):
                self._connection.execute(self._statement(won))
                versions = {wish.key: self._next(before[wish.key]) for wish in won}
        for wish in won:
            if wish.key in versions:
                stored = {column: value for column, value in wish.values.items() if not is_computed(value)}
                if target.version is not None:
                    stored[target.version] = versions[wish.key]
                self._show(wish, stored, None)
        lost = [wish for wish in wishes if wish not in won]
        rows = self._look(lost) if lost else {}
        conflicts = [self._conflict(wish, rows.get(wish.key), transient) for wish in lost]
        return {target.told(key): version for key, version in versions.items()}, conflicts

    def _versions(self) -> list[Column[Any]]:
        return [] if self._target.version is None else [self._target.version]

    def _next(self, before: Any) -> Any:
        return before + 1 if self._target.version is not None and self._target.counts else None

    def _statement(self, wishes: Sequence[Wish]) -> Any:
        target = self._target
        columns = dict.fromkeys(column for wish in wishes for column in wish.values)
        values: dict[Column[Any], Any] = {column: self._for_each(column, wishes) for column in columns}
        values |= target.bump()
        matching: ColumnElement[bool] = or_(*(and_(*wish.criteria(target)) for wish in wishes))
        return target.table.update().where(matching).values(values)

    def _for_each(self, column: Column[Any], wishes: Sequence[Wish]) -> Any:
        """Return what a column becomes in each of the rows; it stays as it is where nothing else is wished for."""
        whens = [
            (and_(*self._target.is_row(wish.key)), self._value(column, wish.values[column]))
            for wish in wishes
            if column in wish.values
        ]
        return case(*whens, else_=column)

    @staticmethod
    def _value(column: Column[Any], value: Any) -> Any:
        return value if is_computed(value) else literal(value, column.type)

    def refusal(self, conflicts: Sequence[StaleRow], *, changed: bool) -> StaleRow:
        """Return the error for several rows; what was changed beside them must not be committed."""
        first = conflicts[0]
        first.others = tuple(conflicts[1:])
        if changed:
            first.outcome = Outcome.ABORTED
            self._connection.condemn(first)
        return first

    # -- conflicts ------------------------------------------------------------------------------------------------

    def _look(self, wishes: Iterable[Wish], *, for_update: bool = False) -> dict[tuple[Any, ...], Row]:
        target = self._target
        sight = Sight(target.table, target.version, locks=locks_to_see(self._connection, for_update=for_update))
        keys = [column.key for column in target.table.primary_key.columns]
        rows = sight.look(self._connection, [or_(*(and_(*target.is_row(wish.key)) for wish in wishes))])
        return {tuple(row.values[key] for key in keys): row for row in rows}

    def _conflict(self, wish: Wish, row: Row | None, transient: bool) -> StaleRow:
        target = self._target
        seen = {
            name: value for name, value in wish.seen.items() if target.version is None or name != target.version.key
        }
        sight = Sight(target.table, target.version)
        return sight.conflict(row, target.told(wish.key), wish.version, seen, transient=transient)

    # -- objects --------------------------------------------------------------------------------------------------

    def _show(self, wish: Wish, stored: Mapping[Column[Any], Any], instance: Any) -> None:
        """Let the objects that stand for the row have the values that it has now.

        One that was loaded with another version than the statement has met, and of which only some columns are known
        now, is left as it is: it would look as if it were up to date.
        """
        target, session = self._target, self._transaction.session
        if target.mapper is None:
            return
        held = None if session is None else _held(session, target, wish.key)
        for each in {id(each): each for each in (instance, held) if each is not None}.values():
            version = None if target.version is None else target.attribute(target.version)
            knows_all = len(stored) >= len(target.table.columns)
            if version is not None and not knows_all and each.__dict__.get(version) != wish.version:
                continue
            pending = inspect(each).committed_state
            for column, value in stored.items():
                name = target.attribute(column)
                if name is not None and (column in wish.values or name not in pending):
                    set_committed_value(each, name, value)


def _held(session: Session, target: Target, key: tuple[Any, ...]) -> Any:
    assert target.mapper is not None
    return session.identity_map.get(target.mapper.identity_key_from_primary_key(key))
