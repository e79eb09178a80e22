"""The pools: several of them, one for each role, under one limit.

A database's writers and readers have a pool each, because their connections are opened differently;
``max_pool_size`` and ``max_overflow`` bound both together. A token is taken before a connection and given back with it,
so a pool never has to wait while it opens one; when the limit is reached by idle connections of the other role, the
oldest of them is closed. What is doubtful is tested before it is used; what is found dead is replaced by another idle
one first.
"""

from __future__ import annotations

import ctypes
import logging
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn, Self, cast

from sqlalchemy.pool import Pool

from dbkit.backends.base import Role
from dbkit.clock import SYSTEM_CLOCK, Clock
from dbkit.engines.capacity import Capacity
from dbkit.engines.checks import Checks, Finding, Refusal
from dbkit.engines.holders import GONE, Holding
from dbkit.engines.lease import Lease, is_quiet
from dbkit.engines.opening import open_in_turn
from dbkit.engines.record import Record
from dbkit.exceptions import TransactionOwnedElsewhere


class BoundedPool(Pool):
    """A pool whose connections are used last in, first out, so that the rest can age and be closed.

    :param capacity: the limit that it shares.
    :param checks: how its connections are tested.
    :param ping_idle_s: a connection that was idle for longer is tested before use; below 0, none is.
    :param lifetime_s: a connection that is older is replaced; below 0, none is.
    :param lifetime_jitter: the share of it by which a connection's life is shortened, by chance.
    """

    def __init__(
        self,
        creator: Callable[..., Any],
        capacity: Capacity,
        checks: Checks,
        ping_idle_s: float = 30.0,
        lifetime_s: float = -1.0,
        lifetime_jitter: float = 0.0,
        clock: Clock = SYSTEM_CLOCK,
        **kw: Any,
    ) -> None:
        super().__init__(creator, **kw)
        self.held = 0
        self.capacity = capacity
        self.capacity.attach(self)
        self._checks = checks
        self._ping_idle_s = ping_idle_s
        self._lifetime_s = lifetime_s
        self._lifetime_jitter = lifetime_jitter
        self._now = clock.now
        self._clock = clock
        self._idle: deque[tuple[Record, float]] = deque()
        self._in_use: set[Record] = set()
        self._suspect_since = float("-inf")
        self._role_doubted_at = float("-inf")
        self._must_prove = False
        """What is opened next shows first that its server takes writes."""
        self._retired = False
        self.has_opened = False
        """A connection was opened, by which the dialect has come to know the server."""
        self._follower: Callable[[BoundedPool], None] | None = None

    def lend(self, *, bare: bool = False) -> Any:
        """Return a connection for a block, as :meth:`connect` does, at the cost of what somebody watches.

        :param bare: return its :class:`Record`, without a proxy; None if somebody watches what is done with it.
        """
        if not is_quiet(self) or self._pre_ping or self._recycle > -1 or self.logger.isEnabledFor(logging.DEBUG):
            return None if bare else self.connect()
        record = self._get(for_block=not bare)
        since = record.starttime
        if record.dbapi_connection is None or self._invalidate_time > since or record._soft_invalidate_time > since:
            try:
                record.get_connection()
            except BaseException as error:
                record._checkin_failed(error, _fairy_was_created=False)
                raise
        return record if bare else Lease(self, record)

    def _do_get(self) -> Record:
        return self._get()

    def _get(self, *, for_block: bool = True) -> Record:
        self.capacity.acquire(self)
        try:
            now = self._now()
            try:
                record, since = self._idle.pop()
            except IndexError:
                record = self._another()
            else:
                if (
                    (  # as in _is_doubtful: a call would cost every block
                        since <= self._suspect_since
                        or now - since > self._ping_idle_s >= 0
                        or now >= record.expires_at
                        or record.proven_at <= self._role_doubted_at
                    )
                    and not self._is_good(record)
                    or (for_block and record.singles and not self._takes_blocks(record))
                ):
                    record = self._idle_one() or self._another()
        except BaseException:
            self.capacity.release(self)
            raise
        record.taken_at = now
        self._in_use.add(record)
        return record

    def _do_return_conn(self, record: Any) -> None:  # always a Record
        try:
            self._in_use.remove(record)
        except KeyError:
            return  # it was never handed out, or belongs to the process that forked this one
        capacity = self.capacity
        record.holder = None
        try:
            if self._retired or record.dbapi_connection is None:
                self._close(record)
            else:
                self._idle.append((record, self._now()))
                if capacity.openers.waiting:
                    capacity.openers.came_back(self)
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

    def holdings(self) -> list[Holding]:
        """Return who has its connections in use."""
        return [Holding(_alive(record.holder), record.taken_at) for record in list(self._in_use)]

    # -- another connection --------------------------------------------------------------------------------------------

    def _another(self) -> Record:
        found: Record = open_in_turn(self.capacity.openers, self, self._idle_one, self._open)
        return found

    def _open(self) -> Record:
        self.capacity.count(self)
        record = Record(self, connect=False)
        try:
            self.capacity.make_room(self)
            record.get_connection()
            if self._must_prove:
                self._checks.prove(record.dbapi_connection, self._dialect)
                self._must_prove = False
        except BaseException as error:
            self.capacity.disclaim(self)
            if record.dbapi_connection is not None:
                record.invalidate()  # it was made, and then its preparation was cut short
            refusal = self._checks.refusal(error)
            if refusal is not Refusal.NONE:
                assert isinstance(error, Exception)
                self.capacity.refused(error, is_away=refusal is Refusal.AWAY)
            raise
        record.opened_at = record.proven_at = now = self._now()
        if self._lifetime_s >= 0:
            shortened_s = self._clock.uniform(0.0, self._lifetime_s * self._lifetime_jitter)
            record.expires_at = now + self._lifetime_s - shortened_s
        self.capacity.opened()
        self.has_opened = True
        return record

    # -- idle connections ----------------------------------------------------------------------------------------------

    def _idle_one(self) -> Record | None:
        """Return the idle connection that was used last and is good; None if there is none."""
        while True:
            try:
                record, since = self._idle.pop()
            except IndexError:
                return None
            if not self._is_doubtful(record, since) or self._is_good(record):
                if not record.singles or self._takes_blocks(record):
                    return record

    def _is_doubtful(self, record: Record, since: float) -> bool:
        now = self._now()
        return (
            since <= self._suspect_since
            or now - since > self._ping_idle_s >= 0
            or now >= record.expires_at
            or record.proven_at <= self._role_doubted_at
        )

    def _is_good(self, record: Record) -> bool:
        """Test a connection; one that is not good is dropped, and what that says of the others is noted."""
        at_role = record.proven_at <= self._role_doubted_at
        if self._now() >= record.expires_at or (at_role and self._checks.role is not Role.WRITER):
            self._close(record)
            return False
        try:
            finding = self._checks.look(record.dbapi_connection, self._dialect, at_role=at_role)
        except BaseException:
            self._drop(record)
            raise
        if finding is Finding.GOOD:
            if at_role:
                record.proven_at = self._now()
            self.capacity.answered()
            return True
        self._drop(record)
        self.capacity.unanswered()
        return False

    def _takes_blocks(self, record: Record) -> bool:
        """Let a connection that has served statements by themselves take a block; False if it is gone, and dropped."""
        back = record.take_blocks()
        if back is None:
            return True
        try:
            done = self._checks.do(record.dbapi_connection, self._dialect, back)
        except BaseException:
            self._drop(record)
            raise
        if not done:
            self._drop(record)
            self.capacity.unanswered()
        return done

    def _close(self, record: Record) -> None:
        self.capacity.disclaim(self)
        record.close()

    def _drop(self, record: Record) -> None:
        """Close a connection of which nothing is expected any more, not even a goodbye."""
        self.capacity.disclaim(self)
        if record.dbapi_connection is not None:
            self._checks.cut(record.dbapi_connection)
            record.invalidate()

    def suspect(self) -> None:
        """Test each connection that is idle now before its next use: one of them was found dead."""
        self._suspect_since = self._now()

    def doubt_role(self) -> None:
        """Use no connection that is open now before it has shown that its server is the primary.

        Writers are asked; what readers got from a server that is one no more may be old, so theirs are replaced.
        """
        self._role_doubted_at = self._now()
        self._must_prove = self._checks.role is Role.WRITER

    def condemn(self) -> None:
        """Drop all idle connections: there is evidence that they are dead."""
        while True:
            try:
                record, _ = self._idle.popleft()
            except IndexError:
                return
            self._drop(record)

    def evict(self) -> bool:
        """Close the connection that was idle longest; return whether there was one."""
        try:
            record, _ = self._idle.popleft()
        except IndexError:
            return False
        self._close(record)
        return True

    # -- the pool as a whole -------------------------------------------------------------------------------------------

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
            "checks": self._checks,
            "ping_idle_s": self._ping_idle_s,
            "lifetime_s": self._lifetime_s,
            "lifetime_jitter": self._lifetime_jitter,
            "clock": self._clock,
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


def _alive(holder: Any) -> Any:
    if not isinstance(holder, weakref.ref):
        return holder
    task = holder()
    return GONE if task is None else task


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
