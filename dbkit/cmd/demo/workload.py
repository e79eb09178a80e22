"""The requests carried out by many at once: by threads, by asyncio tasks, and by both on one database."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import Any

from dbkit.clock import SYSTEM_CLOCK
from dbkit.cmd.demo import aapi, api
from dbkit.cmd.demo.context import RequestContext, main_context
from dbkit.cmd.demo.inventory import PROJECT
from dbkit.cmd.demo.requests import Asked
from dbkit.exceptions import DBError, Outcome

_ATTEMPTS = 12
_LONGEST_PAUSE_S = 0.25

Functions = Mapping[str, Callable[..., Any]]

_ACTIONS = ("usage", "associate", "disassociate", "move", "bulk_associate", "evacuate", "register")


def functions_of(module: ModuleType) -> Functions:
    """Return the inventory's functions in a colour, by the action that they carry out."""
    return {action: getattr(module, action) for action in _ACTIONS}


class Interrupted(Exception):
    """The failure that the workload injects, when the inventory's function has done its work and before COMMIT."""


@dataclass(slots=True)
class Answer:
    """What became of a request, as its caller saw it.

    :ivar changes: how many changes of addresses it was told to be stored; None if it failed.
    :ivar notifications: how many ``after_commit`` hooks ran for it.
    :ivar conflicts: the errors after which it was run again.
    :ivar is_consistent: False if a reader saw a quota that does not match what is counted.
    """

    asked: Asked
    changes: int | None = None
    error: Exception | None = None
    notifications: int = 0
    conflicts: list[DBError] = field(default_factory=list)
    is_consistent: bool = True

    @property
    def attempts(self) -> int:
        """How often it was begun."""
        return len(self.conflicts) + 1

    @property
    def is_write(self) -> bool:
        """Whether it would have changed something."""
        return self.asked.action != "usage"

    def succeeded(self, result: Any) -> None:
        """Take down what the function returned."""
        if self.is_write:
            self.changes = result
        else:
            self.changes, self.is_consistent = 0, result[0] == result[1]


@dataclass(frozen=True, slots=True)
class Phase:
    """Requests that were carried out at once, and how long it took."""

    name: str
    answers: list[Answer]
    seconds: float


@dataclass(slots=True)
class Crew:
    """Who carries the requests out.

    :param advance: called once for each request that has its answer, from any thread.
    """

    threads: int
    tasks: int
    advance: Callable[[], None] = lambda: None
    blocking: Functions = field(default_factory=partial(functions_of, api))
    asyncio: Functions = field(default_factory=partial(functions_of, aapi))
    stop: threading.Event = field(default_factory=threading.Event)


# -- one request -----------------------------------------------------------------------------------------------------


def may_run_again(error: Exception, attempts: int) -> bool:
    """Return whether a request that failed so is begun again: only if it is certain that nothing of it is stored.

    To be asked at the outermost call only, when the whole transaction is over.
    """
    return (
        isinstance(error, DBError) and error.transient and error.outcome is not Outcome.UNKNOWN and attempts < _ATTEMPTS
    )


def pause_s(attempts: int) -> float:
    """Return how long to wait before the next attempt: by chance, so that two in conflict don't meet again."""
    return SYSTEM_CLOCK.uniform(0, min(_LONGEST_PAUSE_S, 0.005 * 2**attempts))


def carry_out(asked: Asked, functions: Functions) -> Answer:
    """Carry a request out in this thread. Every error becomes part of the answer."""
    answer = Answer(asked)
    context = RequestContext(PROJECT, asked.id)
    function = functions[asked.action]
    while True:
        try:
            call = _interrupted if asked.breaks_off else _call
            answer.succeeded(call(function, context, asked))
        except Exception as error:  # the end of the line: what any caller may see is what the demo is about
            if may_run_again(error, answer.attempts):
                assert isinstance(error, DBError)
                answer.conflicts.append(error)
                SYSTEM_CLOCK.sleep(pause_s(answer.attempts))
                continue
            answer.error = error
        answer.notifications = len(context.notifications)
        return answer


