"""Functions that may be run again: the runs of one call, each with a transaction of its own.

Only the call that opens the transaction is run again, and only when the transaction is known to be rolled back or was
never made. A call that takes part in an open transaction is passed on to the plain block: it can't undo what was done
before it, so whoever opened the transaction must decide.
"""

from __future__ import annotations

import asyncio
import functools
from _thread import get_ident
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from dbkit.ambient import CURRENT, innermost, leave
from dbkit.clock import Clock
from dbkit.deadline import Deadline
from dbkit.exceptions import Outcome, UsageError
from dbkit.plan import adrive, drive
from dbkit.retry.arguments import ArgumentCopier, Arguments
from dbkit.retry.course import retrying
from dbkit.retry.policy import Policy
from dbkit.retry.statistics import RetryEvent, RetryHook
from dbkit.retry.verdict import Kind, judge
from dbkit.spec import Colour, Mode, Propagation, Protection, Retrying, TransactionSpec
from dbkit.transaction.ending import aend, end, tell
from dbkit.transaction.factory import Factory
from dbkit.transaction.provider import hint_at_provider
from dbkit.transaction.scope import Scope, entering, find
from dbkit.transaction.state import State

Key = Callable[[tuple[Any, ...], dict[str, Any]], Any]


class Holder(Protocol):
    """What has the factory; a test may put another one in."""

    factory: Factory


def is_retried(spec: TransactionSpec) -> bool:
    """Return whether a function that asks for this may be run again."""
    return spec.protection is not None and spec.protection.retrying is not None


def refuse_blocks_that_are_run_again(spec: TransactionSpec, function: str | None = None) -> None:
    """Refuse what cannot be run again though it asks for it: the body of a ``with`` statement.

    :param function: the name of the context manager that asks.
    :raises UsageError: it does.
    """
    if is_retried(spec):
        what = "a with statement" if function is None else f"{function}, a context manager,"
        raise UsageError(
            f"the code under {what} cannot be run again, and .retrying() promises that; write it as a function and "
            "decorate that, or use .replaying, which repeats the statements and not the code"
        )


class Terms:
    """What the declaration and the settings say of a function's runs; the settings are read when a run has failed."""

    __slots__ = ("_asked", "_factory", "clock", "function")

    def __init__(self, function: str, asked: Retrying, factory: Factory) -> None:
        self.function = function
        self.clock: Clock = factory.clock
        self._asked = asked
        self._factory = factory

    @property
    def also(self) -> tuple[type[Exception], ...]:
        """Classes of errors that are worth another run of this function."""
        return self._asked.also

    def _policy(self) -> Policy:
        asked, settings = self._asked, self._factory.settings
        return Policy(
            max_retries=settings.db_max_retries if asked.max_retries is None else asked.max_retries,
            interval_s=settings.db_retry_interval if asked.interval_s is None else asked.interval_s,
            conflict_interval_s=settings.db_conflict_retry_interval,
            max_interval_s=settings.db_max_retry_interval if asked.max_interval_s is None else asked.max_interval_s,
            grows=settings.db_inc_retry_interval,
        )

    def allows(self, retries: int) -> bool:
        """Return whether there may be so many runs after the first one."""
        return self._policy().allows(retries)

    def wait_s(self, kind: Kind, retry: int, previous_s: float | None) -> float:
        """Return the seconds to wait before a run after the first one."""
        return self._policy().wait_s(kind, retry, previous_s, self.clock.uniform)

    def may_spend(self, kind: Kind) -> bool:
        """Return whether the database's budget pays for one more run."""
        settings = self._factory.settings
        share = settings.db_conflict_retry_budget if kind.is_conflict else settings.db_retry_budget
        return self._factory.retry_budget.spend(kind.is_conflict, share)

    def hooks(self) -> Sequence[RetryHook]:
        """Return who is told."""
        return self._factory.settings.on_retry

    def note(self, event: RetryEvent) -> None:
        """Count the event."""
        self._factory.retry_counters.note(event)

    def note_recovery(self) -> None:
        """Count a call that ended well after more than one run."""
        self._factory.retry_counters.note_recovery()


class Run:
    """One run of the function as an outermost block.

    The frame goes onto the chain with the run and leaves it with it, before the transaction ends and long before the
    wait for the next run: nothing is open meanwhile.
    """

    __slots__ = ("_call", "_end", "_scope", "_terms")

    def __init__(self, scope: Scope, call: Callable[[], Any], end: Callable[..., Any], terms: Terms) -> None:
        self._scope = scope
        self._call = call
        self._end = end
        self._terms = terms

    @property
    def deadline(self) -> Deadline | None:
        """When the call must have ended."""
        return self._scope.deadline

    def running(self) -> Generator[Callable[[], Any], Any, Any]:
        """Plan: enter, call, end the transaction."""
        scope = self._scope
        token = CURRENT.set(scope)
        try:
            result = yield self._call
        except BaseException as error:
            scope.is_open = False
            leave(token)
            if isinstance(error, AttributeError):
                hint_at_provider(error, scope.key)
            if scope.transaction is not None:
                yield partial(self._end, scope.transaction, error)
            else:
                tell(error, None)
            raise
        scope.is_open = False
        leave(token)
        if scope.transaction is not None:
            yield partial(self._end, scope.transaction, None)
        return result

    def cut_short(self, error: BaseException) -> None:
        """Let a cancellation that ends the wait for the next run say what became of this one."""
        tell(error, self._scope.transaction)

    def judge(self, error: Exception, outside: BaseException | None) -> Kind | None:
        """Return of what kind the run's error is, if its transaction is known to be rolled back or was never made."""
        transaction = self._scope.transaction
        doom = None
        if transaction is not None:
            if transaction.outcome is not State.ROLLED_BACK:
                return None
            doom = transaction.doom
            if doom is None and transaction.connection is not None:
                doom = transaction.connection.doom
        return judge(error, self._terms.also, doom, outside)


