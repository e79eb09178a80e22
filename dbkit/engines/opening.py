"""How many connections may be opened at a time while the server is not well.

A server that was lost is not found again any sooner by thirty callers at once, each with a timeout of its own. While it
is unwell, one or two try for all of them: those who wait share the failure of who tried, and take whatever connection
comes back meanwhile. With each success more may try, until it is as always.
"""

from __future__ import annotations

import asyncio
import enum
from _thread import get_ident
from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any
from weakref import WeakSet

from sqlalchemy.util import await_only

from dbkit.clock import SYSTEM_CLOCK, Clock
from dbkit.deadline import LIMIT
from dbkit.engines.line import Line, Place
from dbkit.exceptions import DBError, PoolTimeout

AFTER_A_LOSS = 2
AFTER_A_REFUSAL = 1
ENOUGH = 5
"""How many may try at a time when a connection was lost and when one was refused, and from where on all may."""

_FIRST_PAUSE_S = 0.04
_LONGEST_PAUSE_S = 0.5


class Turn(enum.Enum):
    """What someone who wanted to open a connection may do."""

    OPEN = "open"
    """Open it, and say what came of it."""
    LOOK = "look"
    """A connection has come back; if someone else has it already, ask again."""


class Attempt:
    """Someone's wish to open a connection. One that is collected has ended, in whatever way: it keeps no turn."""

    __slots__ = ("__weakref__",)


class Openers:
    """Those who open connections to one server, for the pools that share a capacity.

    :param timeout_s: seconds that a caller waits for others to try.
    :ivar limit: how many may try at a time; None: as many as like, the server is well.
    """

    def __init__(self, timeout_s: float, clock: Clock = SYSTEM_CLOCK, *, in_tasks: bool = False) -> None:
        self.limit: int | None = None
        self._timeout_s = timeout_s
        self._clock = clock
        self._in_tasks = in_tasks
        self._running: WeakSet[Attempt] = WeakSet()
        self._refusals = 0
        self._not_before = float("-inf")
        self._line = Line()
        self.waiting = self._line.places
        """Those who wait for others to try."""

    # -- what is known of the server -----------------------------------------------------------------------------------

    def lost(self) -> None:
        """A connection was found dead: let few open new ones until some have been opened."""
        with self._line.lock:
            self.limit = AFTER_A_LOSS if self.limit is None else min(self.limit, AFTER_A_LOSS)

    def refused(self, error: Exception) -> None:
        """A connection could not be opened: those who wait get the same error, and the next attempt waits a moment."""
        with self._line.lock:
            self.limit = AFTER_A_REFUSAL
            self._refusals += 1
            longest_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(self._refusals - 1, 10))
            self._not_before = self._clock.now() + self._clock.uniform(longest_s / 2, longest_s)
            while self.waiting:
                self.waiting.popleft().grant(error)

    def opened(self) -> None:
        """A connection was opened: the server is there, and one more may try at a time."""
        with self._line.lock:
            self._refusals = 0
            self._not_before = float("-inf")
            if self.limit is not None:
                self.limit = None if self.limit + 1 >= ENOUGH else self.limit + 1
            self._admit()

    # -- the line ------------------------------------------------------------------------------------------------------

    def enter(self, pool: object, attempt: Attempt) -> Turn:
        """Wait for one's turn; who may open calls :meth:`leave` in the end.

        :param pool: where the caller could also find an idle connection.
        :param attempt: the caller holds it for as long as it tries.
        :raises Exception: what was raised to someone else who tried meanwhile.
        :raises PoolTimeout: nobody has succeeded or failed in time.
        """
        place = None
        try:
            with self._line.lock:
                if self.limit is None or len(self._running) < self.limit:
                    self._running.add(attempt)
                    return Turn.OPEN
                place = Place(pool, get_ident(), asyncio.get_running_loop() if self._in_tasks else None)
                place.owner = attempt
                self.waiting.append(place)
            return self._wait(place)
        except BaseException:
            if place is not None:
                self._line.abandon(place, partial(self._pass_on, place))
            raise

    def _wait(self, place: Place) -> Turn:
        limit, timeout_s = LIMIT.get(), self._timeout_s
        if limit is not None:
            timeout_s = max(0.0, min(timeout_s, limit.left_s))
        if self._in_tasks:
            came = await_only(self._line.wait_in_task(place, timeout_s))
        else:
            came = self._line.wait(place, timeout_s)
        if isinstance(place.answer, DBError):
            raise copy(place.answer)  # who gets an error of ours may write on it
        if isinstance(place.answer, Exception):
            raise place.answer
        if came:
            assert isinstance(place.answer, Turn)
            return place.answer
        if limit is not None and limit.left_s <= 0:
            raise limit.exceeded("another caller's attempt to reach the server")
        raise PoolTimeout(message=_NOBODY_GOT_THROUGH.format(self._timeout_s))

    def leave(self, attempt: Attempt) -> None:
        """Give the turn back; whoever is next may try."""
        with self._line.lock:
            self._running.discard(attempt)
            self._admit()

    def came_back(self, pool: object) -> None:
        """A connection of a pool is idle now: let one of those who wait for one look."""
        with self._line.lock:
            for place in list(self.waiting):
                if place.tag is pool:
                    self._line.remove(place)
                    if place.grant(Turn.LOOK):
                        return

    def pause(self) -> None:
        """Let the time pass that must lie between two attempts, if the last one failed.

        :raises DeadlineExceeded: the caller has no time for it.
        """
        pause_s = self._not_before - self._clock.now()
        if pause_s <= 0:
            return
        limit = LIMIT.get()
        if limit is None or limit.left_s > pause_s:
            self._sleep(pause_s)
            return
        self._sleep(max(0.0, limit.left_s))
        raise limit.exceeded("the next attempt to reach the server")

    def _sleep(self, seconds: float) -> None:
        if self._in_tasks:
            await_only(self._clock.asleep(seconds))
        else:
            self._clock.sleep(seconds)

    def reset(self) -> None:
        """Forget everyone, in the child of a fork."""
        self._line.reset()
        self._running.clear()

    def _admit(self) -> None:
        while self.waiting and (self.limit is None or len(self._running) < self.limit):
            place = self.waiting.popleft()
            if place.grant(Turn.OPEN):
                self._running.add(place.owner)

    def _pass_on(self, place: Place) -> None:
        if place.answer is Turn.OPEN:
            self.leave(place.owner)
        elif place.answer is Turn.LOOK:
            self.came_back(place.tag)


def open_in_turn(openers: Openers, pool: object, idle: Callable[[], Any], open_one: Callable[[], Any]) -> Any:
    """Return an idle connection or one that is opened now, in one's turn while the server is unwell.

    :param idle: returns an idle connection that can be used, or None.
    :param open_one: opens one, and tells the openers what came of it.
    """
    attempt = Attempt()
    while True:
        if openers.enter(pool, attempt) is Turn.OPEN:
            try:
                openers.pause()
                return idle() or open_one()
            finally:
                openers.leave(attempt)
        found = idle()
        if found is not None:
            return found


_NOBODY_GOT_THROUGH = (
    "the server is not well, so one caller at a time tries to reach it, and within {0:g} s none has got an answer; "
    "look at the server and at the network, or lower [database] connect_timeout"
)