def _call(function: Callable[..., Any], context: RequestContext, asked: Asked) -> Any:
    return function(context, *asked.arguments)


def _interrupted(function: Callable[..., Any], context: RequestContext, asked: Asked) -> Any:
    with main_context.writer.using(context):
        function(context, *asked.arguments)
        raise Interrupted("the caller broke off")


async def acarry_out(asked: Asked, functions: Functions) -> Answer:
    """Do as :func:`carry_out`, in this task."""
    answer = Answer(asked)
    context = RequestContext(PROJECT, asked.id)
    function = functions[asked.action]
    while True:
        try:
            call = _ainterrupted if asked.breaks_off else _call
            answer.succeeded(await call(function, context, asked))
        except Exception as error:  # as above
            if may_run_again(error, answer.attempts):
                assert isinstance(error, DBError)
                answer.conflicts.append(error)
                await SYSTEM_CLOCK.asleep(pause_s(answer.attempts))
                continue
            answer.error = error
        answer.notifications = len(context.notifications)
        return answer


async def _ainterrupted(function: Callable[..., Awaitable[Any]], context: RequestContext, asked: Asked) -> Any:
    async with main_context.writer.using(context):
        await function(context, *asked.arguments)
        raise Interrupted("the caller broke off")


# -- many at once ----------------------------------------------------------------------------------------------------


def by_threads(asked: Sequence[Asked], crew: Crew) -> list[Answer]:
    """Carry requests out by threads, each of which takes every n-th."""

    def work(share: Sequence[Asked]) -> list[Answer]:
        answers = []
        for each in share:
            if crew.stop.is_set():
                break
            answers.append(carry_out(each, crew.blocking))
            crew.advance()
        return answers

    with ThreadPoolExecutor(crew.threads) as pool:
        try:
            shares = list(pool.map(work, (asked[first :: crew.threads] for first in range(crew.threads))))
        except BaseException:  # an interrupt too: the threads must not go on to the end
            crew.stop.set()
            raise
    return [answer for share in shares for answer in share]


def by_tasks(asked: Sequence[Asked], crew: Crew) -> list[Answer]:
    """Carry requests out by asyncio tasks, in an event loop of their own."""

    async def work(share: Sequence[Asked]) -> list[Answer]:
        answers = []
        for each in share:
            if crew.stop.is_set():
                break
            answers.append(await acarry_out(each, crew.asyncio))
            crew.advance()
        return answers

    async def all_at_once() -> list[Answer]:
        try:
            shares = await asyncio.gather(*(work(asked[first :: crew.tasks]) for first in range(crew.tasks)))
        finally:
            await main_context.dispose_pool_async()
        return [answer for share in shares for answer in share]

    return asyncio.run(all_at_once())


def by_both(asked: Sequence[Asked], crew: Crew) -> list[Answer]:
    """Carry requests out by threads and, at the same time, by asyncio tasks."""
    with ThreadPoolExecutor(1) as beside:
        future = beside.submit(by_tasks, asked[1::2], crew)
        try:
            return by_threads(asked[::2], crew) + future.result()
        except BaseException:
            crew.stop.set()
            raise


def phases(asked: Sequence[Asked], crew: Crew) -> list[Phase]:
    """Carry all requests out: a part by threads, a part by tasks, a part by both."""
    ways: dict[str, Callable[[Sequence[Asked], Crew], list[Answer]]] = {f"blocking, {crew.threads} threads": by_threads}
    if crew.tasks:
        ways[f"asyncio, {crew.tasks} tasks"] = by_tasks
        ways["both at once"] = by_both
    done = []
    share = -(-len(asked) // len(ways))
    for number, (name, way) in enumerate(ways.items()):
        begun = time.monotonic()
        answers = way(asked[number * share : (number + 1) * share], crew)
        done.append(Phase(name, answers, time.monotonic() - begun))
    return done
