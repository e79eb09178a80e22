"""COMMITs whose reply is lost, decided by their token: stored once, or never, and said so."""

from __future__ import annotations

import asyncio
import warnings

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from dbkit.exceptions import (
    CommitUnknown,
    DBConnectionError,
    DBDuplicateEntry,
    DBError,
    DeadlineExceeded,
    Outcome,
)
from dbkit.testing import faults
from dbkit.tests.behaviours.base import behaviours, on
from dbkit.tests.behaviours.combinations import ASYNCIO, MARIADB, POSTGRESQL, Product
from dbkit.tests.behaviours.tables import Item
from dbkit.tests.faults.base import DRIVERS, Faulty
from dbkit.tests.steering import with_patience

ROUNDS = 15
ALL = list(range(ROUNDS))


class Fenced(Faulty):
    """A behaviour behind a proxy, with a token table."""

    settings: dict[str, object] = {}

    def setUp(self):
        super().setUp()
        self.place.do("DROP TABLE IF EXISTS dbkit_txn")  # the database is others' too, and rows are counted here
        self.run_plain(self._make_table)
        self.addCleanup(self.place.do, "DROP TABLE IF EXISTS dbkit_txn")
        self.database_behind = self.through(**self.settings)
        self.face = self.face_of(self.database_behind)

    async def _make_table(self):
        await (self.db.acreate_token_table() if self.is_asyncio else self._now(self.db.create_token_table))

    async def _now(self, work):
        work()

    async def insert(self, number):
        async with self.writer.exactly_once() as session:
            session.add(Item(id=number))

    async def outcome(self, token):
        """Ask in another Database, that goes round the proxy."""
        return await self.db.aoutcome(token) if self.is_asyncio else self.db.outcome(token)

    def tokens(self):
        """Return how many rows the token table has."""
        return self.place.ask("SELECT count(*) FROM dbkit_txn")[0]


