"""Counters: nothing is read before it is changed, and many changes of one row need few transactions."""

from __future__ import annotations

import asyncio
import threading

import fixtures

import dbkit
from dbkit.exceptions import (
    CommitUnknown,
    DBDataError,
    DBError,
    DeadlineExceeded,
    LimitReached,
    Outcome,
    PoolOverloaded,
    Staleness,
    StaleRow,
    UsageError,
)
from dbkit.queries import Combiner
from dbkit.queries.locking.combining import WaitingLine
from dbkit.testing.assertions import assert_statements, count_statements, fail_next
from dbkit.testing.servers.polling import wait_until
from dbkit.tests.behaviours.base import behaviours, on
from dbkit.tests.behaviours.combinations import ASYNCIO, ONE, ONE_PER_PRODUCT, POSTGRESQL
from dbkit.tests.behaviours.versions import Draft, Locking, Page, Seat

_PATIENCE_S = 30.0


@behaviours(ONE_PER_PRODUCT)
class TestIncrement(Locking):
    async def increment(self, *args, **kwargs):
        return await self.call("increment", *args, **kwargs)

    async def test_the_new_value_comes_with_one_statement(self):
        async with self.writer() as session:
            page = await session.get(Page, 1)
            with assert_statements(self.db, 1):
                self.assertEqual(1, await self.increment(Page.hits, 1))
            values = [await self.increment(Page.hits, (1,), by) for by in (-3, 2, 0, 41)]
            self.assertEqual(([-2, 0, 0, 41], 41, 6), (values, page.hits, page.version))
        self.assertEqual(("a", "t", 41, 6), self.page())

    async def test_it_does_not_leave_its_bounds(self):
        wrong = []
        async with self.writer():
            for by, bounds in ((-6, {"minimum": 0}), (6, {"maximum": 10}), (1, {"minimum": 7, "maximum": 9})):
                try:
                    wrong.append((by, await self.increment(Seat.free, 1, by, **bounds)))
                except LimitReached as error:
                    found = (error.current, error.key, error.columns, error.transient, error.outcome)
                    if found != (5, 1, ["free"], False, Outcome.STATEMENT_FAILED):
                        wrong.append(found)
            self.assertEqual(0, await self.increment(Seat.free, 1, -5, minimum=0))
            self.assertEqual(10, await self.increment(Seat.free, 1, 10, maximum=10))
        self.assertEqual([], wrong)

    async def test_no_row_a_deleted_one_and_a_null_are_told_apart(self):
        self.meanwhile("UPDATE locking_drafts SET deleted = 1 WHERE id = 1")
        self.meanwhile("UPDATE locking_seats SET free = NULL WHERE id = 1")
        async with self.writer():
            missing = await self.raises(StaleRow, self.increment, Seat.free, 9)
            empty = await self.raises(StaleRow, self.increment, Seat.free, 1)
            await self.raises(UsageError, self.increment, Draft.version, 1)
            await self.raises(UsageError, self.increment, Page.text, 1)
        self.assertEqual((Staleness.MISSING, True), (missing.reason, "NULL" in str(empty)))


class Combining(Locking):
    """A Database whose transactions are counted, and callers of either colour."""

    def combiner(self, **arguments):
        return Combiner(self.db, Page.hits, **arguments)

    def gather_first(self, count):
        """Let no transaction of threads store before so many callers have handed in; those of tasks all have."""
        if self.is_asyncio:
            return
        entered, enter, store = [], WaitingLine.enter, Combiner._store

        def counted(line, ticket):
            enter(line, ticket)
            entered.append(ticket)

        def late(combiner, transaction, tickets):
            wait_until(lambda: len(entered) >= count, _PATIENCE_S, f"{count} callers of a combiner")
            return store(combiner, transaction, tickets)

        self.useFixture(fixtures.MonkeyPatch("dbkit.queries.locking.combining.WaitingLine.enter", counted))
        self.useFixture(fixtures.MonkeyPatch("dbkit.queries.locking.combiner.Combiner._store", late))

    async def together(self, combiner, *calls):
        """Hand in at the same time; return values and errors in the order of the calls."""
        if self.is_asyncio:
            return await asyncio.gather(*(combiner.aadd(*call) for call in calls), return_exceptions=True)
        results = [None] * len(calls)
        ready = threading.Barrier(len(calls))

        def work(place):
            ready.wait(_PATIENCE_S)
            try:
                results[place] = combiner.add(*calls[place])
            except DBError as error:
                results[place] = error

        threads = [threading.Thread(target=work, args=(place,)) for place in range(len(calls))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_PATIENCE_S)
        return results


