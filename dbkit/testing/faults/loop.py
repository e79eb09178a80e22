"""The loop of the proxy's process: sockets that are ready, and moments that have come."""

from __future__ import annotations

import heapq
import itertools
import selectors
from collections.abc import Callable
from typing import Protocol

from dbkit.clock import SYSTEM_CLOCK, Clock

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE


class Watched(Protocol):
    """What has a descriptor."""

    def fileno(self) -> int:
        """Return it."""


class Loop:
    """Calls back in one thread."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._is_ended = False

    def watch(self, what: Watched, events: int, callback: Callable[[int], None]) -> None:
        """Call back with what is ready, of these events; 0 looks at it no more."""
        known = self._selector.get_map().get(what.fileno())
        if not events:
            if known is not None:
                self._selector.unregister(what)
        elif known is None:
            self._selector.register(what, events, callback)
        elif known.events != events:
            self._selector.modify(what, events, callback)

    def later(self, seconds: float, callback: Callable[[], object]) -> None:
        """Call back once, after so many seconds."""
        heapq.heappush(self._timers, (self._clock.now() + seconds, next(self._numbers), callback))

    def end(self) -> None:
        """Let :meth:`run` return."""
        self._is_ended = True

    def run(self) -> None:
        """Call back until :meth:`end` is called."""
        while not self._is_ended:
            wait = max(0.0, self._timers[0][0] - self._clock.now()) if self._timers else None
            for key, mask in self._selector.select(wait):
                # what an earlier callback of this round has stopped watching is not called any more
                if self._selector.get_map().get(key.fd) is key:
                    callback: Callable[[int], None] = key.data
                    callback(mask)
            while self._timers and self._timers[0][0] <= self._clock.now():
                heapq.heappop(self._timers)[2]()
