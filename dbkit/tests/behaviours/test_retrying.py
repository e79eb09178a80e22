"""Functions that are run again: P2, a function that was run again has taken effect once; P3, only the outermost is.

The faults are real: deadlocks, serialization failures at COMMIT, locks, killed sessions. Each is shown to be there by
the same function without ``.retrying()``.
"""

from __future__ import annotations

import asyncio

from sqlalchemy import func, select, text, update

import dbkit
from dbkit.ambient import CURRENT
from dbkit.exceptions import (
    CommitUnknown,
    DBConnectionError,
    DBDeadlock,
    DBDuplicateEntry,
    DBLockTimeout,
    DBSerializationFailure,
    DeadlineExceeded,
    Outcome,
    RetryRequest,
    UsageError,
)
from dbkit.retry import GaveUp, Kind
from dbkit.retry.budget import FLOOR
from dbkit.spec import Colour
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import (
    ASYNCIO,
    EVERY_FACE,
    MARIADB,
    POSTGRESQL,
    SERVERS,
    SQLITE_FILE,
    Face,
    Product,
)
from dbkit.tests.behaviours.tables import Audit, Item
from dbkit.tests.behaviours.test_deadlocks import Deadlocking
from dbkit.tests.steering import SteeredClock

_CONTEXTS = frozenset(each for each in EVERY_FACE if each.face is Face.CONTEXT)


class Mine(Exception):
    """An error of the application."""


class Retrying(Behaviour):
    """A Database of one's own, on a clock whose waits pass at once."""

    def setUp(self):
        super().setUp()
        self.clock = SteeredClock(on_sleep=self.sleeping)
        self.events = []
        self.meanwhile = lambda: None
        self.db = self.database(clock=self.clock, on_retry=self.events.append, sqlite_busy_timeout=0)
        self.face = self.face_of(self.db)
        self.runs = 0

    def sleeping(self, number):
        """What happens while somebody waits for the next run."""
        self.meanwhile()

    @property
    def numbers(self):
        return self.db.retry_statistics

    def kinds(self):
        return [event.kind for event in self.events]


