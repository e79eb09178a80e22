"""The number of statements in a block is told right, and a wrong one with the statements and their lines."""

from __future__ import annotations

import asyncio
import threading

from sqlalchemy import delete, insert, select, text, update

from dbkit.exceptions import UsageError
from dbkit.testing.assertions import assert_reads_only, assert_round_trips, assert_statements, count_statements
from dbkit.tests.behaviours.base import behaviours, on
from dbkit.tests.behaviours.combinations import (
    ASYNCIO,
    BLOCKING,
    BOTH_FACES,
    ONE,
    ONE_PER_PRODUCT,
    POSTGRESQL,
    SERVERS,
    SQLITE_FILE,
)
from dbkit.tests.behaviours.faces import manager_of
from dbkit.tests.behaviours.sandboxes import SandboxBehaviour
from dbkit.tests.behaviours.tables import Item


class Counting(SandboxBehaviour):
    async def plain(self, engine, *statements):
        """Execute on an engine of SQLAlchemy, in a transaction of its own."""
        if self.is_asyncio:
            async with engine.begin() as connection:
                for each in statements:
                    await connection.execute(each)
        else:
            with engine.begin() as connection:
                for each in statements:
                    connection.execute(each)

    async def select_times(self, count):
        async with self.reader() as session:
            for _ in range(count):
                await session.execute(select(Item.id))


@behaviours()
class TestCounting(Counting):
    async def test_statements_are_counted_and_not_what_surrounds_them(self):
        fresh = self.face_of(self.database())  # opens its first connection in the block
        with count_statements(self.db) as others, count_statements(fresh._database) as recorder:
            async with fresh.writer() as session:
                session.add(Item(id=1))
                async with fresh.writer.savepoint() as inner:
                    await inner.execute(select(Item.id))
                await session.execute(update(Item).values(amount=2))
        self.assertEqual(["INSERT", "SELECT", "UPDATE"], [each.split()[0] for each in recorder.statements])
        self.assertEqual((3, 0), (recorder.count, others.count))

    async def test_it_is_the_same_in_a_sandbox(self):
        async with self.isolated() as sandbox:
            with assert_statements(sandbox, 2):
                async with self.opener(sandbox).writer() as session:
                    session.add(Item(id=1))
                    await session.flush()
                    await session.execute(select(Item.id))

    async def test_a_manager_that_moves_into_a_sandbox_is_followed(self):
        with assert_statements(self.db, 2):
            await self.select_times(1)
            async with self.isolated(managers=[self.db]):
                async with self.face_of(self.db).reader() as session:
                    await session.execute(select(Item.id))

    async def test_parameters_are_not_recorded(self):
        value = "se" + "cret"
        with count_statements(self.db) as recorder:
            async with self.reader() as session:
                await session.execute(select(Item.id).where(Item.name == value))
        self.assertNotIn(value, recorder.report())

    async def test_plain_engines_are_counted_too(self):
        engine = self.bare_engine()
        with assert_statements(engine, 2):
            await self.plain(engine, select(Item.id), select(Item.name))

    async def test_nothing_stays_behind(self):
        await self.select_times(1)
        engines = self.db.factory.engines(self.combination.colour)
        before = [dict(vars(lane.engine.dialect)) for lane in (engines.writer, engines.reader)]
        with count_statements(self.db) as outer, count_statements(self.db):
            await self.select_times(1)
        await self.select_times(1)
        after = [dict(vars(lane.engine.dialect)) for lane in (engines.writer, engines.reader)]
        self.assertEqual(before, after)
        self.assertEqual(1, outer.count)


@behaviours(BOTH_FACES)
class TestFaces(Counting):
    async def test_managers_of_enginefacade_are_looked_at_like_the_database(self):
        manager = manager_of(self.db)
        self.face = self.face_of(self.db) if self.combination in ONE else self.face
        with assert_statements(self.db, 1):
            await self.select_times(1)
        with assert_statements(manager.writer, 0):  # a root of its own over the same factory
            pass

    async def test_async_with_does_the_same(self):
        async with assert_statements(self.db, 1):
            await self.select_times(1)


