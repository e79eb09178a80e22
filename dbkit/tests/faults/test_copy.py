"""A connection that is lost in the middle of a COPY, or after it: no row is stored twice, and none is missing.

A COPY is not repeated by a replay: the rows have gone to the server, and nobody has kept them. The block fails, as it
would without a replay, and says why. Whoever has the rows may run the block again.
"""

from __future__ import annotations

import re

from sqlalchemy import text

from dbkit import queries
from dbkit.exceptions import CommitUnknown, DBConnectionError, DeadlineExceeded, Outcome
from dbkit.testing import faults
from dbkit.testing.servers.polling import wait_until
from dbkit.tests.behaviours import heaps
from dbkit.tests.behaviours.base import behaviours, on
from dbkit.tests.behaviours.combinations import ONE_PER_PRODUCT, POSTGRESQL, SERVERS
from dbkit.tests.behaviours.heaps import Numbered, Pair
from dbkit.tests.behaviours.tables import Item
from dbkit.tests.behaviours.test_bulk import bare
from dbkit.tests.faults.base import Faulty
from dbkit.tests.faults.test_fence import Fenced
from dbkit.tests.steering import SteeredClock, Worker, with_patience

_ROWS = 1200
_IN_THE_WAY = 900
_ALL = list(range(_ROWS))
_WAITS = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND query LIKE 'COPY%' AND wait_event_type = 'Lock'"
)


class _Copying(Faulty):
    async def copied(self, where, model=Item, progress=None, **named):
        """Write the rows by COPY, where the caller stands."""
        rows = ({"id": n, "amount": 1} if model is Item else {"amount": n} for n in _ALL)
        many = queries.ainsert_many if self.is_asyncio else queries.insert_many
        done = many(bare(where), model, rows, progress=progress, **named)
        done = await done if self.is_asyncio else done
        self.assertEqual("COPY", done.way)
        return done

    def amid(self, do):
        """Begin a thread that waits until a COPY waits for a rival's row, does something, and lets the rival go."""
        rival = self.rival()
        rival.execute(f"INSERT INTO items (id, amount) VALUES ({_IN_THE_WAY}, 0)")

        def work():
            try:
                wait_until(lambda: self.place.ask(_WAITS)[0] == 1, 20, "a COPY that waits for the rival's row")
                do()
            finally:
                rival.rollback()

        return Worker(work)


@behaviours(POSTGRESQL)
class TestLostInCopy(_Copying):
    async def test_nothing_of_it_is_stored_and_the_loss_is_told(self):
        cutter = self.amid(self.proxy.cut_all)
        with self.raising(DBConnectionError) as caught:
            async with self.writer() as session:
                await self.copied(session)
        cutter.outcome()
        self.assertEqual(Outcome.ROLLED_BACK, caught.error.outcome)
        self.assertEqual([], self.stored())
        async with self.writer() as session:
            await self.copied(session)
        self.assertEqual(_ALL, self.stored())

    @on(ONE_PER_PRODUCT)
    async def test_a_function_that_is_run_again_stores_each_row_once(self):
        runs = []
        self.face = self.face_of(self.through(clock=SteeredClock()))

        async def work():
            runs.append(1)
            await self.copied(self.session)

        cutter = self.amid(self.proxy.cut_all)
        await self.writer.retrying()(work)()
        cutter.outcome()
        self.assertEqual((2, _ALL), (len(runs), self.stored()))

    @on(ONE_PER_PRODUCT)
    async def test_a_deadline_ends_it(self):
        async def attempt(seconds):
            seen = []

            def await_its_end():
                seen.append("it waits")
                wait_until(lambda: self.place.ask(_WAITS)[0] == 0, 20, "the end of the COPY")

            released = self.amid(await_its_end)
            with self.raising(DeadlineExceeded):
                async with self.writer.deadline(seconds)() as session:
                    await self.copied(session)
            try:
                released.outcome()
            except TimeoutError:
                if seen:
                    raise
            return seen or None  # nothing was seen if the time was up before it waited

        await with_patience(attempt, (2, 8))
        self.assertEqual([], self.stored())
        async with self.writer() as session:
            await self.copied(session)
        self.assertEqual(_ALL, self.stored())