@dataclass(slots=True)
class Call:
    """One call that opens a transaction: makes its runs.

    :ivar owner: the thread's ident or the asyncio task in which it is made.
    :ivar arguments: gives each run its arguments.
    :ivar deadline: when the last run must have ended; set by the first.
    """

    function: Any
    spec: TransactionSpec
    factory: Factory
    key: Any
    owner: Any
    colour: Colour
    terms: Terms
    arguments: Callable[[], Arguments]
    deadline: Deadline | None = None

    def begin(self, end: Callable[..., Any]) -> Run:
        """Return the next run.

        :param end: ends the transaction, in the colour of the call.
        """
        args, kwargs = self.arguments()
        scope = Scope(self.key, self.factory, self.owner, innermost(), self.spec, self.colour)
        if self.deadline is None:
            self.deadline = scope.deadline
        else:  # it has begun with the first run, and is the same for all
            self.deadline.check("another run", Outcome.NOT_STARTED)
            scope.deadline = self.deadline
        return Run(scope, partial(self.function, *args, **kwargs), end, self.terms)


def _opens(spec: TransactionSpec, current: Any, key: Any, factory: Factory) -> bool:
    """Return whether the call opens a transaction that may be run again by itself."""
    if spec.propagation is Propagation.REQUIRES_NEW:
        return True
    frame = current
    while frame is not None:
        # what the function writes through a block around it would be written again: there, that block must decide
        is_open_block = frame.is_open and frame.is_block
        if is_open_block and (frame.spec.mode is Mode.WRITER or (frame.key is key and frame.source is factory)):
            return False
        frame = frame.outer
    return True


def _without_retrying(spec: TransactionSpec) -> TransactionSpec:
    """Return what each run asks for: a plain block if nothing else is asked for."""
    assert spec.protection is not None
    rest = replace(spec.protection, retrying=None)
    return replace(spec, protection=None if rest == Protection() else rest)


class _Maker:
    """Makes the calls of one decorated function."""

    def __init__(self, function: Any, spec: TransactionSpec, holder: Holder, key_of: Key | None) -> None:
        assert spec.protection is not None and spec.protection.retrying is not None
        self._function = function
        self._name = getattr(function, "__qualname__", type(function).__qualname__)
        self._asked = spec.protection.retrying
        self._spec = _without_retrying(spec)
        self._holder = holder
        self._key_of = key_of
        self._copier = ArgumentCopier(function)

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any], colour: Colour) -> Call | None:
        """Return the call, or None if it takes part in an open transaction."""
        factory = self._holder.factory
        key = factory if self._key_of is None else self._key_of(args, kwargs)
        current = innermost()
        if not _opens(self._spec, current, key, factory):
            return None
        outer = None if current is None else find(current, key, factory)
        if outer is None:
            me: Any = get_ident() if colour is Colour.BLOCKING else asyncio.current_task()
        else:
            _, me, colour = entering(self._spec, outer, colour)
        keeps = None if self._key_of is None else partial(_carries, key)
        arguments = self._copier.repeatable(args, kwargs, keeps)
        terms = Terms(self._name, self._asked, factory)
        factory.retry_budget.note_call()
        return Call(self._function, self._spec, factory, key, me, colour, terms, arguments)


def _carries(key: Any, value: Any) -> bool:
    return getattr(value, "_dbkit_key", None) is key


def retried(function: Any, block: Any, spec: TransactionSpec, holder: Holder, key_of: Key | None) -> Any:
    """Return a function that is run again when that is safe and worth it.

    :param block: the same function as a plain block, for calls that take part in an open transaction.
    """
    maker = _Maker(function, spec, holder, key_of)

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        call = maker.call(args, kwargs, Colour.BLOCKING)
        if call is None:
            return block(*args, **kwargs)
        factory = call.factory
        sleep = factory.clock.sleep if call.colour is Colour.BLOCKING else factory.sleep_in_greenlet
        return drive(retrying(call.terms, partial(call.begin, end), sleep))

    return run


def retried_coroutine(function: Any, block: Any, spec: TransactionSpec, holder: Holder, key_of: Key | None) -> Any:
    """Return a coroutine function that is run again when that is safe and worth it; else as :func:`retried`."""
    maker = _Maker(function, spec, holder, key_of)

    @functools.wraps(function)
    async def run(*args: Any, **kwargs: Any) -> Any:
        call = maker.call(args, kwargs, Colour.ASYNCIO)
        if call is None:
            return await block(*args, **kwargs)
        sleep: Callable[[float], Awaitable[None]] = call.factory.clock.asleep
        return await adrive(retrying(call.terms, partial(call.begin, aend), sleep))

    return run