@behaviours(DRIVERS)
class TestFence(Fenced):
    async def test_a_commit_that_arrived_is_a_success(self):
        ends = []

        async def insert(number):
            async with self.writer.exactly_once() as session:
                session.add(Item(id=number))
                self.face.after_commit(lambda: ends.append(number))

        with self.proxy.cut(faults.after("COMMIT"), times=None, probability=0.5, seed=5) as fault:
            for number in ALL:
                await insert(number)
            self.assertGreater(fault.fired, 3)
        self.assertEqual((ALL, ALL), (self.stored(), ends))

    async def test_one_that_did_not_arrive_never_will_and_can_be_run_again(self):
        ends = []
        with self.raising(DBConnectionError) as caught, self.proxy.cut(faults.before("COMMIT")):
            async with self.writer.exactly_once() as session:
                session.add(Item(id=1))
                self.face.after_rollback(lambda: ends.append("rolled back"))
                self.face.after_commit(lambda: ends.append("committed"))
        self.assertEqual((Outcome.ROLLED_BACK, True), (caught.error.outcome, caught.error.transient))
        self.assertEqual(([], ["rolled back"]), (self.stored(), ends))
        await self.insert(1)
        self.assertEqual([1], self.stored())

    async def test_one_that_arrives_late_is_shut_out(self):
        with self.proxy.abandon(faults.before("COMMIT"), seconds=60) as fault:
            await self.raises(DBConnectionError, self.insert, 1)
            fault.release()
            self.assertEqual([], self.stored())
            await self.insert(1)  # its own COMMIT passes: the fault strikes once
        self.assertEqual([1], self.stored())

    async def test_without_the_fence_the_same_is_not_known_and_arrives(self):
        # the control: a question alone would have been answered "not stored", and then it is
        with self.proxy.abandon(faults.before("COMMIT"), seconds=60) as fault:
            with self.raising(CommitUnknown) as caught:
                async with self.writer() as session:
                    session.add(Item(id=1))
            self.assertIsNone(caught.error.token)
            self.assertEqual([], self.stored())
            fault.release()
            self.proxy.wait_for("closed", timeout_s=10)
        self.eventually_stored(1)

    def eventually_stored(self, number):
        for _ in range(200):
            if self.stored() == [number]:
                return
            self.place.ask("SELECT pg_sleep(0.01)" if self.is_on(Product.POSTGRESQL) else "SELECT SLEEP(0.01)")
        self.fail(f"the row {number} was never stored")

    async def test_a_block_that_only_read_has_nothing_to_lose(self):
        with self.raising(DBConnectionError) as caught, self.proxy.cut(faults.before("COMMIT")):
            async with self.writer.exactly_once() as session:
                await session.execute(text("SELECT count(*) FROM items"))
        self.assertEqual((Outcome.ROLLED_BACK, True), (caught.error.outcome, caught.error.transient))
        self.assertEqual(0, self.tokens())

    @on(POSTGRESQL)
    async def test_a_function_that_stores_is_seen_whatever_its_name(self):
        self.place.do(
            'CREATE OR REPLACE FUNCTION "putItem"() RETURNS int LANGUAGE sql AS \'INSERT INTO items (id, amount) '
            "VALUES (1, 0) RETURNING id'"
        )
        self.addCleanup(self.place.do, 'DROP FUNCTION "putItem"')
        with self.proxy.cut(faults.after("COMMIT")):
            async with self.writer.exactly_once() as session:
                await session.execute(text('SELECT "putItem"()'))
        self.assertEqual([1], self.stored())

    async def test_what_the_drivers_connection_has_stored_is_seen(self):
        def insert(sync):
            sync.connection.cursor().execute("INSERT INTO items (id, amount) VALUES (1, 0)")

        with self.proxy.cut(faults.after("COMMIT")):
            async with self.writer.exactly_once() as session:
                connection = await session.connection()
                await connection.run_sync(insert)
        self.assertEqual([1], self.stored())

    @on(MARIADB)
    async def test_so_is_the_part_that_a_statement_has_stored_before_it_failed(self):
        self.place.do("INSERT INTO items (id, name, amount) VALUES (1, 'a', 0), (2, 'b', 0), (3, 'c', 0)")
        rename = text("UPDATE items SET name = :name WHERE id = :id")
        with self.proxy.cut(faults.after("COMMIT")):
            async with self.writer.exactly_once() as session:
                try:
                    await session.execute(rename, [{"id": 1, "name": "new"}, {"id": 2, "name": "c"}])
                except DBDuplicateEntry:
                    pass
        self.assertEqual(["new"], self.place.ask("SELECT name FROM items WHERE id = 1"))

    async def test_a_token_that_was_announced_stands_for_one_commit_only(self):
        # another one, after a replay, would store what the announced one says is not stored
        with self.raising(DBConnectionError), self.proxy.cut(faults.before("COMMIT")):
            async with self.writer.exactly_once.replaying() as session:
                token = self.database_behind.commit_token
                session.add(Item(id=1))
        self.assertIs(Outcome.ROLLED_BACK, await self.outcome(token))
        self.assertEqual([], self.stored())

    async def test_one_that_was_not_is_followed_by_another_where_the_block_replays(self):
        with self.proxy.cut(faults.before("COMMIT")):
            async with self.writer.exactly_once.replaying() as session:
                session.add(Item(id=1))
        self.assertEqual([1], self.stored())

    async def test_faults_in_the_fence_itself_are_survived(self):
        with self.proxy.cut(faults.before("COMMIT"), times=3) as fault:
            with self.raising(DBConnectionError) as caught:
                await self.insert(1)
            self.assertEqual(3, fault.fired)
        self.assertEqual((Outcome.ROLLED_BACK, []), (caught.error.outcome, self.stored()))

    @on(each for each in DRIVERS if each.driver in ("asyncpg", "psycopg2"))
    async def test_a_transaction_that_holds_the_token_is_ended_while_there_is_time_to_ask_again(self):
        """These drivers store the token before COMMIT is sent; the server keeps waiting for one that is lost."""

        async def attempt(seconds):
            fault = self.proxy.drop(faults.before("COMMIT"))
            with self.raising((DBConnectionError, CommitUnknown, DeadlineExceeded)) as caught:
                async with self.writer.exactly_once.deadline(seconds)() as session:
                    session.add(Item(id=1))
            self.proxy.cut_all()
            struck = fault.remove()
            return caught.error.outcome if struck and isinstance(caught.error, DBConnectionError) else None

        async def clear_up():
            await self.dispose(self.database_behind)  # what lies in its pool was cut

        self.assertIs(Outcome.ROLLED_BACK, await with_patience(attempt, (2, 6, 6), clear_up))
        self.assertEqual([], self.stored())

    async def test_an_answer_that_was_read_is_true_though_the_fence_cannot_end(self):
        with self.proxy.cut(faults.after("COMMIT"), times=None) as fault:
            await self.insert(1)
            self.assertEqual(2, fault.fired)
        self.assertEqual([1], self.stored())


@behaviours(DRIVERS)
class TestOutOfReach(Fenced):
    settings = {"commit_fence_timeout": 0.3}

    async def test_what_cannot_be_decided_can_be_asked_for_later(self):
        for point, expected in ((faults.after("COMMIT"), Outcome.COMMITTED), (faults.before("COMMIT"), None)):
            told = []
            with self.proxy.cut(point):
                self.proxy.refuse()
                with self.raising(CommitUnknown) as caught:
                    async with self.connected() as session:
                        session.add(Item(id=1))
                        self.face.after_unknown(told.append)
                self.proxy.accept()
            error = caught.error
            self.assertEqual((Outcome.UNKNOWN, False), (error.outcome, error.transient))
            self.assertEqual([error.token], told)
            self.assertIs(expected or Outcome.ROLLED_BACK, await self.outcome(error.token))
            self.assertEqual([1] if expected else [], self.stored())
            self.place.empty()

    def connected(self):
        return _Connected(self)


