"""The limit on connections that the pools of one database share, and the line before it."""

from __future__ import annotations

import asyncio
from _thread import get_ident
from functools import partial
from typing import Protocol

from sqlalchemy.util import await_only

from dbkit.engines.line import Line, Place
from dbkit.exceptions import PoolTimeout

UNLIMITED = -1
_PATIENCE = 10
"""Connections that come back before one changes its role: opening another costs more than a short wait."""


class Member(Protocol):
    """A pool that draws on a capacity; ``held`` counts its connections, idle or in use."""

    held: int

    def checkedin(self) -> int:
        """Return the number of idle connections."""

    def idle_since(self) -> float:
        """Return since when the oldest idle connection is idle; infinity if there is none."""

    def evict(self) -> bool:
        """Close the connection that was idle longest; return whether there was one."""

    def suspect(self) -> None:
        """Test each connection that is idle now before its next use."""


class Capacity:
    """The connections that the pools of one database may hold together.

    A token is taken before a connection and given back with it. Waiting callers are served in order, each role from its
    own connections. At the limit a connection changes its role, which means closing it and opening another, only when
    the other role has none, or has been kept waiting for long: while a token is free, the first in line looks.

    :param size: connections that are kept open when idle, those that were used last; 0 keeps all.
    :param overflow: connections beyond ``size`` under load; -1 sets no limit.
    :param timeout_s: seconds that a caller waits for a connection.
    :param in_tasks: callers are asyncio tasks, inside SQLAlchemy's greenlet.
    """

    def __init__(self, size: int, overflow: int, timeout_s: float, *, in_tasks: bool = False) -> None:
        self.size = size
        self.limit = UNLIMITED if overflow < 0 or size == 0 else size + overflow
        self.timeout_s = timeout_s
        self.held = 0
        """Connections that exist, idle or in use."""
        self._in_tasks = in_tasks
        self._pools: list[Member] = []
        self._free = self.limit
        self._unused = 0
        """Connections that came back in a row while one lay idle and a caller of another role waited."""
        self._line = Line()

    @property
    def waiting(self) -> int:
        """How many callers wait for a connection."""
        return len(self._line.places)

    def attach(self, pool: Member) -> None:
        """Let a pool draw on this capacity."""
        self._pools.append(pool)

    def detach(self, pool: Member) -> None:
        """Stop evicting from a pool that was replaced."""
        if pool in self._pools:
            self._pools.remove(pool)

    def acquire(self, pool: Member) -> None:
        """Take the right to use one connection of a pool.

        :raises PoolTimeout: none came free in time.
        """
        if self.limit < 0:
            return
        with self._line.lock:
            if self._free > 0 and (not self._line.places or self._may_pass(pool)):
                if self.held < self.limit or pool.held == 0 or pool.checkedin():
                    self._free -= 1
                    return
            loop = asyncio.get_running_loop() if self._in_tasks else None
            place = Place(pool, get_ident(), loop)
            place.looks = self._free > 0 and not self._line.places
            self._line.places.append(place)
        pass_on = partial(self.release, pool)
        if self._in_tasks:
            came = await_only(self._line.wait_in_task(place, self.timeout_s, pass_on, self._take_idle))
        else:
            came = self._line.wait(place, self.timeout_s, pass_on, self._take_idle)
        if not came:
            raise self._exhausted()

    def release(self, pool: Member) -> None:
        """Give the right back; it goes to whoever waits for this role, unless another was passed too often."""
        if self.limit < 0:
            return
        with self._line.lock:
            self._free += 1
            if self._line.places:
                self._serve(pool)
            else:
                self._unused = 0

    def _take_idle(self, place: Place) -> None:
        """Let the first in line, and those behind it, have connections of another role that have lain idle for long."""
        with self._line.lock:
            if place.granted:
                return
            while self._free > 0 and self._line.places:
                self._grant(self._line.places[0])

    def _may_pass(self, pool: Member) -> bool:
        return all(place.tag is not pool for place in self._line.places)

    def _serve(self, pool: Member) -> None:
        places = self._line.places
        first = places[0]
        if first.tag is not pool:
            first.passed += 1
        place = first if first.passed >= _PATIENCE else next((each for each in places if each.tag is pool), None)
        if place is not None:
            self._grant(place)
        if not places or self._free == 0:
            self._unused = 0
            return
        self._unused += 1
        first = places[0]
        if self._unused >= _PATIENCE or self.held < self.limit or first.tag.held == 0:
            self._unused = 0
            self._grant(first)
        else:
            first.start_looking()

    def _grant(self, place: Place) -> None:
        self._line.remove(place)
        if place.grant():
            self._free -= 1

    def _exhausted(self) -> PoolTimeout:
        return PoolTimeout(
            message=(
                f"all {self.limit} connections are in use and none came free within {self.timeout_s:g} s; look for "
                "blocks that wait for something else while they hold a connection, or raise [database] max_pool_size "
                "or max_overflow within what the server allows"
            )
        )

    def count(self, pool: Member) -> None:
        """Count a connection that is about to be opened."""
        with self._line.lock:
            self.held += 1
            pool.held += 1

    def disclaim(self, pool: Member) -> None:
        """Stop counting a connection that is closed, or was never opened."""
        with self._line.lock:
            self.held -= 1
            pool.held -= 1

    def make_room(self, asking: Member) -> None:
        """Close idle connections of other roles while there is one too many."""
        while self.held > self.limit >= 0 and any(pool.evict() for pool in self._pools if pool is not asking):
            pass

    def trim(self) -> None:
        """Close those that were idle longest, whichever their role, while more are idle than are to be kept."""
        while sum(pool.checkedin() for pool in self._pools) > self.size:
            if not min(self._pools, key=_idle_since).evict():
                return

    def suspect(self) -> None:
        """Test each connection that is idle now before its next use: one of them was found dead."""
        for pool in self._pools:
            pool.suspect()

    def reset(self) -> None:
        """Forget what was held, in the child of a fork."""
        self._line.reset()
        self.held = 0
        for pool in self._pools:
            pool.held = 0
        self._free = self.limit


def _idle_since(pool: Member) -> float:
    return pool.idle_since()
