"""The pools: several of them, one for each role, under one limit.

A database's writers and readers have a pool each, because their connections are opened differently;
``max_pool_size`` and ``max_overflow`` bound both together. A token is taken before a connection and given back with it,
so a pool never has to wait while it opens one; when the limit is reached by idle connections of the other role, the
oldest of them is closed.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn, Self, cast

from sqlalchemy.pool import ConnectionPoolEntry, Pool
from sqlalchemy.pool.base import _ConnectionRecord

from dbkit.clock import SYSTEM_CLOCK, Clock
from dbkit.engines.capacity import Capacity
from dbkit.exceptions import TransactionOwnedElsewhere


class BoundedPool(Pool):
    """A pool whose connections are used last in, first out, so that the rest can age and be closed.

    :param capacity: the limit that it shares.
    :param ping_idle_s: a connection that was idle for longer is tested before use; below 0, none is.
    """

    def __init__(
        self,
        creator: Callable[..., Any],
        capacity: Capacity | None = None,
        ping_idle_s: float = 30.0,
        clock: Clock = SYSTEM_CLOCK,
        **kw: Any,
    ) -> None:
        super().__init__(creator, **kw)
        self.held = 0
        self.capacity = capacity or Capacity(5, 10, 30.0)
        self.capacity.attach(self)
        self._ping_idle_s = ping_idle_s
        self._now = clock.now
        self._clock = clock
        self._idle: deque[tuple[ConnectionPoolEntry, float]] = deque()
        self._in_use: set[ConnectionPoolEntry] = set()
        self._suspect_since = float("-inf")
        self._retired = False
        self._follower: Callable[[BoundedPool], None] | None = None

    def _do_get(self) -> ConnectionPoolEntry:
        self.capacity.acquire(self)
        try:
            try:
                record, since = self._idle.pop()
            except IndexError:
                record = self._open()
            else:
                if since <= self._suspect_since or self._now() - since > self._ping_idle_s >= 0:
                    self._verify(record)
        except BaseException:
            self.capacity.release(self)
            raise
        self._in_use.add(record)
        return record

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        try:
            self._in_use.remove(record)
        except KeyError:
            return  # it was never handed out, or belongs to the process that forked this one
        capacity = self.capacity
        try:
            if self._retired:
                self._close(record)
            else:
                self._idle.append((record, self._now()))
                if capacity.held > capacity.size > 0:
                    capacity.trim()
        finally:
            capacity.release(self)

    def idle_since(self) -> float:
        """Return since when the oldest idle connection is idle; infinity if there is none."""
        try:
            return self._idle[0][1]
        except IndexError:
            return float("inf")

    def _open(self) -> ConnectionPoolEntry:
        self.capacity.count(self)
        record = _ConnectionRecord(self, connect=False)
        try:
            self.capacity.make_room(self)
            record.get_connection()
        except BaseException:
            self.capacity.disclaim(self)
            if record.dbapi_connection is not None:
                record.invalidate()  # it was made, and then its preparation was cut short
            raise
        return record

    def _verify(self, record: ConnectionPoolEntry) -> None:
        """Test a connection; one that does not answer is dropped, and the caller of the pool gets a new one."""
        connection = record.dbapi_connection
        if connection is None:
            return
        dialect = cast(Any, self._dialect)
        try:
            alive = dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error as error:
            record.invalidate(error)
        except BaseException:
            self.capacity.disclaim(self)
            record.invalidate()
            raise
        else:
            if not alive:
                record.invalidate()

    def _close(self, record: ConnectionPoolEntry) -> None:
        self.capacity.disclaim(self)
        record.close()

    def suspect(self) -> None:
        """Test each connection that is idle now before its next use: one of them was found dead."""
        self._suspect_since = self._now()

    def evict(self) -> bool:
        """Close the connection that was idle longest; return whether there was one."""
        try:
            record, _ = self._idle.popleft()
        except IndexError:
            return False
        self._close(record)
        return True

    def retire(self) -> None:
        """Close each connection when it comes back, instead of keeping it."""
        self._retired = True
        self.capacity.detach(self)

    def dispose(self) -> None:
        """Close the idle connections; those in use are closed when they come back."""
        self.retire()
        while self.evict():
            pass

    def recreate(self) -> Self:
        """Return a new, empty pool in place of this one."""
        successor = type(self)(self._creator, **self._arguments())
        if self._follower is not None:
            successor.follow(self._follower)
        return successor

    def _arguments(self) -> dict[str, Any]:
        """Return what makes a pool with the settings of this one."""
        return {
            "capacity": self.capacity,
            "ping_idle_s": self._ping_idle_s,
            "clock": self._clock,
            "recycle": self._recycle,
            "echo": self.echo,
            "logging_name": self._orig_logging_name,
            "reset_on_return": self._reset_on_return,
            "_dispatch": self.dispatch,
            "dialect": self._dialect,
        }

    def follow(self, follower: Callable[[BoundedPool], None]) -> None:
        """Tell someone of this pool, and of each that comes in its place."""
        self._follower = follower
        follower(self)

    def abandon(self, let_go: Callable[[Any], None]) -> None:
        """Let go of the idle connections of a closed event loop."""
        self.retire()
        while self._idle:
            record, _ = self._idle.pop()
            if record.dbapi_connection is not None:
                let_go(record.dbapi_connection)

    def leave_to_parent(self) -> None:
        """In the child of a fork: let go of every connection without touching the sockets that the parent uses.

        The objects are never collected, not even when the interpreter ends: some drivers then say goodbye to the
        server on the socket that the parent shares, and SQLite would tidy up files that the parent has open.
        """
        records = [record for record, _ in self._idle] + list(self._in_use)
        for record in records:
            fairy = cast(Any, record).fairy_ref
            fairy = fairy() if fairy is not None else None
            _make_immortal(record.dbapi_connection)
            cast(Any, record).dbapi_connection = None
            if fairy is not None:
                fairy.dbapi_connection = _Parents()
        self._idle.clear()
        self._in_use.clear()

    def checkedin(self) -> int:
        """Return the number of idle connections."""
        return len(self._idle)

    def checkedout(self) -> int:
        """Return the number of connections in use."""
        return len(self._in_use)

    def size(self) -> int:
        """Return the number of connections that the database's pools keep open when idle."""
        return self.capacity.size

    def status(self) -> str:
        """Return the pool's numbers in a line."""
        return (
            f"{self.checkedout()} in use, {self.checkedin()} idle; all pools of the database together hold "
            f"{self.capacity.held}, keep {self.capacity.size} and may hold "
            + ("any number" if self.capacity.limit < 0 else str(self.capacity.limit))
        )


class _Parents:
    """Stands in a forked child for a connection that the parent has in use."""

    def __getattr__(self, name: str) -> NoReturn:
        raise TransactionOwnedElsewhere(
            "this transaction belongs to the process that forked this one, which goes on with it; open a block of "
            "one's own in the child"
        )


def _make_immortal(connection: Any) -> None:
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


class AsyncBoundedPool(BoundedPool):
    """The same for asyncio connections, inside SQLAlchemy's greenlet."""

    _is_asyncio = True
