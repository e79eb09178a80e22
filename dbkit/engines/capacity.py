"""The limit on connections that the pools of one database share, and the line before it."""

from __future__ import annotations

import asyncio
from _thread import get_ident
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Protocol

from sqlalchemy.util import await_only

from dbkit.clock import SYSTEM_CLOCK, Clock
from dbkit.deadline import LIMIT
from dbkit.engines.holders import Holding, describe_holders
from dbkit.engines.line import Line, Place
from dbkit.engines.opening import Openers
from dbkit.engines.shedding import Shedding
from dbkit.exceptions import PoolOverloaded, PoolTimeout

UNLIMITED = -1
_PATIENCE = 10
"""Connections that come back before one changes its role: opening another costs more than a short wait."""

_EVIDENCE = 2
"""Connections in a row that gave no answer, after which the others that lie idle are dropped without a question."""


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

    def doubt_role(self) -> None:
        """Use no connection that is open now before it has shown that its server is the primary."""

    def condemn(self) -> None:
        """Drop all idle connections."""

    def holdings(self) -> Iterable[Holding]:
        """Return who has its connections in use."""


class Capacity:
    """The connections that the pools of one database may hold together.

    A token is taken before a connection and given back with it. Waiting callers are served in order, each role from its
    own connections. At the limit a connection changes its role, which means closing it and opening another, only when
    the other role has none, or has been kept waiting for long: while a token is free, the first in line looks.

    :param size: connections that are kept open when idle, those that were used last; 0 keeps all.
    :param overflow: connections beyond ``size`` under load; -1 sets no limit.
    :param timeout_s: seconds that a caller waits for a connection.
    :param in_tasks: callers are asyncio tasks, inside SQLAlchemy's greenlet.
    :param shedding: turns callers away when the line has been slow for long; None: everyone waits for ``timeout_s``.
    """

    def __init__(
        self,
        size: int,
        overflow: int,
        timeout_s: float,
        *,
        in_tasks: bool = False,
        shedding: Shedding | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.size = size
        self.limit = UNLIMITED if overflow < 0 or size == 0 else size + overflow
        self.timeout_s = timeout_s
        self.held = 0
        """Connections that exist, idle or in use."""
        self.openers = Openers(timeout_s, clock, in_tasks=in_tasks)
        self._in_tasks = in_tasks
        self._signs = 0
        """Connections that gave no answer, and attempts to connect that failed, in a row."""
        self._pools: list[Member] = []
        self._serves_one = False
        self._free = self.limit
        self._unused = 0
        """Connections that came back in a row while one lay idle and a caller of another role waited."""
        self._shedding = shedding
        self._now = clock.now
        # it waits in real time, whatever the clock shows
        self._line = Line() if shedding is None else Line(tick_s=shedding.target_s, tick=self._turn_away)

    @property
    def waiting(self) -> int:
        """How many callers wait for a connection."""
        return len(self._line.places)

    def attach(self, pool: Member) -> None:
        """Let a pool draw on this capacity."""
        self._pools.append(pool)
        self._serves_one = len(self._pools) == 1

    def detach(self, pool: Member) -> None:
        """Stop evicting from a pool that was replaced."""
        if pool in self._pools:
            self._pools.remove(pool)
            self._serves_one = len(self._pools) == 1

    def acquire(self, pool: Member) -> None:
        """Take the right to use one connection of a pool.

        :raises PoolTimeout: none came free in time.
        """
        if self.limit < 0:
            return
        place = None
        try:
            with self._line.lock:
                if self._free > 0 and (not self._line.places or self._may_pass(pool)):
                    if self._serves_one or self.held < self.limit or pool.held == 0 or pool.checkedin():
                        self._free -= 1
                        if self._shedding is not None and not self._line.places:
                            self._shedding.passed_by()
                        return
                place = self._place(pool)
                if self._waits_for_itself(place.owner):
                    raise self._exhausted(_FOR_ITSELF, _INSTEAD_OF_ITSELF)
                place.looks = self._free > 0 and not self._line.places
                self._line.places.append(place)
            self._await_turn(place)
        except BaseException:
            if place is not None:
                self._line.abandon(place, partial(self._pass_on, pool, place))
            raise

    def _place(self, pool: Member) -> Place:
        place = Place(pool, get_ident(), asyncio.get_running_loop() if self._in_tasks else None)
        place.owner = asyncio.current_task() if self._in_tasks else place.thread
        place.since = self._now()
        return place

    def _await_turn(self, place: Place) -> None:
        limit, timeout_s = LIMIT.get(), self.timeout_s
        if limit is not None:
            timeout_s = max(0.0, min(timeout_s, limit.left_s))
        if self._in_tasks:
            came = await_only(self._line.wait_in_task(place, timeout_s, self._take_idle))
        else:
            came = self._line.wait(place, timeout_s, self._take_idle)
        if isinstance(place.answer, Exception):
            raise place.answer
        if came:
            return
        if limit is not None and limit.left_s <= 0:
            raise limit.exceeded("a connection of the pool")
        raise self._exhausted(f"none came free within {self.timeout_s:g} s", _LOOK_FOR_BLOCKS)

    def _pass_on(self, pool: Member, place: Place) -> None:
        if place.answer is None:
            self.release(pool)

    def _waits_for_itself(self, owner: Any) -> bool:
        """Whether everyone who holds a connection waits for another one, now that this owner is about to wait too."""
        waiting = {place.owner for place in self._line.places} | {owner}
        holders = [each.holder for each in self._holdings()]
        # a token whose connection is still being opened belongs to someone who does not wait here
        return owner in holders and len(holders) >= self.limit and all(each in waiting for each in holders)

    def _holdings(self) -> Iterator[Holding]:
        for pool in self._pools:
            yield from pool.holdings()

    def release(self, pool: Member) -> None:
        """Give the right back; it goes to whoever waits for this role, unless another was passed too often."""
        if self.limit < 0:
            return
        with self._line.lock:
            self._free += 1
            if self._line.places:
                if self._shedding is not None:
                    self._refuse_overdue(self._shedding)
                self._serve(pool)
            else:
                self._unused = 0

    def _take_idle(self, place: Place) -> None:
        """Let the first in line, and those behind it, have connections of another role that have lain idle for long."""
        with self._line.lock:
            if place.granted:
                return
            while self._free > 0 and self._line.places:
                self._grant(self._line.places[-1 if self._is_slow else 0])

    @property
    def _is_slow(self) -> bool:
        return self._shedding is not None and self._shedding.is_slow

    def _turn_away(self) -> None:
        """Refuse those who have waited too long, although nothing comes back that would show it."""
        if self._shedding is not None:
            with self._line.lock:
                self._refuse_overdue(self._shedding)

    def _refuse_overdue(self, shedding: Shedding) -> None:
        places = self._line.places
        for _ in range(shedding.overdue([place.since for place in places], self._now())):
            place = places[0]
            self._line.remove(place)
            place.grant(PoolOverloaded(message=_OVERLOADED.format(shedding)))

    def _may_pass(self, pool: Member) -> bool:
        return all(place.tag is not pool for place in self._line.places)

    def _serve(self, pool: Member) -> None:
        places = self._line.places
        if not places:
            return
        first = places[0]
        if first.tag is not pool:
            first.passed += 1
        order = reversed(places) if self._is_slow else places
        place = first if first.passed >= _PATIENCE else next((each for each in order if each.tag is pool), None)
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
            if self._shedding is not None:
                now = self._now()
                self._shedding.served(now - place.since, now)

    def _exhausted(self, what: str, advice: str) -> PoolTimeout:
        holders = describe_holders(self._holdings(), self._now())
        used = "the one connection is" if self.limit == 1 else f"all {self.limit} connections are"
        return PoolTimeout(message=f"{used} in use and {what}; {advice}{holders}")

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

    # -- what was seen of the server -----------------------------------------------------------------------------------

    def suspect(self) -> None:
        """Test each connection that is idle now before its next use: one of them was found dead."""
        self.openers.lost()
        for pool in self._pools:
            pool.suspect()

    def doubt_role(self) -> None:
        """Use no connection that is open now before it has shown that its server is the primary."""
        self.openers.lost()
        for pool in self._pools:
            pool.doubt_role()

    def answered(self) -> None:
        """An idle connection was tested, and is good."""
        self._signs = 0

    def unanswered(self) -> None:
        """An idle connection was tested, and is not good; with the second in a row the others are not asked."""
        self.openers.lost()
        self._sign()

    def opened(self) -> None:
        """A connection was opened."""
        self._signs = 0
        self.openers.opened()

    def refused(self, error: Exception, is_away: bool) -> None:
        """A connection could not be opened.

        :param is_away: the server was not reached; otherwise it is there, and has no connection to give.
        """
        self.openers.refused(error)
        if is_away:
            for pool in self._pools:
                pool.suspect()
            self._sign()

    def _sign(self) -> None:
        self._signs += 1
        if self._signs >= _EVIDENCE:
            for pool in list(self._pools):
                pool.condemn()

    def reset(self) -> None:
        """Forget what was held, in the child of a fork."""
        self._line.reset()
        self.openers.reset()
        self.held = 0
        for pool in self._pools:
            pool.held = 0
        self._free = self.limit


def _idle_since(pool: Member) -> float:
    return pool.idle_since()


_LOOK_FOR_BLOCKS = (
    "look for blocks that wait for something else while they hold a connection, or raise [database] max_pool_size or "
    "max_overflow within what the server allows"
)
_FOR_ITSELF = (
    "everyone who holds one waits for another, this block included, which lies inside a block that holds one: none "
    "could ever come free"
)
_INSTEAD_OF_ITSELF = (
    "let the inner block join, open the .independent one after the outer one has ended, or raise [database] "
    "max_pool_size or max_overflow to at least one more than the callers that nest blocks at a time"
)
_OVERLOADED = (
    "the line for a connection is too long: for {0.interval_s:g} s nobody has waited for less than {0.target_s:g} s, "
    "so those who have waited for more than {0.patience_s:g} s are turned away; send less, or look for blocks that "
    "hold their connections for long"
)
