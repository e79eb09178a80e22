"""Taking a connection before a deadline: opening it, and what is asked on it before the block has it.

A blocking connect runs in a thread of its own, because no driver can be told to the millisecond when to give up. The
thread that comes too late closes what it has brought. In asyncio it is a task, which is cancelled.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from itertools import dropwhile
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.util import await_only, greenlet_spawn

from dbkit.backends.base import Backend
from dbkit.backends.cord import Cord
from dbkit.deadline import LIMIT, Deadline
from dbkit.engines.watchdog import WATCHDOG, Guard
from dbkit.spec import Colour

_MOST_AT_ONCE = 32
"""Connects of an engine that may run at once under a deadline; those that hang count until their driver gives up."""

_WAITED_FOR = "a connection to be opened"

_ARRIVING: ContextVar[list[tuple[Guard, Cord]] | None] = ContextVar("dbkit_arriving_connections", default=None)


@contextmanager
def arriving(deadline: Deadline) -> Iterator[None]:
    """Let all that is done inside to take a connection end before the deadline.

    :raises DeadlineExceeded: it has passed already.
    """
    deadline.check("a connection")
    opened: list[tuple[Guard, Cord]] = []
    limit, mark = LIMIT.set(deadline), _ARRIVING.set(opened)
    try:
        yield
    finally:
        LIMIT.reset(limit)
        _ARRIVING.reset(mark)
        for guard, cord in opened:
            guard.disarm()
            cord.let_go()


def install(engine: Engine, backend: Backend, colour: Colour) -> None:
    """Bound the connects of an engine where a deadline is set; install it after all that changes their arguments."""
    slots = threading.BoundedSemaphore(_MOST_AT_ONCE)

    def connect(dialect: Any, record: Any, arguments: list[Any], parameters: dict[str, Any]) -> Any:
        deadline = LIMIT.get()
        if deadline is None:
            return None
        left = deadline.check(_WAITED_FOR)
        driver = dialect.driver.removesuffix("_async")
        restore = backend.hurried(driver, parameters, left)

        def make() -> Any:
            made = None
            for listener in list(dropwhile(lambda each: each is not connect, dialect.dispatch.do_connect))[1:]:
                made = listener(dialect, record, arguments, parameters)
                if made is not None:
                    break
            return dialect.connect(*arguments, **parameters) if made is None else made

        if colour is Colour.BLOCKING:
            made = _in_thread(make, deadline, slots, dialect.do_terminate)
        else:
            made = _in_task(make, deadline, dialect.do_terminate)
        if restore is not None:
            restore(made)
        _guard(backend.cord(made, driver), deadline)
        return made

    event.listen(engine, "do_connect", connect)


def _guard(cord: Cord | None, deadline: Deadline) -> None:
    opened = _ARRIVING.get()
    if cord is not None and opened is not None:
        opened.append((WATCHDOG.arm(deadline.left_s, cord.cut), cord))


class _Attempt:
    """A connect in a thread, and who waits for it, if still somebody does."""

    def __init__(self, make: Callable[[], Any], discard: Callable[[Any], object]) -> None:
        self._make = make
        self._discard = discard
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._is_left = False
        self._made: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Connect, and close what nobody waits for any more."""
        made, error = None, None
        try:
            made = self._make()
        except BaseException as raised:  # raised again in the thread that waits
            error = raised
        with self._lock:
            is_late = self._is_left
            if not is_late:
                self._made, self._error = made, error
                self._ended.set()
        if is_late and made is not None:
            self._discard(made)

    def outcome(self, deadline: Deadline) -> Any:
        """Return the connection, or raise what the connect has raised, or that the time is up."""
        try:
            self._ended.wait(deadline.left_s)
        finally:
            with self._lock:
                self._is_left = not self._ended.is_set()
        if self._is_left:
            raise deadline.exceeded(_WAITED_FOR)
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return self._made


def _in_thread(
    make: Callable[[], Any], deadline: Deadline, slots: threading.Semaphore, discard: Callable[[Any], object]
) -> Any:
    if not slots.acquire(timeout=max(0.0, deadline.left_s)):
        raise deadline.exceeded("other connections to be opened, none of which has been")
    attempt = _Attempt(make, discard)
    context = copy_context()

    def work() -> None:
        try:
            context.run(attempt.run)
        finally:
            slots.release()

    try:
        threading.Thread(target=work, name="dbkit-connect", daemon=True).start()
    except BaseException:
        slots.release()
        raise
    return attempt.outcome(deadline)


def _in_task(make: Callable[[], Any], deadline: Deadline, discard: Callable[[Any], object]) -> Any:
    async def wait() -> Any:
        task: asyncio.Task[Any] = asyncio.ensure_future(greenlet_spawn(make))
        try:
            await asyncio.wait([task], timeout=max(0.0, deadline.left_s))
        except BaseException:
            leave(task)
            raise
        if not task.done():
            leave(task)
            raise deadline.exceeded(_WAITED_FOR)
        return task.result()

    def leave(task: asyncio.Task[Any]) -> None:
        task.add_done_callback(late)  # it may have ended in the very turn of the loop in which this one was cancelled
        task.cancel()

    def late(task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and task.exception() is None:
            discard(task.result())

    return await_only(wait())
