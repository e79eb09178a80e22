"""Many changes of one hot row, stored together: N callers need fewer than N transactions."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from dbkit.ambient import CURRENT, innermost, is_in_block
from dbkit.exceptions import DBError, DeadlineExceeded, InvalidSetting, LimitReached, Outcome, StaleRow, UsageError
from dbkit.filters.marks import removal_of, rules_of
from dbkit.forking import mended_in_child
from dbkit.queries.locking.combining import Stage, Ticket, WaitingLine, fail, in_doubt, settle
from dbkit.queries.locking.counting import Counter
from dbkit.spec import Colour, Mode, Propagation, Protection, Retrying, TransactionSpec
from dbkit.transaction.decorate import decorate
from dbkit.transaction.factory import Factory
from dbkit.transaction.greenlets import in_task
from dbkit.transaction.manager import Databased
from dbkit.transaction.retrying import Holder
from dbkit.transaction.transaction import Transaction


class Combiner:
    """Adds to counters of one column, for many threads or tasks of a process at once.

    Whoever comes first stores what it has brought. What others bring meanwhile waits, and is added up and stored by the
    first of them in one transaction of its own, and so on. Each returns when its own part is known to be committed, or
    gets the error. Nothing polls, and a caller who is alone waits for nobody.

    :param database: a ``Database``, or a manager of ``enginefacade``.
    :param column: an attribute of a mapped class, such as ``Item.stock``, or a column.
    :param minimum: no counter becomes less; whom it would lead below gets :class:`.LimitReached`, and nobody else.
    :param maximum: no counter becomes more.
    :param exactly_once: COMMIT carries a token, so that a lost reply is decided; needs the token table.
    :param deadline_s: seconds that a transaction of the combiner may take, its repetitions included.
    :param max_waiting: as many may wait; others are turned away.
    :param max_batch: as many are stored by one transaction.
    :ivar transactions: how many were committed.
    :ivar added: how many callers' parts they have stored.
    :raises UsageError: that is no database, or no counter whose changes may be added up.
    :raises InvalidSetting: a number is out of bounds.

    .. versionadded:: 0.1
    """

    def __init__(
        self,
        database: Databased,
        column: Any,
        *,
        minimum: Any = None,
        maximum: Any = None,
        exactly_once: bool = False,
        deadline_s: float | None = None,
        max_waiting: int = 10_000,
        max_batch: int = 1000,
    ) -> None:
        if not isinstance(database, Databased):
            raise UsageError(
                "a combiner belongs to a dbkit.Database, or to a reader or writer of enginefacade; an object of class "
                f"{type(database).__name__} was given"
            )
        for name, value in (("max_waiting", max_waiting), ("max_batch", max_batch)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidSetting(f"{name} is a whole number, at least 1; it is {value!r}")
        self._database = database
        self._counter = Counter(column, minimum, maximum)
        _refuse_rules(self._counter)
        protection = Protection(Retrying(), exactly_once or None, None, deadline_s)
        self._spec = TransactionSpec(mode=Mode.WRITER, propagation=Propagation.REQUIRES_NEW, protection=protection)
        self._limits = (max_waiting, max_batch)
        self.transactions = 0
        self.added = 0
        self.in_child()
        mended_in_child(self)

    def in_child(self) -> None:
        """Forget those who wait: they are threads of the parent of a fork."""
        self._lock = threading.Lock()
        self._threads = _Batches(self, Colour.BLOCKING)
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Batches] = weakref.WeakKeyDictionary()

    def add(self, key: Any, by: Any = 1) -> Any:
        """Add to the counter of a row; return its value after that.

        The values that callers get are those of an order in which they might have come one after the other.

        :param key: one value, a tuple in the order of the primary key, or a mapping.
        :raises LimitReached: the counter would leave its bounds.
        :raises StaleRow: there is no such row, it is marked as deleted, or its counter is NULL.
        :raises CommitUnknown: it is not known whether it is stored.
        :raises DeadlineExceeded: the deadline of ``dbkit.within()`` has passed before its turn came; nothing is stored.
        :raises PoolOverloaded: too many wait already.
        :raises DBError: the transaction has failed; nothing is stored.
        :raises UsageError: a block is open, in which nobody should wait for the transactions of others.
        """
        batches = self._threads
        ticket = self._enter(batches, key, by, None)
        try:
            while ticket.stage is not Stage.DONE:
                if ticket.leads:
                    batches.lead()
                elif not ticket.wait(_left_s(ticket)) and batches.line.withdraw(ticket):
                    raise _too_late()
        except BaseException as interrupt:
            if not isinstance(interrupt, Exception):
                batches.line.withdraw(ticket)
                interrupt.outcome = ticket.outcome  # type: ignore[attr-defined]
            raise
        return _result(ticket)

    async def aadd(self, key: Any, by: Any = 1) -> Any:
        """Do in asyncio what :meth:`add` does; the tasks of one event loop are added up.

        A task that is cancelled while its part is being stored is told so when that has ended; the error has its
        ``outcome``.
        """
        loop = asyncio.get_running_loop()
        batches = self._loops.get(loop) or self._loops.setdefault(loop, _Batches(self, Colour.ASYNCIO))
        ticket = self._enter(batches, key, by, loop)
        return await batches.answered(ticket)

    def _enter(self, batches: _Batches, key: Any, by: Any, loop: asyncio.AbstractEventLoop | None) -> Ticket:
        if is_in_block():
            raise UsageError(
                "a combiner stores in a transaction of its own, for which nobody should wait inside a block; call it "
                "outside, or use increment() here"
            )
        ticket = Ticket(self._counter.target.key_of(key), by, loop)
        batches.line.enter(ticket)
        return ticket

    def _store(self, transaction: Transaction, tickets: list[Ticket]) -> dict[int, Any]:
        """Store what was handed in; return what each gets, by its place."""
        groups: dict[tuple[Any, ...], list[int]] = {}
        for place, ticket in enumerate(tickets):
            groups.setdefault(ticket.key, []).append(place)
        results: dict[int, Any] = {}
        for key in sorted(groups, key=repr):  # the same order in every process, so that none waits for another in turn
            places = groups[key]
            try:
                results |= self._together(transaction, key, places, tickets)
            except (LimitReached, StaleRow) as error:
                if len(places) == 1 or isinstance(error, StaleRow):
                    results |= {place: error.__copy__() for place in places}
                else:
                    results |= self._one_by_one(transaction, key, places, tickets)
        return results

    def _together(
        self, transaction: Transaction, key: tuple[Any, ...], places: list[int], tickets: list[Ticket]
    ) -> dict[int, Any]:
        parts = [tickets[place].by for place in places]
        total = sum(parts)
        least, most = sum(part for part in parts if part < 0), sum(part for part in parts if part > 0)
        value = self._counter.add(transaction, key, total, least, most) - total
        results = {}
        for place, part in zip(places, parts, strict=True):
            value += part
            results[place] = value
        return results

    def _one_by_one(
        self, transaction: Transaction, key: tuple[Any, ...], places: list[int], tickets: list[Ticket]
    ) -> dict[int, Any]:
        results: dict[int, Any] = {}
        for place in places:
            try:
                results[place] = self._counter.add(transaction, key, tickets[place].by)
            except LimitReached as error:
                results[place] = error
        return results

    def _note(self, count: int) -> None:
        """Count a transaction that has stored so many callers' parts."""
        with self._lock:
            self.transactions += 1
            self.added += count

    def _as_writer(self, function: Callable[[], Any]) -> Any:
        """Return a function as a writer of the combiner's, run again when that is safe."""
        return decorate(function, self._spec, _Holder(self._database), lambda function: None)


