"""Only the block ends its transaction, and what it was given is stored or refused, never forgotten."""

from __future__ import annotations

from unittest import mock

from sqlalchemy import event, insert, select, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import PendingRollbackError

from dbkit.engines.connection import TrackedConnection
from dbkit.exceptions import PoolTimeout, TransactionDoomed, TransactionManaged
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import BOTH_FACES, EVERY_DRIVER, SERVERS, Product
from dbkit.tests.behaviours.tables import Audit, Item

EVERYWHERE = EVERY_DRIVER | BOTH_FACES

_SQLITES = ("READ UNCOMMITTED", "PRAGMA read_uncommitted")
# A level that is not the default, and what asks for the level in force.
_LEVELS = {
    Product.SQLITE_FILE: _SQLITES,
    Product.SQLITE_MEMORY: _SQLITES,
    Product.POSTGRESQL: ("SERIALIZABLE", "SELECT current_setting('transaction_isolation')"),
    Product.MARIADB: ("SERIALIZABLE", "SELECT @@tx_isolation"),
}


class Refusal(Exception):
    """What an application's listener raises."""


def causes(error):
    """Return the classes of an error and of those that led to it, the last one first."""
    found = []
    while error is not None:
        found.append(type(error))
        error = error.__cause__
    return found


@behaviours(EVERYWHERE)
class TestWhatIsGiven(Behaviour):
    async def test_what_a_flush_listener_adds_is_stored_too(self):
        def add_audit(session, context):
            if any(isinstance(each, Item) for each in session.new):
                session.add(Audit(id=1))

        async with self.writer() as session:
            event.listen(session.sync_session, "after_flush", add_audit)
            session.add(Item(id=1))
        self.assertEqual(([1], [1]), (self.stored(), self.stored(Audit)))

    async def test_what_a_failed_reader_added_is_never_stored(self):
        with self.raising(TransactionDoomed):
            async with self.writer():
                with self.raising(LookupError):
                    async with self.reader() as session:
                        session.add(Item(id=1))
                        raise LookupError
        self.assertEqual([], self.stored())

    async def test_a_flush_that_was_refused_before_it_began_is_made_again(self):
        def refuse(session, context, instances):
            raise Refusal

        async with self.writer() as session:
            event.listen(session.sync_session, "before_flush", refuse)
            session.add(Item(id=1))
            await self.raises(Refusal, session.flush)
            event.remove(session.sync_session, "before_flush", refuse)
        self.assertEqual([1], self.stored())

    async def test_a_flush_that_is_refused_to_the_end_is_the_blocks_error(self):
        def refuse(session, context, instances):
            raise Refusal

        with self.raising(Refusal):
            async with self.writer() as session:
                event.listen(session.sync_session, "before_flush", refuse)
                session.add(Item(id=1))
                await self.raises(Refusal, session.flush)
        self.assertEqual([], self.stored())


@behaviours(EVERYWHERE)
class TestFlushesThatFailBeforeTheirStatement(Behaviour):
    """Nothing has reached the database, but the Session has forgotten what it was to write."""

    async def failed(self, more):
        """Swallow the error of a mapper's listener, then do more or end the block."""

        def refuse(mapper, connection, target):
            raise Refusal

        event.listen(Audit, "before_insert", refuse)
        self.addCleanup(event.remove, Audit, "before_insert", refuse)
        with self.raising(TransactionDoomed) as caught:
            async with self.writer() as session:
                session.add(Item(id=1))
                session.add(Audit(id=1))
                await self.raises(Refusal, session.flush)
                await more(session)
        self.assertIn(Refusal, causes(caught.error))
        self.assertEqual([], self.stored())

    async def test_a_block_that_swallows_one_raises_with_its_cause(self):
        async def more(session):
            pass

        await self.failed(more)

    async def test_so_does_one_that_flushes_again(self):
        async def more(session):
            session.add(Item(id=2))
            await session.flush()

        await self.failed(more)

    async def test_so_does_one_that_executes_a_statement(self):
        async def more(session):
            await session.execute(select(Item.id))

        await self.failed(more)


