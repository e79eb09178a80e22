"""The queue before a database that takes one writer at a time.

SQLite lets one connection write; the others poll, and the luckiest wins. Inside a process the gate puts them in a line
instead: threads and asyncio tasks alike, first come, first served.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy.util import await_only

from dbkit.deadline import LIMIT
from dbkit.engines.line import Line, Place
from dbkit.exceptions import DBError, DBLockTimeout, ModeConflict


class Gate:
    """A fair lock for threads and tasks together, which knows its holder.

    :param subject: what it guards, for error texts.
    :param timeout_s: seconds that a caller waits in the line.
    """

    def __init__(self, subject: str, timeout_s: float) -> None:
        self._subject = subject
        self._timeout_s = timeout_s
        self._line = Line()
        self._holder: Any = None
        self._holder_thread = 0
        self._holder_loop: asyncio.AbstractEventLoop | None = None

    @property
    def waiting(self) -> int:
        """How many stand in the line."""
        return len(self._line.places)

    def acquire(self, thread: int) -> None:
        """Take the gate for a thread, which is its owner then, waiting for one's turn.

        :raises ModeConflict: the wait could never end.
        :raises DBLockTimeout: the turn did not come in time.
        :raises DeadlineExceeded: it did not come before the block's deadline.
        """
        place = None
        try:
            with self._line.lock:
                if self._holder is None or self._is_orphaned():
                    self._holder = self._holder_thread = thread
                    self._holder_loop = None
                    return
                self._refuse_endless(thread)
                if self._holder_thread == thread or any(each.thread == thread for each in self._line.places):
                    raise ModeConflict(
                        f"a blocking block waits for {self._subject}, which an asyncio block of the same thread holds, "
                        "so neither could go on; run the blocking one in a thread (asyncio.to_thread)"
                    )
                place = Place(thread, thread, None)
                self._line.places.append(place)
            timeout_s, error = self._patience()
            if not self._line.wait(place, timeout_s):
                raise error()
        except BaseException:
            if place is not None:
                self._line.abandon(place, partial(self.release, thread))
            raise

    def acquire_in_task(self, owner: Any, thread: int) -> None:
        """Take the gate in an asyncio task, inside SQLAlchemy's greenlet; raises what :meth:`acquire` does."""
        loop = asyncio.get_running_loop()
        place = None
        try:
            with self._line.lock:
                if self._holder is None or self._is_orphaned():
                    self._holder, self._holder_thread, self._holder_loop = owner, thread, loop
                    return
                self._refuse_endless(owner)
                if self._holder == thread:
                    self._refuse_endless(thread)  # the loop runs inside the block that holds it
                place = Place(owner, thread, loop)
                self._line.places.append(place)
            timeout_s, error = self._patience()
            if not await_only(self._line.wait_in_task(place, timeout_s)):
                raise error()
        except BaseException:
            if place is not None:
                self._line.abandon(place, partial(self.release, owner))
            raise

    def _patience(self) -> tuple[float, Callable[[], DBError]]:
        """Return how long to wait, and the error if that was in vain."""
        deadline = LIMIT.get()
        if deadline is None or deadline.left_s > self._timeout_s:
            return self._timeout_s, self._timed_out
        return max(0.0, deadline.left_s), partial(deadline.exceeded, f"the turn for {self._subject}")

    def release(self, owner: Any) -> None:
        """Hand the gate to the next in line."""
        with self._line.lock:
            if self._holder != owner:
                return
            self._holder = None
            while self._holder is None and self._line.places:
                place = self._line.places.popleft()
                if place.grant():
                    self._holder, self._holder_thread, self._holder_loop = place.tag, place.thread, place.loop

    def reset(self) -> None:
        """Forget holder and line, in the child of a fork."""
        self._line.reset()
        self._holder = None

    def _is_orphaned(self) -> bool:
        """Whether the holder was a task whose event loop was closed under it: it can never give the gate back."""
        return self._holder_loop is not None and self._holder_loop.is_closed()

    def _refuse_endless(self, owner: Any) -> None:
        if self._holder == owner:
            raise ModeConflict(
                f"a block needs {self._subject}, which an open block of the same thread or task holds until it ends: "
                "an .independent block inside another one, or a blocking `with` in two tasks of one event loop; let "
                "the inner block join, run it after the other has ended, or use `async with`"
            )

    def _timed_out(self) -> DBLockTimeout:
        return DBLockTimeout(
            message=(
                f"the turn for {self._subject} did not come within {self._timeout_s:g} s; keep blocks short, or raise "
                "[database] pool_timeout"
            )
        )


class _Gates:
    """The gates of this process: blocks of different Database objects on one file stand in one line."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_name: weakref.WeakValueDictionary[str, Gate] = weakref.WeakValueDictionary()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._in_child)

    def get(self, name: str, timeout_s: float) -> Gate:
        with self._lock:
            gate = self._by_name.get(name)
            if gate is None:
                gate = self._by_name[name] = Gate(f"the SQLite database {os.path.basename(name)!r}", timeout_s)
            return gate

    def _in_child(self) -> None:
        self._lock = threading.Lock()
        for gate in list(self._by_name.values()):
            gate.reset()


_GATES = _Gates()


def gate_for(name: str, timeout_s: float) -> Gate:
    """Return the gate of a thing that one block at a time may use; the first caller's timeout holds."""
    return _GATES.get(name, timeout_s)