@behaviours(POSTGRESQL & ONE_PER_PRODUCT)
class TestProtectedCopies(_Copying):
    async def test_a_replay_does_not_repeat_it_and_says_why(self):
        lossy = self.through(replay=True, clock=SteeredClock())
        self.face = self.face_of(lossy)
        with self.proxy.cut(faults.before(re.compile("4711"))), self.raising(DBConnectionError) as caught:
            async with self.writer() as session:
                await self.copied(session)
                await session.execute(text("SELECT 4711"))
        self.assertIn("it uses COPY", caught.error.__notes__[0])
        self.assertEqual(({"COPY": 1}, 0), (dict(lossy.replays.disabled), lossy.replays.replayed))
        self.assertEqual([], self.stored())

    async def test_batches_of_their_own_are_stored_as_far_as_progress_told(self):
        told = []
        database = self.through(max_retries=0)
        with self.proxy.cut(faults.before("COPY"), nth=4), self.raising(DBConnectionError):
            await self.copied(database, commit_each=True, batch=300, progress=lambda done: told.append(done))
        self.assertEqual([300, 600, 900], [each.rows for each in told])
        self.assertEqual(_ALL[:900], self.stored())


@behaviours(POSTGRESQL & ONE_PER_PRODUCT)
class TestFencedCopies(Fenced, _Copying):
    def setUp(self):
        super().setUp()
        heaps.emptied(self.combination.product)

    async def block(self, writer):
        async with writer() as session:
            await self.copied(session, Numbered)

    def count(self):
        return self.place.ask("SELECT count(*) FROM heap_numbered")[0]

    async def test_a_lost_reply_to_commit_is_decided_and_no_row_is_there_twice(self):
        with self.proxy.cut(faults.after("COMMIT")) as fault:
            await self.block(self.writer.exactly_once)
            self.assertEqual(1, fault.fired)
        self.assertEqual(_ROWS, self.count())

    async def test_a_commit_that_never_came_is_told_and_may_be_repeated(self):
        with self.proxy.cut(faults.before("COMMIT")):
            await self.raises(DBConnectionError, self.block, self.writer.exactly_once)
        self.assertEqual(0, self.count())
        await self.block(self.writer.exactly_once)
        self.assertEqual(_ROWS, self.count())

    async def test_without_the_fence_who_repeats_it_has_each_row_twice(self):
        with self.proxy.cut(faults.after("COMMIT")):
            await self.raises(CommitUnknown, self.block, self.writer)
        await self.block(self.writer)
        self.assertEqual(2 * _ROWS, self.count())


@behaviours(ONE_PER_PRODUCT & SERVERS)
class TestReplayedStatements(_Copying):
    def setUp(self):
        super().setUp()
        heaps.emptied(self.combination.product)

    async def do(self, name, *arguments, **named):
        done = getattr(queries, f"a{name}" if self.is_asyncio else name)(*arguments, **named)
        return await done if self.is_asyncio else done

    async def test_all_but_a_copy_is_repeated(self):
        lossy = self.through(replay=True, clock=SteeredClock())
        self.face = self.face_of(lossy)
        rows = [{"one": n, "two": "x", "amount": n} for n in range(30)]
        with self.proxy.cut(faults.before(re.compile("4711"))):
            async with self.writer() as session:
                where = bare(session)
                inserted = await self.do("insert_many", where, Pair, rows[:10], returning=True)
                put = await self.do("upsert", where, Pair, [{**row, "amount": 77} for row in rows[5:20]])
                await self.do("update_many", where, Pair, [{**row, "amount": 9} for row in rows[:3]])
                await self.do("delete_many", where, Pair, [(3, "x")])
                await session.execute(text("SELECT 4711"))
        self.assertEqual((10, 10, 5), (inserted.rows, put.inserted, put.updated))
        self.assertEqual((1, {}), (lossy.replays.replayed, dict(lossy.replays.disabled)))
        self.assertEqual([9, 9, 9, 4, *[77] * 15], self.place.ask("SELECT amount FROM heap_pair ORDER BY one"))