@behaviours(SERVERS)
class TestFlushesWithoutAConnection(Behaviour):
    """The pool has none when the flush needs one, and has one again when the block goes on."""

    def setUp(self):
        super().setUp()
        self.narrow = self.face_of(self.database(max_pool_size=1, max_overflow=0, pool_timeout=0))

    async def failed(self, more):
        with self.raising(TransactionDoomed) as caught:
            async with self.narrow.writer() as session:
                session.add(Item(id=1))
                async with self.narrow.writer.independent() as other:
                    await other.execute(select(Audit.id))
                    await self.raises(PoolTimeout, session.flush)
                await more(session)
        self.assertIsInstance(caught.error.__cause__, PoolTimeout)
        self.assertTrue(caught.error.transient)
        self.assertEqual([], self.stored())

    async def test_a_block_that_swallows_it_raises_with_its_cause(self):
        async def more(session):
            pass

        await self.failed(more)

    async def test_so_does_one_that_flushes_again(self):
        async def more(session):
            session.add(Item(id=2))
            await session.flush()

        await self.failed(more)

    async def test_so_does_one_that_swallows_that_too(self):
        async def more(session):
            session.add(Item(id=2))
            await self.raises(PendingRollbackError, session.flush)

        await self.failed(more)

    async def test_a_function_that_goes_on_does_so_too(self):
        @self.narrow.writer
        async def work():
            session = self.narrow.handle("session")
            session.add(Item(id=1))
            async with self.narrow.writer.independent() as other:
                await other.execute(select(Audit.id))
                await self.raises(PoolTimeout, session.flush)
            await session.execute(select(Item.id))

        error = await self.raises(TransactionDoomed, work)
        self.assertIsInstance(error.__cause__, PoolTimeout)

    async def test_a_statement_without_a_connection_loses_nothing(self):
        # the control: nothing was to be written
        async with self.narrow.writer() as session:
            async with self.narrow.writer.independent() as other:
                await other.execute(select(Audit.id))
                await self.raises(PoolTimeout, session.execute, select(Item.id))
            session.add(Item(id=1))
        self.assertEqual([1], self.stored())

    async def test_a_pending_rollback_of_another_session_is_left_alone(self):
        with self.raising(PendingRollbackError) as caught:
            async with self.narrow.writer() as session:
                session.add(Item(id=1))
                raise PendingRollbackError("of somebody else")
        self.assertIn("of somebody else", str(caught.error))


@behaviours(EVERYWHERE)
class TestEndsOfOnesOwn(Behaviour):
    async def test_a_begin_of_ones_own_commits_nothing(self):
        with self.raising(TransactionManaged):
            async with self.writer.connection() as connection, connection.begin():
                await connection.execute(insert(Item).values(id=1, amount=0))
        self.assertEqual([], self.stored())

    async def test_a_begin_of_ones_own_in_plain_sqlalchemy_commits(self):
        # the control: the idiom that the block refuses
        async with self.bare_transaction() as connection:
            await connection.execute(insert(Item).values(id=1, amount=0))
        self.assertEqual([1], self.stored())

    async def test_the_connections_own_ends_are_refused(self):
        async with self.writer.connection() as connection:
            await connection.execute(insert(Item).values(id=1, amount=0))
            for end in (connection.commit, connection.rollback, connection.close):
                error = await self.raises(TransactionManaged, end)
                self.assertIn("inside a block", str(error))
        self.assertEqual([1], self.stored())


