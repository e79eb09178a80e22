"""Who may use the one connection of a test, and the line before it."""

from __future__ import annotations

import asyncio
import threading
import weakref
from _thread import get_ident
from collections.abc import Callable
from typing import Any

from dbkit.engines.gate import Gate
from dbkit.exceptions import ModeConflict, TransactionOwnedElsewhere, UsageError
from dbkit.spec import Colour

User = Any
"""A thread, by its ident, or an asyncio task."""

SUBJECT = "the one connection of a test that is isolated by rollback (isolation 'clone' gives it several)"


class Owners:
    """The users of a test's connection: its owner, whom the owner lets in, or everyone.

    Nobody is let in for being started by the owner. Those who are in wait for each other in line. An owner that has
    ended, such as the task that ran a fixture, is succeeded by the next who comes.
    """

    def __init__(self, owner: User) -> None:
        self.hand_over(owner)
        self._threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        self._tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self._idents: set[int] = set()
        self._everyone = False

    @property
    def owner(self) -> User:
        """Whose test it is."""
        return self._owner

    def allow(self, user: object) -> None:
        """Let a thread (or its ident) or a task in."""
        if isinstance(user, threading.Thread):
            self._threads.add(user)
        elif isinstance(user, asyncio.Task):
            self._tasks.add(user)
        elif isinstance(user, int):
            self._idents.add(user)
        else:
            raise UsageError(f"a thread or an asyncio task may use a test's connection, not a {type(user).__name__}")

    def allow_all(self) -> None:
        """Let everyone in."""
        self._everyone = True

    def hand_over(self, user: User) -> None:
        """Make another one the owner."""
        self._owner, self._owner_name, self._owner_thread = user, name_of(user), _thread_of(user)

    def check(self, user: User) -> None:
        """Refuse a user who was not let in.

        :raises TransactionOwnedElsewhere: this one was not.
        """
        if user == self._owner or self._everyone or self._is_allowed(user):
            return
        if self._has_owner_ended():
            self.hand_over(user)
            return
        raise TransactionOwnedElsewhere(
            f"{name_of(user)} needs the test's connection, which belongs to {self._owner_name}; let it in with "
            "sandbox.allow(...), let everyone in with sandbox.allow_all(), or give the test isolation 'clone', where "
            "each has connections of its own. If it is left from an earlier test, join or await it there, before that "
            "test ends"
        )

    def _has_owner_ended(self) -> bool:
        if isinstance(self._owner, asyncio.Task):
            return self._owner.done()
        return self._owner_thread is not None and not self._owner_thread.is_alive()

    def _is_allowed(self, user: User) -> bool:
        if isinstance(user, int):
            return user in self._idents or any(thread.ident == user for thread in self._threads)
        return user in self._tasks


def current_user(colour: Colour) -> User:
    """Return who runs this code."""
    if colour is Colour.BLOCKING:
        return get_ident()
    return asyncio.current_task()


def name_of(user: User) -> str:
    """Return a user's name, as error texts write it."""
    if isinstance(user, asyncio.Task):
        runs = getattr(user.get_coro(), "__qualname__", None)
        return f"the task {user.get_name()!r}" + (f" of {runs}()" if runs else "")
    thread = _thread_of(user)
    if thread is not None:
        return f"the thread {thread.name!r}"
    return "code outside of any task" if user is None else f"the thread {user}"


def _thread_of(user: User) -> threading.Thread | None:
    return next((thread for thread in threading.enumerate() if thread.ident == user), None)


class Turnstile(Gate):
    """The gate before a test's connection: who is let in waits for their turn.

    A block of dbkit comes through before it takes the connection from the pool; other code comes through in the pool.

    :param admit: refuses who may not come in.
    """

    def __init__(self, timeout_s: float, admit: Callable[[User], None]) -> None:
        super().__init__(SUBJECT, timeout_s)
        self._admit = admit
        self._came_in: User = None
        self._turn_of: User = None
        self._is_block = False

    @property
    def holder(self) -> User:
        """Who has the turn."""
        return self._turn_of

    def acquire(self, thread: int) -> None:
        """Take the turn for a thread; raises as :meth:`Gate.acquire`, and what ``admit`` does."""
        self._admit(thread)
        try:
            super().acquire(thread)
        except ModeConflict as endless:
            raise self._explained(endless, thread) from None
        self._let_in(thread, thread)

    def acquire_in_task(self, owner: User, thread: int) -> None:
        """Take the turn for a task; raises as :meth:`acquire`."""
        self._admit(owner)
        try:
            super().acquire_in_task(owner, thread)
        except ModeConflict as endless:
            raise self._explained(endless, owner) from None
        # not the owner: a block may first need its connection at its end, which has a task of its own
        self._let_in(owner, asyncio.current_task())

    def _let_in(self, user: User, runner: User) -> None:
        try:
            self._admit(user)  # once more: the test may have ended meanwhile
        except BaseException:
            self.release(user)
            raise
        self._came_in = runner
        self._turn_of = user
        self._is_block = True

    def _explained(self, endless: ModeConflict, user: User) -> ModeConflict:
        """Return the error that says what to end, where it is no block."""
        if self._is_block or self._turn_of != user:
            return endless
        return ModeConflict(
            "the test's own session has an open transaction: commit it or close it before code under test needs the "
            f"connection. A Session or Connection of this thread or task holds {SUBJECT} until then"
        )

    def release(self, owner: User) -> None:
        """Hand the turn to the next in line."""
        self._came_in = None
        super().release(owner)

    def has_let_in(self, runner: User) -> bool:
        """Return whether the running thread or task has come through and has not taken the connection yet."""
        return runner is not None and self._came_in == runner

    def turn_taken(self) -> None:
        """Note that whoever came through has the connection."""
        self._came_in = None

    def acquire_for(self, user: User, colour: Colour) -> None:
        """Take the turn for code that opens no block.

        :raises ModeConflict: the wait could never end.
        """
        try:
            if colour is Colour.BLOCKING:
                self.acquire(user)
            else:
                self.acquire_in_task(user, get_ident())
        except ModeConflict as endless:
            if not (self._is_block and self._turn_of == user):
                raise
            raise ModeConflict(
                f"a Session or Connection was to begin while an open block of the same thread or task holds {SUBJECT}; "
                "use the block's own session, end the block first, or give the test isolation 'clone'"
            ) from endless
        self._is_block = False
