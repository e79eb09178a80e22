"""Plans: the order of calls decided once, driven blocking or in asyncio.

A plan is a generator that yields calls without arguments. :func:`drive` makes each call, :func:`adrive` awaits it; the
value, or the exception, goes back into the plan at the ``yield``. So a rule such as "try, wait, try again" is written
once and serves both colours.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

T = TypeVar("T")
Plan = Generator[Callable[[], Any], Any, T]
AsyncPlan = Generator[Callable[[], Awaitable[Any]], Any, T]


def drive(plan: Plan[T]) -> T:
    """Run a plan to its end in the calling thread and return its value."""
    resume: Callable[[Any], Callable[[], Any]] = plan.send
    value: Any = None
    while True:
        try:
            step = resume(value)
        except StopIteration as done:
            result: T = done.value
            return result
        try:
            resume, value = plan.send, step()
        except BaseException as error:  # an interrupt too: the plan's finally must run
            resume, value = plan.throw, error


async def adrive(plan: AsyncPlan[T]) -> T:
    """Run a plan to its end in the current task and return its value."""
    resume: Callable[[Any], Callable[[], Awaitable[Any]]] = plan.send
    value: Any = None
    while True:
        try:
            step = resume(value)
        except StopIteration as done:
            result: T = done.value
            return result
        try:
            resume, value = plan.send, await step()
        except BaseException as error:  # cancellation too: the plan's finally must run
            resume, value = plan.throw, error