@behaviours(SERVERS | _CONTEXTS & {each for each in EVERY_FACE if each.product is Product.POSTGRESQL})
class TestDeadlocksAreSurvived(Retrying, Deadlocking):
    async def transfer(self):
        self.session.add(Audit(id=1))
        await self.session.flush()
        await self.strike(self.session)
        return "done"

    async def test_it_has_taken_effect_once(self):
        self.assertEqual("done", await self.writer.retrying()(self.transfer)())
        self.assertEqual(2, self.struck)
        self.assertEqual(([11, 12], [1]), (self.amounts(), self.stored(Audit)))
        self.assertEqual(([Kind.CONFLICT], [None]), (self.kinds(), [each.gave_up for each in self.events]))
        self.assertEqual((1, 1, 1), (self.numbers.calls, self.numbers.conflicts, self.numbers.succeeded_after_retry))
        self.assertEqual(0, self.numbers.overloads)
        self.assertEqual(1, len(self.clock.slept))
        self.assertLessEqual(self.clock.slept[0], self.db.settings.db_conflict_retry_interval)

    async def test_inside_a_bound_of_time_it_is_run_again_as_well(self):
        with dbkit.within(60):
            await self.writer.retrying()(self.transfer)()
        self.assertEqual((2, [11, 12], [1]), (self.struck, self.amounts(), self.stored(Audit)))

    async def test_without_it_the_deadlock_arrives(self):
        await self.raises(DBDeadlock, self.writer(self.transfer))
        self.assertEqual((1, [0, 0], []), (self.struck, self.amounts(), self.stored(Audit)))

    async def test_each_run_has_a_session_of_its_own(self):
        sessions, found = [], []

        @self.writer.retrying()
        async def work():
            sessions.append(self.session.sync_session)
            found.append(len(list(sessions[-1].identity_map)) + len(list(sessions[-1].new)))
            await self.session.get(Item, 1)
            self.session.add(Audit(id=7))
            await self.strike(self.session)

        await work()
        self.assertIsNot(sessions[0], sessions[1])
        self.assertEqual(([0, 0], [7]), (found, self.stored(Audit)))

    async def test_inside_an_open_block_it_is_inert(self):
        inner = self.writer.retrying()(self.transfer)

        @self.writer
        async def outer():
            self.session.add(Audit(id=2))
            await inner()

        await self.raises(DBDeadlock, outer)
        self.assertEqual((1, [0, 0], [], []), (self.struck, self.amounts(), self.stored(Audit), self.events))

    async def test_of_two_that_are_nested_only_the_outer_one_is_run_again(self):
        inner = self.writer.retrying()(self.transfer)
        outers = []

        @self.writer.retrying()
        async def outer():
            outers.append(1)
            self.session.add(Audit(id=2))
            await inner()

        await outer()
        self.assertEqual((2, 2), (len(outers), self.struck))
        self.assertEqual(([11, 12], [1, 2]), (self.amounts(), self.stored(Audit)))
        self.assertEqual(1, len(self.events))

    async def test_an_error_that_the_function_swallows_is_found_at_its_end(self):
        @self.writer.retrying()
        async def work():
            self.session.add(Audit(id=1))
            await self.session.flush()
            try:
                await self.strike(self.session)
            except DBDeadlock:
                return "swallowed"
            return "done"

        self.assertEqual("done", await work())
        self.assertEqual(([11, 12], [1]), (self.amounts(), self.stored(Audit)))

    async def test_an_error_of_the_callers_own_that_came_of_it_is_judged_by_it(self):
        @self.writer.retrying()
        async def work():
            self.session.add(Audit(id=1))
            await self.session.flush()
            try:
                await self.strike(self.session)
            except DBDeadlock as error:
                raise Mine from error

        await work()
        self.assertEqual(([11, 12], [1]), (self.amounts(), self.stored(Audit)))

    async def test_one_that_did_not_come_of_it_ends_the_call(self):
        @self.writer.retrying()
        async def work():
            try:
                await self.strike(self.session)
            except DBDeadlock:
                pass
            raise Mine

        await self.raises(Mine, work)
        self.assertEqual((1, []), (self.struck, self.events))

    async def test_hooks_of_commit_run_once_and_those_of_rollback_for_each_run_that_failed(self):
        calls = []

        @self.writer.retrying()
        async def work():
            self.face.after_commit(lambda: calls.append("committed"))
            self.face.after_rollback(lambda: calls.append("rolled back"))
            await self.strike(self.session)

        await work()
        self.assertEqual(["rolled back", "committed"], calls)

    async def test_nothing_is_open_while_it_waits(self):
        seen = []
        self.meanwhile = lambda: seen.append((self.held(), self.place.left_open()))
        await self.writer.retrying()(self.transfer)()
        self.assertEqual([(0, [])], seen)

    def held(self):
        return self.db.factory.engines(self.combination.colour).writer.engine.pool.checkedout()

    async def test_a_hook_that_fails_is_logged_and_changes_nothing(self):
        def fail(event):
            raise Mine

        self.db = self.database(clock=self.clock, on_retry=[fail, self.events.append])
        self.face = self.face_of(self.db)
        await self.writer.retrying()(self.transfer)()
        self.assertEqual(([11, 12], 1), (self.amounts(), len(self.events)))
        self.assertIn("a hook that is told of retries failed", self.logs.output)

    async def test_an_independent_one_is_the_outermost_of_its_own_transaction(self):
        inner = self.writer.independent.retrying()(self.transfer)

        @self.writer
        async def outer():
            self.session.add(Audit(id=2))
            await self.session.flush()
            await inner()
            raise Mine

        await self.raises(Mine, outer)
        self.assertEqual((2, [11, 12], [1]), (self.struck, self.amounts(), self.stored(Audit)))

    async def test_inside_a_writer_of_another_database_it_is_inert(self):
        # what it writes there, through that block, would be written twice
        inner = self.writer.retrying()(self.transfer)
        other = self.face_of(self.database())
        with self.raising(DBDeadlock):
            async with other.writer():
                await inner()
        self.assertEqual((1, [0, 0]), (self.struck, self.amounts()))

    async def test_inside_a_reader_of_another_database_it_is_not(self):
        other = self.face_of(self.database())
        async with other.reader():
            await self.writer.retrying()(self.transfer)()
        self.assertEqual((2, [11, 12]), (self.struck, self.amounts()))

    async def test_arguments_are_as_the_caller_gave_them(self):
        given, seen = {"names": ["a"]}, []

        @self.writer.retrying()
        async def work(options):
            seen.append(list(options["names"]))
            options["names"].append("b")
            await self.strike(self.session)

        await work(given)
        self.assertEqual(([["a"], ["a"]], {"names": ["a"]}), (seen, given))