@behaviours(EVERY_DRIVER)
class TestIsolationLevels(Behaviour):
    """The level belongs to the block: as an option of the connection it would stay on it in the pool."""

    def setUp(self):
        super().setUp()
        self.narrow = self.face_of(self.database(max_pool_size=1, max_overflow=0))
        self.other_level, self.question = _LEVELS[self.combination.product]

    async def set_level(self, connection):
        await connection.run_sync(lambda plain: plain.execution_options(isolation_level=self.other_level))

    async def level(self):
        """Return the level of a block on the pooled connection."""
        async with self.narrow.writer() as session:
            return await session.scalar(text(self.question))

    async def test_it_is_no_option_of_the_connection(self):
        level = await self.level()
        async with self.narrow.writer.connection() as connection:
            for _ in range(2):  # before the first statement, and after it
                with self.raising(TransactionManaged) as caught:
                    await self.set_level(connection)
                self.assertIn(".isolation(...)", str(caught.error))
                await connection.execute(select(Item.id))
        self.assertEqual(level, await self.level())

    async def test_it_is_no_option_of_the_sessions_connection(self):
        level = await self.level()
        async with self.narrow.writer() as session:
            with self.raising(TransactionManaged):
                await session.connection(execution_options={"isolation_level": self.other_level})
        self.assertEqual(level, await self.level())

    async def test_other_options_of_the_connection_are_its_own(self):
        async with self.narrow.writer.connection() as connection:
            await connection.run_sync(lambda plain: plain.execution_options(mine=1))
            self.assertEqual(1, await connection.run_sync(lambda plain: plain.get_execution_options()["mine"]))
        async with self.narrow.writer.connection() as connection:
            self.assertNotIn("mine", await connection.run_sync(lambda plain: plain.get_execution_options()))

    @on(SERVERS)
    async def test_sqlalchemys_option_would_store_what_is_rolled_back(self):
        # the control: the refusal is switched off
        with mock.patch.object(TrackedConnection, "execution_options", Connection.execution_options):
            with self.raising(ValueError):
                async with self.narrow.writer.connection() as connection:
                    await connection.run_sync(lambda plain: plain.execution_options(isolation_level="AUTOCOMMIT"))
                    await connection.execute(insert(Item).values(id=1, amount=0))
                    raise ValueError
        self.assertEqual([1], self.stored())


@behaviours(EVERYWHERE)
class TestInvalidatedConnections(Behaviour):
    """What was done on a connection that the code throws away is lost; no end of the block says otherwise."""

    async def test_the_end_of_a_block_says_so(self):
        with self.raising(TransactionDoomed) as caught:
            async with self.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                await (await session.connection()).invalidate()
        self.assertIn("invalidated by the code inside the block", str(caught.error.__cause__))
        self.assertEqual([], self.stored())

    async def test_a_further_statement_says_so(self):
        for execute in (self.execute, self.flush):
            with self.raising(TransactionDoomed) as caught:
                async with self.writer() as session:
                    session.add(Item(id=1))
                    await session.flush()
                    await (await session.connection()).invalidate()
                    await execute(session)
            self.assertIn("invalidated by the code inside the block", str(caught.error.__cause__))
            self.assertEqual([], self.stored())

    async def execute(self, session):
        await session.execute(select(Item.id))

    async def flush(self, session):
        session.add(Item(id=2))
        await session.flush()

    async def test_a_connection_block_says_so(self):
        for more in (False, True):
            with self.raising(TransactionDoomed):
                async with self.writer.connection() as connection:
                    await connection.execute(insert(Item).values(id=1, amount=0))
                    await connection.invalidate()
                    if more:
                        await connection.execute(select(Item.id))
            self.assertEqual([], self.stored())

    async def test_the_rollback_hooks_run_and_the_next_block_is_served(self):
        calls = []
        with self.raising(TransactionDoomed):
            async with self.writer() as session:
                self.face.after_commit(lambda: calls.append("committed"))
                self.face.after_rollback(lambda: calls.append("rolled back"))
                session.add(Item(id=1))
                await session.flush()
                await (await session.connection()).invalidate()
        async with self.writer() as session:
            session.add(Item(id=2))
        self.assertEqual((["rolled back"], [2]), (calls, self.stored()))

    @on(EVERY_DRIVER)
    async def test_plain_sqlalchemy_speaks_of_another_thing(self):
        # the control: an error that says neither that all is lost nor why
        with self.raising(PendingRollbackError):
            async with self.bare_transaction() as connection:
                await connection.execute(insert(Item).values(id=1, amount=0))
                await connection.invalidate()
                await connection.execute(select(Item.id))
        self.assertEqual([], self.stored())
