"""A server that falls silent: a block with a deadline returns, and bare SQLAlchemy in the same place does not."""

from __future__ import annotations

import asyncio
import re
import time

import fixtures
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from dbkit.exceptions import CommitUnknown, DeadlineExceeded
from dbkit.testing import faults
from dbkit.tests.behaviours.base import behaviours, on
from dbkit.tests.behaviours.combinations import ASYNCIO, BLOCKING, ONE_PER_PRODUCT, SERVERS
from dbkit.tests.behaviours.tables import Item
from dbkit.tests.faults.base import DRIVERS, Faulty
from dbkit.tests.steering import Worker, with_patience

_SECONDS = 0.4
_LATE_S = 20
_PATIENCE = (_SECONDS, 4 * _SECONDS, 16 * _SECONDS)
_MARKED = "SELECT 4711 AS marked"
_EXECUTE = faults.before(re.compile("AS marked"))
_CONNECT = faults.before("connect")
_COMMIT = faults.before("COMMIT")


class _Silent(Faulty):
    def setUp(self):
        super().setUp()
        self.one = self.through(max_retries=0)
        self.face = self.face_of(self.one)

    @property
    def endless(self):
        """A statement that takes longer than any deadline here."""
        return "SELECT pg_sleep(30)" if self.proxy.kind == "postgresql" else "SELECT SLEEP(30)"

    async def warmed(self):
        """Let a connection lie in the pool."""
        async with self.writer() as session:
            await session.execute(text("SELECT 1"))

    async def late(self, seconds=_SECONDS):
        """A writer that must have ended in time."""
        async with self.writer.deadline(seconds)() as session:
            await session.execute(text(_MARKED))
            session.add(Item(id=1))

    async def held_up(self, point, error=DeadlineExceeded):
        """Let the server fall silent at the point; return the error of a writer that comes there, and its deadline."""

        async def attempt(seconds):
            fault = self.proxy.freeze(point)
            try:
                caught = await self.ended(self.late, seconds)
                if isinstance(caught, CommitUnknown):  # it was sent, and the proxy may have to come to it yet
                    await asyncio.to_thread(fault.wait) if self.is_asyncio else fault.wait()
            finally:
                struck = fault.remove()
            if not struck:
                return None
            self.assertEqual(1, struck)
            self.assertIsInstance(caught, error)
            return caught, seconds

        async def clear_up():
            # what the attempt has sent and the proxy has not read comes before what is sent now
            await self.dispose(self.one)
            await self.warmed()
            if point is _CONNECT:
                await self.dispose(self.one)

        return await with_patience(attempt, _PATIENCE, clear_up)

    async def ended(self, work, seconds):
        """Return the error with which work of so many seconds has ended, which must not be before they are over."""
        started = time.monotonic()
        with self.raising((DeadlineExceeded, CommitUnknown)) as caught:
            await work(seconds)
        took = time.monotonic() - started
        self.assertGreater(took, seconds / 2)  # a server that counts in its own units may be a little early
        self.assertLess(took, seconds + _LATE_S)
        return caught.error

    def bare(self):
        """The same with SQLAlchemy alone, through the proxy: the work of a thread or task."""
        url = self.proxy.through(self.direct)
        if self.is_asyncio:
            return self.bare_in_asyncio(url)
        engine = create_engine(url, poolclass=NullPool, connect_args=self.quickly)

        def work():
            with engine.begin() as connection:
                connection.execute(text(_MARKED))

        return work

    async def bare_in_asyncio(self, url):
        async with create_async_engine(url, poolclass=NullPool).begin() as connection:
            await connection.execute(text(_MARKED))


