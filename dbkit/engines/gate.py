"""The queue before a database that takes one writer at a time.

SQLite lets one connection write; the others poll, and the luckiest wins. Inside a process the gate puts them in a line
instead: threads and asyncio tasks alike, first come, first served.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.util import await_only

from dbkit.exceptions import DBLockTimeout, ModeConflict


@dataclass(eq=False, slots=True)
class _Place:
    """A place in the line."""

    owner: Any
    thread: int
    turn: threading.Event | asyncio.Future[None]
    loop: asyncio.AbstractEventLoop | None = None
    granted: bool = field(default=False)

    def grant(self) -> bool:
        """Wake whoever waits; return False if nobody can: the event loop was closed under its tasks."""
        if isinstance(self.turn, threading.Event):
            self.turn.set()
        else:
            assert self.loop is not None
            try:
                self.loop.call_soon_threadsafe(_wake, self.turn)
            except RuntimeError:
                return False
        self.granted = True
        return True


def _wake(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


class Gate:
    """A fair lock for threads and tasks together, which knows its holder.

    :param subject: what it guards, for error texts.
    :param timeout_s: seconds that a caller waits in the line.
    """

    def __init__(self, subject: str, timeout_s: float) -> None:
        self._subject = subject
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._line: deque[_Place] = deque()
        self._holder: Any = None
        self._holder_thread = 0

    @property
    def waiting(self) -> int:
        """The number of callers in the line."""
        return len(self._line)

    def acquire(self, thread: int) -> None:
        """Take the gate for a thread, which is its owner then, waiting for one's turn.

        :raises ModeConflict: the wait could never end.
        :raises DBLockTimeout: the turn did not come in time.
        """
        with self._lock:
            if self._holder is None:
                self._holder = self._holder_thread = thread
                return
            self._refuse_endless(thread)
            if self._holder_thread == thread or any(place.thread == thread for place in self._line):
                raise ModeConflict(
                    f"a blocking block waits for {self._subject}, which an asyncio block of the same thread holds, so "
                    "neither could go on; run the blocking one in a thread (asyncio.to_thread)"
                )
            place = _Place(thread, thread, threading.Event())
            self._line.append(place)
        assert isinstance(place.turn, threading.Event)
        try:
            in_time = place.turn.wait(self._timeout_s)
        except BaseException:
            if self._give_up(place):
                self.release(thread)
            raise
        if not in_time and not self._give_up(place):
            raise self._timed_out()

    def acquire_in_task(self, owner: Any, thread: int) -> None:
        """Take the gate in an asyncio task, inside SQLAlchemy's greenlet; raises what :meth:`acquire` does."""
        with self._lock:
            if self._holder is None:
                self._holder, self._holder_thread = owner, thread
                return
            self._refuse_endless(owner)
            loop = asyncio.get_running_loop()
            place = _Place(owner, thread, loop.create_future(), loop)
            self._line.append(place)
        await_only(self._wait(place))

    async def _wait(self, place: _Place) -> None:
        assert isinstance(place.turn, asyncio.Future)
        try:
            async with asyncio.timeout(self._timeout_s):
                await place.turn
        except BaseException as error:
            granted = self._give_up(place)
            if isinstance(error, TimeoutError):
                if granted:
                    return
                raise self._timed_out() from None
            if granted:
                self.release(place.owner)
            raise

    def release(self, owner: Any) -> None:
        """Hand the gate to the next in line."""
        with self._lock:
            if self._holder != owner:
                return
            self._holder = None
            while self._line and self._holder is None:
                place = self._line.popleft()
                if place.grant():
                    self._holder, self._holder_thread = place.owner, place.thread

    def reset(self) -> None:
        """Forget holder and line, in the child of a fork."""
        self._lock = threading.Lock()
        self._line.clear()
        self._holder = None

    def _refuse_endless(self, owner: Any) -> None:
        if self._holder == owner:
            raise ModeConflict(
                f"an .independent block needs {self._subject}, which the block around it holds until it ends; let the "
                "inner block join (drop .independent), or run it after the outer one has ended"
            )

    def _give_up(self, place: _Place) -> bool:
        """Leave the line; return whether the turn had come in the meantime."""
        with self._lock:
            if not place.granted:
                self._line.remove(place)
            return place.granted

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
