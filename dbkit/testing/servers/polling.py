"""Waiting for an event that can only be looked for: the one place that looks, pauses and gives up."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

from dbkit.clock import SYSTEM_CLOCK, Clock
from dbkit.exceptions import DBError

T = TypeVar("T")

#: A piece of work that yields whenever it has nothing to do but wait, and returns its result.
Waiting = Generator[None, None, T]

PAUSE_S = 0.01


def waiting(condition: Callable[[], T | None], bound_s: float, what: str, clock: Clock = SYSTEM_CLOCK) -> Waiting[T]:
    """Look again and again until the condition gives something true, and return that.

    :param what: the event that is awaited, for the text of the error.
    :raises TimeoutError: it was not seen within ``bound_s`` seconds.
    """
    end = clock.now() + bound_s
    while True:
        value = condition()
        if value:
            return value
        if clock.now() >= end:
            raise TimeoutError(f"{what}: not seen within {bound_s:g} s")
        yield


def together(works: Iterable[Waiting[None]]) -> Waiting[None]:
    """Do several works at the same time, each to its end.

    :raises DBError, OSError: the first error of any of them, when all have ended.
    """
    pending, errors = list(works), list[DBError | OSError]()
    while pending:
        for work in list(pending):
            try:
                next(work)
            except StopIteration:
                pending.remove(work)
            except (DBError, OSError) as failed:
                pending.remove(work)
                errors.append(failed)
        if pending:
            yield
    if errors:
        raise errors[0]


def finish(work: Waiting[T], clock: Clock = SYSTEM_CLOCK) -> T:
    """Do the work to its end in the calling thread, with a short pause wherever it waits."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            result: T = done.value
            return result
        clock.sleep(PAUSE_S)


def wait_until(condition: Callable[[], T | None], bound_s: float, what: str, clock: Clock = SYSTEM_CLOCK) -> T:
    """Block until the condition gives something true, and return that.

    :param what: the event that is awaited, for the text of the error.
    :raises TimeoutError: it was not seen within ``bound_s`` seconds.
    """
    return finish(waiting(condition, bound_s, what, clock), clock)