class _Holder(Holder):
    def __init__(self, database: Databased) -> None:
        self._database = database

    @property
    def factory(self) -> Factory:  # type: ignore[override]
        return self._database.factory  # each time anew: a test may have put another one in


class _Batches:
    """The batches of the threads of a process, or of the tasks of an event loop: one at a time."""

    def __init__(self, combiner: Combiner, colour: Colour) -> None:
        self._combiner = combiner
        self.line = WaitingLine(*combiner._limits)
        self._tickets: list[Ticket] = []
        self._leading: set[asyncio.Task[None]] = set()
        write = self._write if colour is Colour.BLOCKING else self._awrite
        self._store: Callable[[], Any] = combiner._as_writer(write)

    def _write(self) -> dict[int, Any]:
        return self._combiner._store(innermost().physical(), self._tickets)

    async def _awrite(self) -> dict[int, Any]:
        return await in_task(partial(self._combiner._store, innermost().physical(), self._tickets))

    def _nothing(self) -> bool:
        """Take what is waiting; return whether that is nothing: its callers were cancelled."""
        self._tickets = self.line.take()
        if not self._tickets:
            self.line.hand_on()
        return not self._tickets

    def lead(self) -> None:
        """Store what is waiting, and hand on."""
        if self._nothing():
            return
        token = CURRENT.set(None)  # the leader's own deadline is not the others'
        try:
            self._end(self._store(), None)
        except BaseException as error:
            self._end(None, error)
        finally:
            CURRENT.reset(token)
            self.line.hand_on()

    async def alead(self) -> None:
        """Do the same in a task of its own, which a cancellation of the leader does not reach."""
        if self._nothing():
            return
        CURRENT.set(None)
        try:
            self._end(await self._store(), None)
        except BaseException as error:
            self._end(None, error)
        finally:
            self.line.hand_on()

    def _end(self, results: dict[int, Any] | None, error: BaseException | None) -> None:
        tickets, self._tickets = self._tickets, []
        if isinstance(error, Exception):
            if len(tickets) > 1 and _may_be_one_callers(error):
                for ticket in tickets:
                    ticket.alone = True
                self.line.give_back(tickets)
            else:
                fail(tickets, error)
            return
        outcome = Outcome.COMMITTED if error is None else getattr(error, "outcome", Outcome.NOT_STARTED)
        if results is not None:
            self._combiner._note(len(tickets))
            settle(tickets, results)
        elif outcome in (Outcome.COMMITTED, Outcome.UNKNOWN):  # what the values were has died with the leader
            fail(tickets, in_doubt(getattr(error, "token", None)))
        else:
            self.line.give_back(tickets)
        if error is not None:
            raise error

    async def answered(self, ticket: Ticket) -> Any:
        """Return what a ticket's caller gets, leading if it must."""
        held: asyncio.CancelledError | None = None
        while ticket.stage is not Stage.DONE:
            try:
                if ticket.leads:
                    await self._led()
                elif not await ticket.wait_in_task(_left_s(ticket)) and self.line.withdraw(ticket):
                    raise _too_late()
            except asyncio.CancelledError as cancelled:
                held = cancelled
                if self.line.withdraw(ticket):
                    break
        if held is not None:
            held.outcome = ticket.outcome  # type: ignore[attr-defined]
            raise held
        return _result(ticket)

    async def _led(self) -> None:
        task = asyncio.ensure_future(self.alead())
        self._leading.add(task)  # an event loop holds its tasks weakly
        task.add_done_callback(self._leading.discard)
        await asyncio.shield(task)


def _may_be_one_callers(error: Exception) -> bool:
    """Return whether a batch may have failed because of a single part of it, such as one that is out of range."""
    if not isinstance(error, DBError) or isinstance(error, DeadlineExceeded):
        return False
    return not error.transient and error.outcome is not Outcome.UNKNOWN


def _left_s(ticket: Ticket) -> float | None:
    """Return how long a ticket may wait: what is being stored is waited for."""
    frame = innermost()
    if ticket.stage is not Stage.WAITING or frame is None or frame.deadline is None:
        return None
    left: float = frame.deadline.left_s
    return max(left, 0.0)


def _too_late() -> Exception:
    error: Exception = innermost().deadline.exceeded("its turn in a combiner", Outcome.NOT_STARTED)
    return error


def _result(ticket: Ticket) -> Any:
    if ticket.error is not None:
        raise ticket.error
    return ticket.value


def _refuse_rules(counter: Counter) -> None:
    table = counter.target.table
    removal = removal_of(table)
    for rule in rules_of(table):
        if removal is None or rule.name != removal.rule:
            raise UsageError(
                f"the rows of {table.name} obey the rule {rule.name!r}, which may depend on who asks; what different "
                "callers ask for cannot be stored by one of them: use increment()"
            )