@behaviours(DRIVERS)
class TestSilence(_Silent):
    async def returns(self, point, error):
        """Let the server fall silent at the point; return the error when control is back, the proxy still silent."""
        found = await self.held_up(point, error)
        self.proxy.cut_all()
        await self.insert(2)  # nothing is left behind for who comes next
        return found

    async def test_at_a_statement(self):
        await self.warmed()
        error, seconds = await self.returns(_EXECUTE, DeadlineExceeded)
        self.assertEqual([2], self.stored())
        self.assertIsNotNone(error.orig)
        self.assertIn(f"deadline of {seconds:g} s", str(error))

    async def test_at_commit_the_outcome_is_not_known(self):
        await self.warmed()
        await self.returns(_COMMIT, CommitUnknown)

    async def test_at_connect(self):
        await self.returns(_CONNECT, DeadlineExceeded)
        self.assertEqual([2], self.stored())

    async def test_at_the_test_of_an_idle_connection(self):
        self.one = self.through(max_retries=0, pool_pre_ping_idle=0)
        self.face = self.face_of(self.one)
        await self.warmed()
        await self.returns(faults.before("ping"), DeadlineExceeded)
        self.assertEqual([2], self.stored())

    async def test_everywhere_at_once(self):
        await self.warmed()
        with self.proxy.freeze(_EXECUTE, everywhere=True):
            await self.raises(DeadlineExceeded, self.late, 1.5)
            await self.raises(DeadlineExceeded, self.late, 1.5)  # on a new connection, or on none
        self.proxy.cut_all()

    async def test_a_connection_that_was_cut_is_not_used_again(self):
        await self.warmed()
        await self.held_up(_EXECUTE)
        opened = self.proxy.counts["connect"]
        await self.insert(2)
        self.assertEqual(opened + 1, self.proxy.counts["connect"])
        self.proxy.cut_all()


@behaviours(ONE_PER_PRODUCT & SERVERS)
class TestPatience(_Silent):
    """A point that was missed once, as on a busy machine, is tried again; a deadline that comes too early fails."""

    async def test_a_point_that_was_missed_is_tried_again(self):
        come = self.late
        missed = []

        async def miss(seconds):
            self.late = come
            missed.append(seconds)
            async with self.face_of(self.db).writer.deadline(seconds)() as session:  # past the proxy
                await session.execute(text(self.endless))

        for point, error in ((_EXECUTE, DeadlineExceeded), (_CONNECT, DeadlineExceeded), (_COMMIT, CommitUnknown)):
            self.late = miss
            _, seconds = await self.held_up(point, error)
            self.assertIn(seconds, _PATIENCE[1:])
            self.assertEqual(_PATIENCE[:1], tuple(missed))
            missed.clear()
            self.proxy.cut_all()
            await self.dispose(self.one)

    async def test_one_that_ends_before_its_deadline_is_told(self):
        async def end(_seconds):
            raise DeadlineExceeded("at once")

        self.late = end
        await self.raises(AssertionError, self.held_up, _EXECUTE)


@behaviours(DRIVERS & ASYNCIO)
class TestBareInAsyncio(_Silent):
    """The control: what has no deadline does not return before the proxy lets go."""

    async def test_bare_sqlalchemy_hangs_where_a_deadline_returns(self):
        for point, error in ((_EXECUTE, DeadlineExceeded), (_CONNECT, DeadlineExceeded), (_COMMIT, CommitUnknown)):
            if point is not _CONNECT:
                await self.warmed()
            with self.proxy.freeze(point) as fault:
                task = asyncio.create_task(self.bare())
                await fault.awaiting()
                await self.held_up(point, error)
                self.assertFalse(task.done())
                self.proxy.cut_all()
                await asyncio.wait([task])
                self.assertIsNotNone(task.exception())
            await self.dispose(self.one)


@behaviours(DRIVERS & BLOCKING)
class TestBareInThreads(_Silent):
    """The control: what has no deadline does not return before the proxy lets go."""

    async def test_bare_sqlalchemy_hangs_where_a_deadline_returns(self):
        for point, error in ((_EXECUTE, DeadlineExceeded), (_CONNECT, DeadlineExceeded), (_COMMIT, CommitUnknown)):
            if point is not _CONNECT:
                await self.warmed()
            with self.proxy.freeze(point) as fault:
                thread = Worker(self.bare())
                fault.wait()
                await self.held_up(point, error)
                self.assertTrue(thread.is_alive())
                self.proxy.cut_all()
                self.assertRaises(DBAPIError, thread.outcome)
            await self.dispose(self.one)