class _Connected:
    """A writer whose connection is there before the proxy refuses new ones."""

    def __init__(self, case):
        self._case = case
        self._block = case.writer.exactly_once()

    async def __aenter__(self):
        self._case.proxy.accept()
        session = await self._block.__aenter__()
        await session.execute(text("SELECT 1"))
        self._case.proxy.refuse()
        return session

    async def __aexit__(self, *error):
        return await self._block.__aexit__(*error)


@behaviours(POSTGRESQL)
class TestByStatus(Fenced):
    settings = {"commit_fence": "status"}

    async def test_a_commit_that_arrived_is_a_success(self):
        with self.proxy.cut(faults.after("COMMIT"), times=None, probability=0.5, seed=5) as fault:
            for number in ALL:
                await self.insert(number)
            self.assertGreater(fault.fired, 3)
        self.assertEqual((ALL, 0), (self.stored(), self.tokens()))

    async def test_one_that_did_not_arrive_never_will(self):
        with self.proxy.cut(faults.before("COMMIT")):
            error = await self.raises(DBConnectionError, self.insert, 1)
        self.assertIs(Outcome.ROLLED_BACK, error.outcome)
        self.assertEqual([], self.stored())

    async def test_one_that_arrives_late_is_shut_out(self):
        with self.proxy.abandon(faults.before("COMMIT"), seconds=60) as fault:
            await self.raises(DBConnectionError, self.insert, 1)
            fault.release()
        self.assertEqual([], self.stored())

    async def test_a_number_of_another_server_is_not_judged(self):
        for token in ("xact:1:00000001:800", "xact:7000000000000000000:000000FF:800"):
            error = await self.raises(CommitUnknown, self.outcome, token)
            self.assertIn("the server is not the one that it was", str(error))

    async def test_a_block_that_only_read_has_nothing_to_lose(self):
        with self.proxy.cut(faults.before("COMMIT")):
            with self.raising(DBError) as caught:
                async with self.writer.exactly_once() as session:
                    await session.execute(text("SELECT count(*) FROM items"))
        self.assertIs(Outcome.ROLLED_BACK, caught.error.outcome)


@behaviours(DRIVERS)
class TestReaders(Faulty):
    async def test_the_end_of_a_reader_leaves_nothing_in_doubt(self):
        # at SERIALIZABLE each product ends a reader with COMMIT; the first block opens the connection, by one too
        await self.look()
        with self.raising(DBConnectionError) as caught, self.proxy.cut(faults.after("COMMIT")):
            async with self.reader.isolation("SERIALIZABLE")() as session:
                await session.scalar(text("SELECT count(*) FROM items"))
        self.assertEqual((Outcome.ROLLED_BACK, True), (caught.error.outcome, caught.error.transient))


class _Cancelled(Fenced):
    async def cancelled_while_held(self, work):
        """Cancel a task whose COMMIT the proxy holds, and return the cancellation that comes of it."""
        with self.proxy.hold(faults.after("COMMIT")) as fault:
            task = asyncio.create_task(work())
            await fault.awaiting()
            task.cancel()
            # the answer is not let go before the task has ended
            done, _ = await asyncio.wait([task], timeout=30)
            self.assertEqual({task}, done)
        with self.raising(asyncio.CancelledError) as caught:
            await task
        return caught.error


@behaviours(DRIVERS & ASYNCIO)
class TestPatience(_Cancelled):
    settings = {"commit_fence_timeout": 0.5}

    async def test_a_cancellation_waits_for_a_commit_for_so_long_only(self):
        async def work():
            async with self.writer() as session:
                session.add(Item(id=1))

        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", ResourceWarning)
            error = await self.cancelled_while_held(work)
        self.assertEqual([], [str(each.message) for each in told if "unclosed <socket" in str(each.message)])
        self.assertIs(Outcome.UNKNOWN, error.outcome)
        self.assertIsInstance(error.__cause__, CommitUnknown)
        self.assertEqual([1], self.stored())

    async def test_bare_sqlalchemy_says_nothing_of_what_is_stored(self):
        engine = create_async_engine(self.proxy.through(self.direct), poolclass=NullPool)

        async def work():
            async with engine.begin() as connection:
                await connection.execute(Item.__table__.insert().values(id=1, amount=0))

        with self.proxy.hold(faults.after("COMMIT")) as fault:
            task = asyncio.create_task(work())
            await fault.awaiting()
            task.cancel()
            with self.raising(asyncio.CancelledError) as caught:
                await task
        self.assertFalse(hasattr(caught.error, "outcome"))
        self.assertEqual([1], self.stored())
        await engine.dispose()


@behaviours(DRIVERS & ASYNCIO)
class TestPatienceWithAToken(_Cancelled):
    settings = {"commit_fence_timeout": 2}  # it is waited for so long, and then asked for as long at most

    async def test_it_is_known_what_became_of_a_commit_that_was_waited_for(self):
        error = await self.cancelled_while_held(lambda: self.insert(1))
        self.assertIs(Outcome.COMMITTED, error.outcome)
        self.assertEqual([1], self.stored())