@behaviours(POSTGRESQL)
class TestSerializationFailures(Retrying):
    """Write skew, which PostgreSQL finds when the second of the two commits."""

    def setUp(self):
        super().setUp()
        self.store(1, 2)

    async def skew(self):
        self.runs += 1
        total = await self.session.scalar(select(func.sum(Item.amount)))
        await self.session.execute(update(Item).where(Item.id == 1).values(amount=total + 1))
        if self.runs == 1:
            rival = self.rival()
            rival.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
            rival.execute("SELECT sum(amount) FROM items")
            rival.execute("UPDATE items SET amount = 10 WHERE id = 2")
            rival.commit()

    async def test_one_at_commit_is_survived_without_a_wait(self):
        await self.writer.isolation("SERIALIZABLE").retrying()(self.skew)()
        self.assertEqual((2, [11, 10]), (self.runs, self.place.ask("SELECT amount FROM items ORDER BY id")))
        self.assertEqual(([Kind.SERIALIZATION], [0.0]), (self.kinds(), self.clock.slept))

    async def test_without_it_the_failure_arrives_from_commit(self):
        await self.raises(DBSerializationFailure, self.writer.isolation("SERIALIZABLE")(self.skew))
        self.assertEqual([0, 10], self.place.ask("SELECT amount FROM items ORDER BY id"))


@behaviours(SQLITE_FILE | _CONTEXTS & {each for each in EVERY_FACE if each.product is Product.SQLITE_FILE} | SERVERS)
class TestLocks(Retrying):
    """A row, or SQLite's file, that another client holds until somebody waits."""

    def setUp(self):
        super().setUp()
        self.store(1)

    def hold(self):
        if self.is_on(Product.SQLITE_FILE):
            connection = self.place.bare_engine.connect()
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            self.meanwhile = connection.close
            self.addCleanup(connection.close)
            return
        rival = self.rival()
        rival.execute("UPDATE items SET amount = 5 WHERE id = 1")
        self.meanwhile = rival.rollback

    async def work(self):
        self.runs += 1
        if self.is_on(Product.POSTGRESQL):
            await self.session.execute(text("SET LOCAL lock_timeout = '20ms'"))
        if self.is_on(Product.MARIADB):
            await self.session.execute(text("SELECT id FROM items WHERE id = 1 FOR UPDATE NOWAIT"))
        await self.session.execute(update(Item).where(Item.id == 1).values(amount=Item.amount + 1))

    async def test_a_lock_that_is_not_granted_is_waited_for(self):
        self.hold()
        await self.writer.retrying()(self.work)()
        self.assertEqual((2, [1]), (self.runs, self.place.ask("SELECT amount FROM items")))
        self.assertEqual([Kind.CONFLICT], self.kinds())

    async def test_without_it_the_error_arrives(self):
        self.hold()
        await self.raises(DBLockTimeout, self.writer(self.work))
        self.meanwhile()

    async def test_when_runs_are_exhausted_the_last_error_says_how_many_there_were(self):
        self.hold()
        give_back, self.meanwhile = self.meanwhile, lambda: None
        error = await self.raises(DBLockTimeout, self.writer.retrying(2)(self.work))
        give_back()
        self.assertEqual(3, self.runs)
        self.assertTrue(error.retries_exhausted)
        self.assertRegex("\n".join(error.__notes__), r"\(\) was run 3 times in .* s, in vain")
        self.assertEqual([None, None, GaveUp.EXHAUSTED], [event.gave_up for event in self.events])
        self.assertEqual((1, 0), (self.numbers.exhausted, self.numbers.succeeded_after_retry))

    async def test_with_no_limit_it_goes_on(self):
        self.hold()
        give_back = self.meanwhile
        self.meanwhile = lambda: give_back() if len(self.clock.slept) == 25 else None
        await self.writer.retrying(-1)(self.work)()
        self.assertEqual(26, self.runs)


@behaviours(SERVERS)
class TestLostConnections(Retrying):
    async def kill(self):
        """End the session at the server, and wait until it is gone."""
        if self.is_on(Product.POSTGRESQL):
            number = await self.session.scalar(text("SELECT pg_backend_pid()"))
            self.place.ask("SELECT pg_terminate_backend(:number, 10000)", number=number)
        else:
            self.place.do(f"KILL {await self.session.scalar(text('SELECT CONNECTION_ID()'))}")

    async def test_one_before_commit_is_survived(self):
        @self.writer.retrying()
        async def work():
            self.runs += 1
            self.session.add(Item(id=1))
            await self.session.flush()
            if self.runs == 1:
                await self.kill()
            await self.session.execute(select(Item.id))

        await work()
        self.assertEqual((2, [1], [Kind.CONNECTION]), (self.runs, self.stored(), self.kinds()))
        self.assertEqual((0, 1), (self.numbers.conflicts, self.numbers.overloads))

    async def test_a_commit_whose_outcome_is_unknown_is_never_run_again(self):
        @self.writer.retrying(also=[Exception])
        async def work():
            self.runs += 1
            self.session.add(Item(id=1))
            await self.session.flush()
            if self.runs == 1:
                await self.kill()

        try:
            await work()
        except CommitUnknown:  # most drivers notice only when the reply to COMMIT is missing
            self.assertEqual((1, [], []), (self.runs, self.stored(), self.events))
        else:  # some know before that the connection is closed
            self.assertEqual((2, [1]), (self.runs, self.stored()))

    async def test_a_reader_is_run_again_too(self):
        self.store(4)

        @self.reader.retrying()
        async def work():
            self.runs += 1
            if self.runs == 1:
                await self.kill()
            return (await self.session.scalars(select(Item.id))).all()

        self.assertEqual([4], await work())
        self.assertEqual(2, self.runs)