@behaviours(ONE_PER_PRODUCT)
class TestFailures(Counting):
    async def test_a_wrong_number_lists_the_statements_with_their_lines(self):
        with self.raising(AssertionError) as caught, assert_statements(self.db, 2):
            await self.select_times(3)
        said = str(caught.error)
        self.assertIn("3 statements sent, 2 expected:", said)
        self.assertIn("3 x SELECT items.id", said)
        self.assertRegex(said, r"dbkit/tests/behaviours/\w+\.py:\d+ in \w+: ")
        if self.is_asyncio:
            self.assertRegex(said, r"test_assertions_statements\.py:\d+ in select_times: await session\.execute")

    async def test_max_allows_fewer(self):
        with assert_statements(self.db, max=2):
            await self.select_times(1)
        with self.raising(AssertionError) as caught, assert_statements(self.db, max=2):
            await self.select_times(3)
        self.assertIn("3 statements sent, at most 2 expected", str(caught.error))

    async def test_too_few_are_told_too(self):
        with self.raising(AssertionError) as caught, assert_statements(self.db, 1):
            pass
        self.assertEqual("0 statements sent, 1 expected", str(caught.error))

    async def test_an_error_of_the_block_is_not_hidden(self):
        with self.raising(ZeroDivisionError), assert_statements(self.db, 1):
            raise ZeroDivisionError

    @on(ASYNCIO)
    async def test_the_flush_at_the_end_of_a_block_is_the_blocks(self):
        """It runs in a task of its own, on whose stack the block is not."""
        with count_statements(self.db) as recorder:
            async with self.writer() as session:
                session.add(Item(id=1))
        self.assertIn("test_the_flush_at_the_end_of_a_block_is_the_blocks", str(recorder.sent[0].place))
        self.assertIn("async with self.writer() as session", recorder.sent[0].place.text)


@behaviours(ONE)
class TestUse(Counting):
    async def test_exactly_one_number_is_wanted(self):
        self.assertRaises(UsageError, assert_statements, self.db)
        self.assertRaises(UsageError, assert_statements, self.db, 1, max=2)

    async def test_what_has_no_engines_is_refused(self):
        with self.raising(UsageError) as caught, count_statements("sqlite://"):
            pass
        self.assertIn("class str", str(caught.error))

    async def test_one_is_entered_once(self):
        recorder = count_statements(self.db)
        with recorder:
            pass
        with self.raising(UsageError), recorder:
            pass

    async def test_they_may_end_in_any_order(self):
        first, second = count_statements(self.db), count_statements(self.db)
        first.__enter__()
        second.__enter__()
        await self.select_times(1)
        first.__exit__(None, None, None)
        await self.select_times(1)
        second.__exit__(None, None, None)
        await self.select_times(1)
        self.assertEqual((1, 2), (first.count, second.count))

    @on(BLOCKING)
    async def test_other_threads_count_unless_they_are_left_out(self):
        def read():
            with self.db.reader() as session:
                session.execute(select(Item.id))

        with count_statements(self.db) as all_of_them, count_statements(self.db, this_thread=True) as mine:
            read()
            thread = threading.Thread(target=read)
            thread.start()
            thread.join()
        self.assertEqual((2, 1), (all_of_them.count, mine.count))

    @on(ASYNCIO)
    async def test_a_loop_that_begins_in_the_block_counts(self):
        database = self.database()

        async def read():
            async with database.reader() as session:
                await session.execute(select(Item.id))
            await database.adispose()

        def run():
            with assert_statements(database, 1):
                asyncio.run(read())

        await asyncio.to_thread(run)


