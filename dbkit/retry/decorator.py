"""``wrap_db_retry``: oslo.db's decorator, for functions that open their transaction themselves."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar, cast

from dbkit.ambient import innermost, is_in_block
from dbkit.clock import SYSTEM_CLOCK, Clock
from dbkit.deadline import Deadline
from dbkit.exceptions import DBConnectionError, InvalidDecoration, InvalidSetting, TransactionDoomed
from dbkit.plan import adrive, drive
from dbkit.retry.arguments import ArgumentCopier, Arguments
from dbkit.retry.course import Terms, retrying
from dbkit.retry.policy import doubling
from dbkit.retry.statistics import RetryEvent, RetryHook
from dbkit.retry.verdict import Kind, has_given_up, is_in_doubt, judge

Judge = Callable[[Exception, BaseException | None], Kind | None]
F = TypeVar("F", bound=Callable[..., Any])

_LEAST_WAIT = 0.01
"""The part of a step that is waited even with full jitter."""


def _never(error: Exception) -> bool:
    return False


def wrap_db_retry(
    retry_interval: float = 1,
    max_retries: int = 20,
    inc_retry_interval: bool = True,
    max_retry_interval: float = 10,
    retry_on_disconnect: bool = False,
    retry_on_deadlock: bool = False,
    exception_checker: Callable[[Exception], bool] = _never,
    jitter: bool = False,
    *,
    on_retry: RetryHook | Iterable[RetryHook] = (),
    clock: Clock = SYSTEM_CLOCK,
) -> Callable[[F], F]:
    """Let a function, or coroutine function, be run again when it fails in a way that may pass.

    Inside an open block, of whatever database, the function is called once and nothing else happens: only who opened
    the transaction can run all of it again. A :class:`.RetryRequest` is always followed; :class:`.CommitUnknown` never.
    Each run gets copies of the arguments that a run could change.

    :param retry_interval: seconds that the first wait doesn't exceed.
    :param max_retries: runs after the first one; -1 sets no limit.
    :param inc_retry_interval: whether that doubles with each run.
    :param max_retry_interval: seconds that no wait exceeds.
    :param retry_on_disconnect: run again when the connection was lost or could not be made.
    :param retry_on_deadlock: run again after a deadlock, a serialization failure or a lock that was not granted.
    :param exception_checker: says of any other error whether it is worth another run.
    :param jitter: wait for any part of the step, as after a deadlock; otherwise for at least half of it.
    :param on_retry: functions that are told of each run that failed.
    :raises InvalidDecoration: the function is a generator function, or the brackets of the decorator are missing.
    :raises InvalidSetting: a number is out of bounds, or the checker is no function.

    .. versionadded:: 0.1
    """
    refuse_a_function(retry_interval, "wrap_db_retry()")
    if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < -1:
        raise InvalidSetting(f"max_retries is a whole number, at least -1, which sets no limit; it is {max_retries!r}")
    for name, value in (("retry_interval", retry_interval), ("max_retry_interval", max_retry_interval)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise InvalidSetting(f"{name} is a number of seconds, at least 0; it is {value!r}")
    if not callable(exception_checker):
        raise InvalidSetting(f"exception_checker is a function of the error; it is {exception_checker!r}")
    hooks = tuple(on_retry) if isinstance(on_retry, Iterable) else (on_retry,)

    def wait_s(kind: Kind, retry: int, previous_s: float | None) -> float:
        lowest = _LEAST_WAIT if jitter or kind in (Kind.CONFLICT, Kind.SERIALIZATION) else 0.5
        return doubling(
            float(retry_interval), float(max_retry_interval), retry, inc_retry_interval, lowest, clock.uniform
        )

    def judge_here(error: Exception, outside: BaseException | None) -> Kind | None:
        kind = judge(error, outside=outside)
        if kind is Kind.REQUESTED or (retry_on_deadlock and kind in (Kind.CONFLICT, Kind.SERIALIZATION)):
            return kind
        if retry_on_disconnect and (kind is Kind.CONNECTION or _is_refused_by_server(kind, error)):
            return kind
        if not has_given_up(error) and not is_in_doubt(error, outside) and exception_checker(error):
            return kind or Kind.OPTED_IN
        return None

    def decorate(function: F) -> F:
        terms = _Terms(_name(function), clock, max_retries, wait_s, hooks)
        return cast(F, _wrapped(function, terms, judge_here))

    return decorate


def refuse_a_function(value: object, written: str) -> None:
    """Refuse a function that stands where an argument belongs: the brackets of a decorator were left out.

    :param written: the decorator with its brackets.
    :raises InvalidDecoration: it is one.
    """
    if callable(value) and not isinstance(value, type):
        raise InvalidDecoration(
            f"{_name(value)} was given to {written} as its argument; write the decorator with the brackets"
        )


def _is_refused_by_server(kind: Kind | None, error: Exception) -> bool:
    return kind is Kind.OVERLOAD and isinstance(error, (DBConnectionError, TransactionDoomed))


def _name(function: Any) -> str:
    return getattr(function, "__qualname__", type(function).__qualname__)


class _Terms:
    """What was given to the decorator."""

    def __init__(
        self,
        function: str,
        clock: Clock,
        max_retries: int,
        wait_s: Callable[[Kind, int, float | None], float],
        hooks: Sequence[RetryHook],
    ) -> None:
        self.function = function
        self.clock = clock
        self.wait_s = wait_s
        self._max_retries = max_retries
        self._hooks = hooks

    def allows(self, retries: int) -> bool:
        return self._max_retries < 0 or retries <= self._max_retries

    def may_spend(self, kind: Kind) -> bool:
        return True

    def hooks(self) -> Sequence[RetryHook]:
        return self._hooks

    def note(self, event: RetryEvent) -> None: ...

    def note_recovery(self) -> None: ...


class _Run:
    """One run of the function."""

    def __init__(self, function: Any, arguments: Arguments, judge: Judge) -> None:
        frame = innermost()
        self._function = function
        self._arguments = arguments
        self.judge = judge
        self.deadline: Deadline | None = None if frame is None else frame.deadline

    def running(self) -> Generator[Callable[[], Any], Any, Any]:
        args, kwargs = self._arguments
        return (yield partial(self._function, *args, **kwargs))

    def cut_short(self, error: BaseException) -> None: ...


def _wrapped(function: Any, terms: Terms, judge: Judge) -> Any:
    if not callable(function) or isinstance(function, type):
        raise InvalidDecoration(f"only functions can be run again; {terms.function} is none")
    called = function if inspect.isroutine(function) or isinstance(function, partial) else type(function).__call__
    if any(inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each) for each in _layers(called)):
        raise InvalidDecoration(
            f"{terms.function} is a generator function: its body runs outside of the call, and cannot be run again; "
            "return a list"
        )
    copier = ArgumentCopier(function)

    def begin(arguments: Callable[[], Arguments]) -> _Run:
        return _Run(function, arguments(), judge)

    if inspect.iscoroutinefunction(called):

        @functools.wraps(function)
        async def arun(*args: Any, **kwargs: Any) -> Any:
            if is_in_block():
                return await function(*args, **kwargs)
            return await adrive(retrying(terms, partial(begin, copier.repeatable(args, kwargs)), terms.clock.asleep))

        return arun

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        if is_in_block():
            return function(*args, **kwargs)
        return drive(retrying(terms, partial(begin, copier.repeatable(args, kwargs)), terms.clock.sleep))

    return run


def _layers(function: Any) -> tuple[Any, Any]:
    """Return the function and what it wraps at last: a context manager's wrapper hides a generator function."""
    return function, inspect.unwrap(function)