@behaviours(SQLITE_FILE | _CONTEXTS & {each for each in EVERY_FACE if each.product is Product.SQLITE_FILE})
class TestWhatIsRunAgain(Retrying):
    """What does not depend on the database."""

    async def test_nothing_is_run_again_that_ends_well(self):
        @self.writer.retrying()
        async def work():
            self.runs += 1
            self.session.add(Item(id=1))

        await work()
        self.assertEqual((1, [1], []), (self.runs, self.stored(), self.events))
        self.assertEqual((1, 0), (self.numbers.calls, self.numbers.conflicts))

    async def test_in_a_hook_the_blocks_around_it_do_not_matter(self):
        ends = []

        @self.writer.retrying()
        async def work():
            self.session.add(Item(id=1))
            await self.session.flush()
            ends.append(1)

        async with self.reader():
            async with self.writer.independent() as session:
                self.face.after_commit(self.colour.function(work))
                session.add(Item(id=2))
        self.assertEqual(([1], [1, 2]), (ends, self.stored()))

    async def test_an_error_that_does_not_pass_is_raised_at_once(self):
        self.store(1)

        @self.writer.retrying()
        async def work():
            self.runs += 1
            self.session.add(Item(id=1))

        error = await self.raises(DBDuplicateEntry, work)
        self.assertEqual((1, [], None), (self.runs, self.events, getattr(error, "__notes__", None)))

    async def test_unless_the_function_opts_in(self):
        self.store(1)

        @self.writer.retrying(also=[DBDuplicateEntry])
        async def work():
            self.runs += 1
            self.session.add(Item(id=self.runs))

        await work()
        self.assertEqual(([1, 2], [Kind.OPTED_IN]), (self.stored(), self.kinds()))

    async def test_an_error_of_the_callers_is_not_ours(self):
        @self.writer.retrying()
        async def work():
            self.runs += 1
            self.session.add(Item(id=1))
            raise Mine

        await self.raises(Mine, work)
        self.assertEqual((1, []), (self.runs, self.stored()))

    async def test_a_function_may_ask_to_be_run_again(self):
        @self.writer.retrying(3)
        async def work(succeeds):
            self.runs += 1
            self.session.add(Item(id=self.runs))
            if self.runs < succeeds:
                await self.session.flush()
                raise RetryRequest(Mine("not yet"))

        await work(3)
        self.assertEqual(([3], [Kind.REQUESTED] * 2), (self.stored(), self.kinds()))
        self.runs = 10
        error = await self.raises(Mine, work, 100)
        self.assertEqual((14, ("not yet",)), (self.runs, error.args))
        self.assertIn("was run 4 times", error.__notes__[0])

    async def test_what_fails_before_a_transaction_was_made_is_run_again(self):
        @self.writer.retrying()
        async def work():
            self.runs += 1
            if self.runs == 1:
                raise DBConnectionError
            self.session.add(Item(id=1))

        await work()
        self.assertEqual((2, [1]), (self.runs, self.stored()))

    async def test_retries_around_retries_do_not_multiply(self):
        inner_runs = []

        @self.writer.independent.retrying(2)
        async def inner():
            inner_runs.append(1)
            raise DBDeadlock

        @self.writer.retrying(2)
        async def outer():
            self.runs += 1
            await inner()

        await self.raises(DBDeadlock, outer)
        self.assertEqual((1, 3), (self.runs, len(inner_runs)))

    async def test_what_was_being_handled_when_the_call_began_does_not_matter(self):
        @self.writer.retrying()
        async def work():
            self.runs += 1
            if self.runs == 1:
                raise DBDeadlock

        try:
            raise CommitUnknown
        except CommitUnknown:
            await work()
        self.assertEqual(2, self.runs)

    async def test_what_became_of_an_unknown_commit_inside_is_not_run_again(self):
        @self.writer.retrying()
        async def work():
            self.runs += 1
            try:
                raise CommitUnknown
            except CommitUnknown:
                raise DBDeadlock from None

        await self.raises(DBDeadlock, work)
        self.assertEqual(1, self.runs)

    async def test_a_deadline_is_shared_by_all_runs(self):
        lefts = []

        @self.writer.retrying(-1, interval_s=1).deadline(5)
        async def work():
            lefts.append(CURRENT.get().deadline.left_s)
            raise DBConnectionError

        error = await self.raises(DeadlineExceeded, work)
        self.assertIsInstance(error.__cause__, DBConnectionError)
        self.assertEqual(sorted(lefts, reverse=True), lefts)
        self.assertEqual(5, lefts[0])
        self.assertEqual(GaveUp.DEADLINE, self.events[-1].gave_up)
        self.assertLess(sum(self.clock.slept), 5)
        self.assertIn(f"was run {len(lefts)} times", error.__notes__[0])
        self.assertEqual(1, self.numbers.out_of_time)

    async def test_nor_does_one_begin_that_was_waited_for_too_long(self):
        self.meanwhile = lambda: setattr(self.clock, "time", self.clock.time + 60)

        @self.writer.retrying(-1, interval_s=1).deadline(5)
        async def work():
            self.runs += 1
            raise DBConnectionError

        error = await self.raises(DeadlineExceeded, work)
        self.assertIsInstance(error.__cause__, DBConnectionError)
        self.assertEqual(1, self.runs)

    @on(ASYNCIO)
    async def test_a_task_that_is_cancelled_while_it_waits_says_what_became_of_the_last_run(self):
        @self.writer.retrying()
        async def work():
            self.session.add(Item(id=1))
            await self.session.flush()
            raise DBDeadlock

        self.meanwhile = lambda: asyncio.current_task().cancel()
        task = asyncio.ensure_future(self.waiting_for(work))
        with self.raising(asyncio.CancelledError) as caught:
            await task
        self.assertEqual(Outcome.ROLLED_BACK, caught.error.outcome)
        self.assertEqual([], self.stored())

    async def waiting_for(self, work):
        asleep, self.clock.asleep = self.clock.asleep, self.suspending
        try:
            await work()
        finally:
            self.clock.asleep = asleep

    async def suspending(self, seconds):
        self.clock.sleep(seconds)
        await asyncio.sleep(0)

    @on(ASYNCIO & SQLITE_FILE)
    async def test_a_blocking_function_of_an_asyncio_block_waits_in_its_task(self):
        @self.db.reader.independent.retrying()
        def work():
            self.runs += 1
            if self.runs == 1:
                raise DBDeadlock
            return self.db.current.colour

        async with self.db.reader() as session:
            colour = await session.run_sync(lambda _: work())
        self.assertEqual((Colour.ASYNCIO, 2, 1), (colour, self.runs, len(self.clock.slept)))

    async def test_a_reader_inside_a_writer_is_part_of_it(self):
        @self.reader.retrying()
        async def inner():
            self.runs += 1
            raise DBDeadlock

        with self.raising(DBDeadlock):
            async with self.writer():
                await inner()
        self.assertEqual(1, self.runs)

    async def test_the_code_under_a_with_statement_is_refused(self):
        error = await self.raises(UsageError, self.open)
        self.assertIn("the code under a with statement cannot be run again", str(error))

    async def open(self):
        async with self.writer.retrying()():
            self.fail("it was entered")

    async def test_the_budget_refuses_what_is_too_much(self):
        self.db = self.database(clock=self.clock, on_retry=self.events.append, db_conflict_retry_budget=0.0)
        self.face = self.face_of(self.db)

        @self.writer.retrying(-1, max_interval_s=0)
        async def work():
            self.runs += 1
            raise DBDeadlock

        error = await self.raises(DBDeadlock, work)
        self.assertTrue(error.retry_budget_exhausted)
        self.assertEqual(FLOOR + 1, self.runs)
        self.assertEqual(GaveUp.BUDGET, self.events[-1].gave_up)
        self.assertEqual({Kind.CONFLICT: 1}, {k: n for k, n in self.numbers.refused_by_budget.items() if n})


@behaviours(MARIADB | POSTGRESQL)
class TestWaits(Retrying):
    async def test_they_grow_and_keep_below_the_bound(self):
        @self.writer.retrying(8, interval_s=1, max_interval_s=4)
        async def work():
            raise DBConnectionError

        await self.raises(DBConnectionError, work)
        self.assertEqual(8, len(self.clock.slept))
        self.assertLess(self.clock.slept[0], 1)
        self.assertEqual(sorted(self.clock.slept), self.clock.slept)
        self.assertEqual(4, self.clock.slept[-1])
