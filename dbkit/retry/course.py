"""One call on its way through its runs: after each failure, what comes next; and the loop, for both colours."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any, Protocol

from dbkit.clock import Clock
from dbkit.deadline import Deadline
from dbkit.exceptions import DeadlineExceeded, RetryRequest
from dbkit.retry.statistics import GaveUp, RetryEvent, RetryHook
from dbkit.retry.verdict import Kind

LOG = logging.getLogger(__name__)


class Terms(Protocol):
    """What holds for all calls of a function: asked for only when a run has failed."""

    function: str
    clock: Clock

    def allows(self, retries: int) -> bool:
        """Return whether there may be so many runs after the first one."""

    def wait_s(self, kind: Kind, retry: int, previous_s: float | None) -> float:
        """Return the seconds to wait before a run after the first one."""

    def may_spend(self, kind: Kind) -> bool:
        """Return whether the budget pays for one more run."""

    def hooks(self) -> Sequence[RetryHook]:
        """Return who is told."""

    def note(self, event: RetryEvent) -> None:
        """Count the event."""

    def note_recovery(self) -> None:
        """Count a call that ended well after more than one run."""


class Attempt(Protocol):
    """One run of the function, with a transaction of its own where it makes one."""

    def running(self) -> Generator[Callable[[], Any], Any, Any]:
        """Plan: make the run and return its value."""

    def judge(self, error: Exception, outside: BaseException | None) -> Kind | None:
        """Return of what kind the run's error is if another run is safe and worth it.

        :param outside: what was being handled when the call began.
        """

    def cut_short(self, error: BaseException) -> None:
        """Take note that the wait for the next run was ended by this."""

    @property
    def deadline(self) -> Deadline | None:
        """When the call must have ended."""


class Course:
    """The runs of one call so far."""

    __slots__ = ("_attempts", "_outside", "_previous_s", "_started", "_terms")

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._attempts = 0
        self._outside = sys.exception()
        self._started = terms.clock.now()
        self._previous_s: dict[bool, float] = {}

    def succeeded(self) -> None:
        """Take note that the call has ended well."""
        if self._attempts:
            self._terms.note_recovery()

    def failed(self, error: Exception, attempt: Attempt) -> tuple[float, BaseException | None]:
        """Return the seconds to wait before the next run, and None; or what to raise because there is none."""
        self._attempts += 1
        kind = attempt.judge(error, self._outside)
        if kind is None:
            if self._attempts > 1:
                self._tell(error, None, None, GaveUp.OTHER_ERROR)
                self._annotate(error)
            return 0.0, error
        delay_s, gave_up = self._next(kind, attempt.deadline)
        self._tell(error, kind, None if gave_up else delay_s, gave_up)
        if gave_up is None:
            return delay_s, None
        return 0.0, self._final(error, gave_up, attempt.deadline)

    def _next(self, kind: Kind, deadline: Deadline | None) -> tuple[float, GaveUp | None]:
        terms = self._terms
        if not terms.allows(self._attempts):
            return 0.0, GaveUp.EXHAUSTED
        previous_s = self._previous_s.get(kind.is_conflict)
        delay_s = terms.wait_s(kind, self._attempts, previous_s)
        if deadline is not None and delay_s >= deadline.left_s:
            return delay_s, GaveUp.DEADLINE
        if not terms.may_spend(kind):
            return delay_s, GaveUp.BUDGET
        if delay_s:
            self._previous_s[kind.is_conflict] = delay_s
        return delay_s, None

    def _final(self, error: Exception, gave_up: GaveUp, deadline: Deadline | None) -> BaseException:
        final: BaseException = error.inner_exc if isinstance(error, RetryRequest) else error
        if gave_up is GaveUp.BUDGET:
            _mark(final, "retry_budget_exhausted")
        elif gave_up is GaveUp.EXHAUSTED and self._attempts > 1:
            _mark(final, "retries_exhausted")
        if gave_up is GaveUp.DEADLINE and deadline is not None:
            exceeded = deadline.exceeded(f"another run of {self._terms.function}")
            exceeded.__cause__ = final
            final = exceeded
        self._annotate(final)
        return final

    def _annotate(self, error: BaseException) -> None:
        times = "once" if self._attempts == 1 else f"{self._attempts} times"
        spent_s = self._terms.clock.now() - self._started
        error.add_note(f"dbkit: {self._terms.function}() was run {times} in {spent_s:.3g} s, in vain")

    def _tell(self, error: Exception, kind: Kind | None, delay_s: float | None, gave_up: GaveUp | None) -> None:
        event = RetryEvent(self._terms.function, self._attempts, error, kind, delay_s, gave_up)
        LOG.debug(
            "run %d of %s() failed with %s, %s",
            event.attempt,
            event.function,
            type(error).__name__,
            f"the next begins in {delay_s:.3g} s" if gave_up is None else f"and there is no other: {gave_up.value}",
        )
        self._terms.note(event)
        for hook in self._terms.hooks():
            try:
                hook(event)
            except Exception:  # it looks on; what it does wrong must not change what becomes of the call
                LOG.exception("a hook that is told of retries failed: %r", hook)


def _mark(error: BaseException, name: str) -> None:
    try:
        setattr(error, name, True)
    except AttributeError:  # a class with slots; then only the note says it
        pass


def retrying(
    terms: Terms, begin: Callable[[], Attempt], sleep: Callable[[float], Any]
) -> Generator[Callable[[], Any], Any, Any]:
    """Plan: run until a run ends well, and return its value; or raise the last error.

    :param begin: returns the next run, which has not begun.
    """
    course = Course(terms)
    last: Exception | None = None
    while True:
        try:
            attempt = begin()
        except DeadlineExceeded as late:
            if last is None:
                raise
            raise late from last
        try:
            result = yield from attempt.running()
        except Exception as error:
            delay_s, final = course.failed(error, attempt)
            if final is error:
                raise
            last = None if attempt.deadline is None else error  # with it, all that the run has loaded stays alive
        else:
            course.succeeded()
            return result
        if final is not None:
            raise final
        try:
            yield partial(sleep, delay_s)
        except BaseException as cut:
            attempt.cut_short(cut)
            raise