@behaviours(ONE_PER_PRODUCT & SERVERS)
class TestWhatTheServerIsTold(_Silent):
    def setUp(self):
        # the watchdog, which would cut the connection if the answer came too late on a busy machine, stands back
        self.useFixture(fixtures.MonkeyPatch("dbkit.engines.timekeeper.GRACE_S", 30.0))
        super().setUp()

    async def ended_by_the_server(self, work):
        async def attempt(seconds):
            error = await self.ended(work, seconds)
            return error if error.orig else None

        return await with_patience(attempt, _PATIENCE)

    async def test_a_statement_that_takes_too_long_is_ended_by_the_server_and_the_connection_stays(self):
        await self.warmed()

        async def work(seconds):
            async with self.writer.deadline(seconds)() as session:
                await session.execute(text(self.endless))

        error = await self.ended_by_the_server(work)
        self.assertIn(error.code, ("57014", 1969))
        await self.warmed()
        self.assertEqual(1, self.proxy.counts["connect"])

    @on(ONE_PER_PRODUCT & SERVERS & BLOCKING)
    async def test_a_lock_is_waited_for_no_longer_than_the_deadline(self):
        self.store(1)
        rival = self.rival()
        rival.execute("UPDATE items SET amount = 1 WHERE id = 1")

        async def work(seconds):
            async with self.writer.deadline(seconds)() as session:
                await session.execute(text("UPDATE items SET amount = 2 WHERE id = 1"))

        error = await self.ended_by_the_server(work)
        self.assertIn(error.code, ("57014", "55P03", 1969))
        rival.rollback()


@behaviours(ONE_PER_PRODUCT & SERVERS)
class TestExactlyOnce(_Silent):
    """A part of the time is kept for finding out what became of COMMIT."""

    def setUp(self):
        super().setUp()
        self.run_plain(self._make_table)
        self.addCleanup(self.place.do, "DROP TABLE IF EXISTS dbkit_txn")

    async def _make_table(self):
        if self.is_asyncio:
            await self.db.acreate_token_table()
        else:
            self.db.create_token_table()

    async def test_a_commit_whose_reply_does_not_come_is_decided_within_the_deadline(self):
        inserted = []

        async def attempt(seconds):
            await self.warmed()
            inserted.append(len(inserted) + 1)
            fault = self.proxy.freeze(faults.after("COMMIT"))
            try:
                async with self.writer.exactly_once.deadline(seconds)() as session:
                    session.add(Item(id=inserted[-1]))
            except CommitUnknown:  # there was no time left to ask, or the answer came too late
                await asyncio.to_thread(fault.wait) if self.is_asyncio else fault.wait()
                return None
            except DeadlineExceeded:  # nor to send COMMIT
                inserted.pop()
                return None
            finally:
                self.proxy.cut_all()
                struck = fault.remove()
            return struck

        async def clear_up():
            await self.dispose(self.one)  # what lies in its pool was cut

        self.assertEqual(1, await with_patience(attempt, (3, 6, 6), clear_up))
        self.assertEqual(inserted, self.stored())

    async def test_where_nobody_answers_it_stays_unknown_and_the_caller_has_the_token(self):
        await self.warmed()
        with self.proxy.freeze(faults.after("COMMIT"), everywhere=True):
            with self.raising(CommitUnknown) as caught:
                async with self.writer.exactly_once.deadline(3)() as session:
                    session.add(Item(id=1))
        self.assertIsNotNone(caught.error.token)
        self.assertEqual([1], self.stored())
        self.proxy.cut_all()