@behaviours(ONE_PER_PRODUCT)
class TestReadsOnly(Counting):
    async def test_reads_are_allowed(self):
        with assert_reads_only(self.db):
            async with self.writer() as session:
                await session.execute(select(Item.id))
                await session.execute(text("SELECT 1"))
                async with self.writer.savepoint() as inner:
                    await inner.execute(select(Item))

    async def test_writes_are_told_with_their_lines(self):
        for number, statement in enumerate(
            (
                insert(Item).values(id=1, amount=0),
                update(Item).values(amount=1),
                delete(Item),
                text("UPDATE items SET amount = 1"),
            )
        ):
            with self.subTest(number=number):
                with self.raising(AssertionError) as caught, assert_reads_only(self.db):
                    async with self.writer() as session:
                        await session.execute(select(Item.id))
                        await session.execute(statement)
                said = str(caught.error)
                self.assertIn("read only, and has sent 1 statement that write", said)
                self.assertIn("INSERT UPDATE DELETE".split()[min(number, 2)] if number < 3 else "UPDATE", said)
                self.assertNotIn("SELECT", said)

    async def test_a_flush_is_a_write(self):
        with self.raising(AssertionError), assert_reads_only(self.db):
            async with self.writer() as session:
                session.add(Item(id=1))


@behaviours(SERVERS)
class TestRoundTrips(Counting):
    async def work(self, database):
        async with self.face_of(database).writer() as session:
            await session.execute(select(Item.id))
            await session.execute(update(Item).values(amount=1))

    async def test_begin_and_commit_are_round_trips(self):
        # BEGIN by itself on PostgreSQL, not at all on MariaDB, whose drivers have switched autocommit off
        expected = 4 if self.combination in POSTGRESQL else 3
        async with assert_round_trips(self.db, expected) as trips:
            await self.work(self.db)
            trips.restart()
            await self.work(self.db)
        await self.work(self.db)

    async def test_a_wrong_number_is_told_with_the_statements(self):
        with self.raising(AssertionError) as caught:
            async with assert_round_trips(self.db, 99):
                await self.work(self.db)
        self.assertRegex(str(caught.error), r"\d+ round trips on the wire, 99 expected; the statements, ")
        self.assertIn("1 x UPDATE items", str(caught.error))

    async def test_a_savepoint_takes_two(self):
        async with assert_round_trips(self.db, max=99) as trips:
            await self.work(self.db)
            trips.restart()
            await self.work_in_savepoint()
            trips.restart()
            await self.work(self.db)
            without = trips.count
            trips.restart()
            await self.work_in_savepoint()
            self.assertEqual(without + 2, trips.count)

    async def work_in_savepoint(self):
        async with self.writer() as session:
            await session.execute(select(Item.id))
            async with self.writer.savepoint() as inner:
                await inner.execute(update(Item).values(amount=1))

    async def test_the_pools_are_as_before(self):
        await self.work(self.db)
        engines = self.db.factory.engines(self.combination.colour)
        pools = [lane.engine.pool for lane in (engines.writer, engines.reader)]
        held = pools[0].capacity.held
        async with assert_round_trips(self.db, max=99):
            await self.work(self.db)
        self.assertEqual(pools, [lane.engine.pool for lane in (engines.writer, engines.reader)])
        self.assertEqual(held, pools[0].capacity.held)

    @on(ASYNCIO)
    async def test_asyncio_needs_async_with(self):
        await self.work(self.db)
        with self.raising(UsageError) as caught, assert_round_trips(self.db, 1):
            pass
        self.assertIn("async with assert_round_trips", str(caught.error))

    async def test_a_sandbox_with_one_connection_is_refused(self):
        async with self.isolated() as sandbox:
            await self.work(sandbox.database)
            with self.raising(UsageError) as caught:
                async with assert_round_trips(sandbox, 1):
                    pass
        self.assertIn("isolation 'clone'", str(caught.error))


@behaviours(SQLITE_FILE)
class TestRoundTripsOfSQLite(Counting):
    async def test_there_are_none(self):
        await self.select_times(1)
        with self.raising(UsageError) as caught:
            async with assert_round_trips(self.db, 1):
                pass
        self.assertIn("there are no round trips", str(caught.error))