@behaviours(ONE_PER_PRODUCT)
class TestCombiner(Combining):
    async def test_each_part_is_stored_once_in_fewer_transactions(self):
        self.gather_first(24)
        combiner = self.combiner()
        calls = [(1 + number % 2, 1 + number % 3) for number in range(24)]
        with count_statements(self.db) as sent:
            values = await self.together(combiner, *calls)
        total = [sum(by for key, by in calls if key == wanted) for wanted in (1, 2)]
        self.assertEqual(total, [self.page(number)[2] for number in (1, 2)])
        self.assertEqual([], [each for each in values if isinstance(each, BaseException)])
        for wanted, most in zip((1, 2), total, strict=True):
            mine = [value for value, (key, _) in zip(values, calls, strict=True) if key == wanted]
            self.assertEqual((len(mine), most), (len(set(mine)), max(mine)))
        self.assertEqual(24, combiner.added)
        self.assertLessEqual(combiner.transactions, 2)
        self.assertLessEqual(sent.count, 2 * combiner.transactions)

    async def test_who_would_leave_the_bounds_is_refused_and_nobody_else(self):
        self.meanwhile("UPDATE locking_pages SET hits = 3 WHERE id = 1")
        combiner = self.combiner(minimum=0)
        results = await self.together(combiner, *[(1, -1)] * 5, (2, -1), (9, 1))
        kinds = sorted(each if isinstance(each, int) else 100 for each in results[:5])
        self.assertEqual([0, 1, 2, 100, 100], kinds)
        self.assertEqual([LimitReached, StaleRow], [type(each) for each in results[5:]])
        self.assertEqual((0, 0), (self.page()[2], self.page(2)[2]))

    @on({each for each in ONE_PER_PRODUCT if each in POSTGRESQL})
    async def test_a_part_that_cannot_be_stored_takes_no_other_with_it(self):
        combiner = self.combiner()
        results = await self.together(combiner, (1, 1), (1, 2**31 + 5), (1, 1), (2, 5))
        broken = [each for each in results if isinstance(each, BaseException)]
        self.assertEqual([DBDataError], [type(each) for each in broken])
        self.assertEqual((2, 5), (self.page()[2], self.page(2)[2]))

    async def test_a_lost_reply_is_told_to_each_caller(self):
        combiner = self.combiner()
        with fail_next(self.db, at="COMMIT", error=CommitUnknown):
            results = await self.together(combiner, (1, 1))
        self.assertIsInstance(results[0], CommitUnknown)
        self.assertIsInstance((await self.together(combiner, (1, 1)))[0], int)

    async def test_inside_a_block_it_is_refused(self):
        combiner = self.combiner()
        async with self.writer():
            await self.raises(UsageError, self.one, combiner, 1)

    async def one(self, combiner, *call):
        return await combiner.aadd(*call) if self.is_asyncio else combiner.add(*call)

    async def test_exactly_once_decides_a_lost_reply(self):
        database = self.database()
        with self.place.observer.connect() as connection:
            dbkit.tokens.create_token_table(connection)
        for exactly_once, expected in ((True, int), (False, CommitUnknown)):
            combiner = Combiner(database, Page.hits, exactly_once=exactly_once)
            with fail_next(database, at="COMMIT", error=CommitUnknown, executed=True):
                results = await self.together(combiner, (1, 7))
            self.assertEqual([expected], [type(each) for each in results])
        self.assertEqual(14, self.page()[2])  # the one that nobody knows of was stored as well


@behaviours(ASYNCIO & ONE_PER_PRODUCT - ONE)
class TestCombinerInTasks(Combining):
    """What happens while a transaction of the combiner waits for a row that somebody else holds."""

    async def waiting_behind(self, combiner, count):
        """Return tasks, of which the first is being stored and waits for the row, and the others wait for it."""
        rival = self.rival()
        await asyncio.to_thread(rival.execute, "UPDATE locking_pages SET title = 'held' WHERE id = 1")
        tasks = [asyncio.ensure_future(self.told(combiner))]
        for _ in range(3):
            await asyncio.sleep(0)
        tasks += [asyncio.ensure_future(self.told(combiner)) for _ in range(count)]
        for _ in range(3):
            await asyncio.sleep(0)
        return rival, tasks

    async def told(self, combiner):
        """Return what a caller is told, if it is cancelled too."""
        try:
            return await combiner.aadd(1)
        except asyncio.CancelledError as cancelled:
            return cancelled.outcome

    async def test_those_who_wait_are_stored_by_one_transaction(self):
        combiner = self.combiner()
        rival, tasks = await self.waiting_behind(combiner, 50)
        await asyncio.to_thread(rival.commit)
        self.assertEqual(list(range(1, 52)), await asyncio.gather(*tasks))
        self.assertEqual((51, 2), (combiner.added, combiner.transactions))

    async def test_a_cancellation_says_what_became_of_the_part(self):
        combiner = self.combiner()
        rival, tasks = await self.waiting_behind(combiner, 3)
        tasks[0].cancel()  # it leads, and is being stored
        tasks[2].cancel()  # it waits, so that it ends at once
        await asyncio.wait([tasks[2]])
        await asyncio.to_thread(rival.commit)
        self.assertEqual([Outcome.COMMITTED, 2, Outcome.NOT_STARTED, 3], await asyncio.gather(*tasks))
        self.assertEqual(3, self.page()[2])

    async def test_a_deadline_ends_the_wait_for_the_turn(self):
        combiner = self.combiner()
        rival, tasks = await self.waiting_behind(combiner, 0)
        with dbkit.within(0.05):
            error = await self.raises(DeadlineExceeded, combiner.aadd, 1)
        self.assertIs(Outcome.NOT_STARTED, error.outcome)
        await asyncio.to_thread(rival.commit)
        self.assertEqual([1], await asyncio.gather(*tasks))

    async def test_too_many_are_turned_away(self):
        combiner = self.combiner(max_waiting=2)
        rival, tasks = await self.waiting_behind(combiner, 2)
        await self.raises(PoolOverloaded, combiner.aadd, 1)
        await asyncio.to_thread(rival.commit)
        self.assertEqual([1, 2, 3], await asyncio.gather(*tasks))
