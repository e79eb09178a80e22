"""P1: a transaction that the server has lost never looks like a success; plain SQLAlchemy's sometimes does.

Each loss is played twice, in a block of dbkit and as a control in plain SQLAlchemy. The control says, for each driver,
whether plain SQLAlchemy ends without an error though rows are missing, so that the tests can't lose their point unseen.
"""

from __future__ import annotations

import fixtures
from sqlalchemy import insert, text
from sqlalchemy.exc import SAWarning

from dbkit.exceptions import DBDuplicateEntry, DBError, DBReferenceError, DBSerializationFailure, TransactionDoomed
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import (
    BOTH_FACES,
    MARIADB,
    ONE_PER_PRODUCT,
    POSTGRESQL,
    SERVERS,
    SQLITE,
    SQLITE_FILE,
)
from dbkit.tests.behaviours.tables import Audit, Item, Pledge


class Losing(Behaviour):
    """What the tests of lost transactions have in common."""

    async def swallowed(self, session, statement):
        """Execute a statement that fails, as code does that thinks it can go on."""
        try:
            await session.execute(statement)
        except Exception:  # that is the point
            return
        raise AssertionError("the statement was expected to fail")

    def causes(self, error):
        """Return the error and those that led to it, the last one first."""
        found = []
        while error is not None:
            found.append(error)
            error = error.__cause__
        return found

    async def usable(self):
        """The connection that the loss was on serves the next blocks as if nothing had been."""
        for number in (90, 91, 92):
            async with self.writer() as session:
                session.add(Item(id=number))
        self.assertEqual([90, 91, 92], self.stored()[-3:])
        with self.raising(ValueError):
            async with self.writer() as session:
                session.add(Item(id=93))
                await session.flush()
                raise ValueError
        self.assertEqual([90, 91, 92], self.stored()[-3:])


@behaviours(POSTGRESQL)
class TestSwallowedErrors(Losing):
    """PostgreSQL aborts a transaction in which a statement fails, and answers its COMMIT with ROLLBACK."""

    async def test_a_block_that_swallows_one_raises_with_the_first_cause(self):
        with self.raising(TransactionDoomed) as caught:
            async with self.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                await self.swallowed(session, text("SELECT nothing FROM nowhere"))
        self.assertEqual("42P01", caught.error.__cause__.sqlstate)
        self.assertIsNotNone(caught.error.__cause__.orig)
        self.assertIn("end the block, or put what may fail into a .savepoint block", str(caught.error))
        self.assertEqual([], self.stored())
        await self.usable()

    async def test_plain_sqlalchemy_ends_without_an_error_and_without_the_rows(self):
        async with self.bare_transaction() as connection:
            await connection.execute(insert(Item).values(id=1, amount=0))
            await self.swallowed(connection, text("SELECT nothing FROM nowhere"))
        self.assertEqual([], self.stored())

    async def test_plain_sqlalchemys_session_does_so_too(self):
        async with self.bare_session() as session:
            session.add(Item(id=1))
            await session.flush()
            await self.swallowed(session, text("SELECT nothing FROM nowhere"))
        self.assertEqual([], self.stored())

    async def test_what_comes_after_it_is_refused_with_the_first_cause(self):
        with self.raising(TransactionDoomed) as caught:
            async with self.writer() as session:
                await self.swallowed(session, text("SELECT nothing FROM nowhere"))
                await session.execute(text("SELECT 1"))
        self.assertEqual("42P01", caught.error.__cause__.sqlstate)

    async def test_the_first_error_is_the_cause_though_others_followed(self):
        with self.raising(TransactionDoomed) as caught:
            async with self.writer() as session:
                await self.swallowed(session, text("SELECT nothing FROM nowhere"))
                await self.swallowed(session, text("SELECT 1/0"))
                await self.swallowed(session, text("SELECT 1"))
        self.assertEqual("42P01", caught.error.__cause__.sqlstate)

    async def test_a_joined_block_that_swallows_one_dooms_the_outer_one(self):
        with self.raising(TransactionDoomed):
            async with self.writer() as outer:
                outer.add(Item(id=1))
                async with self.writer() as inner:
                    await self.swallowed(inner, text("SELECT nothing FROM nowhere"))
        self.assertEqual([], self.stored())

    async def test_a_connection_block_that_swallows_one_raises(self):
        with self.raising(TransactionDoomed):
            async with self.writer.connection() as connection:
                await connection.execute(insert(Item).values(id=1, amount=0))
                await self.swallowed(connection, text("SELECT nothing FROM nowhere"))
        self.assertEqual([], self.stored())
        await self.usable()

    async def test_a_savepoint_around_it_saves_the_block(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            with self.raising(DBError):
                async with self.writer.savepoint() as inner:
                    await inner.execute(text("SELECT nothing FROM nowhere"))
            session.add(Item(id=2))
        self.assertEqual([1, 2], self.stored())

    async def test_a_savepoint_inside_which_it_is_swallowed_is_undone(self):
        with self.raising(TransactionDoomed):
            async with self.writer() as session:
                session.add(Item(id=1))
                async with self.writer.savepoint() as inner:
                    await self.swallowed(inner, text("SELECT nothing FROM nowhere"))
        self.assertEqual([], self.stored())

    async def test_the_error_of_such_a_savepoint_may_be_handled_outside_of_it(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            with self.raising(TransactionDoomed) as caught:
                async with self.writer.savepoint() as inner:
                    inner.add(Item(id=2))
                    await inner.flush()
                    await self.swallowed(inner, text("SELECT nothing FROM nowhere"))
            self.assertEqual("42P01", caught.error.__cause__.sqlstate)
            session.add(Item(id=3))
        self.assertEqual([1, 3], self.stored())

    async def test_the_callers_own_error_is_not_hidden(self):
        with self.raising(ValueError):
            async with self.writer() as session:
                await self.swallowed(session, text("SELECT nothing FROM nowhere"))
                raise ValueError
        await self.usable()


@behaviours(BOTH_FACES | ONE_PER_PRODUCT)
class TestSwallowedFlushErrors(Losing):
    """SQLAlchemy's Session rolls back when a flush fails, on every database."""

    async def test_a_block_that_swallows_one_raises_with_its_cause(self):
        self.store(1)
        with self.raising(DBError) as caught:
            async with self.writer() as session:
                session.add(Audit(id=1))
                await session.flush()
                session.add(Item(id=1))
                await self.raises(DBDuplicateEntry, session.flush)
        self.assertTrue(any(isinstance(each, DBDuplicateEntry) for each in self.causes(caught.error)))
        self.assertEqual(([1], []), (self.stored(), self.stored(Audit)))
        await self.usable()

    async def test_work_after_it_is_refused(self):
        # SQLAlchemy says itself that what is added then will be lost
        self.useFixture(fixtures.WarningsFilter([{"action": "ignore", "category": SAWarning}]))
        self.store(1)
        with self.raising(DBError) as caught:
            async with self.writer() as session:
                session.add(Audit(id=1))
                session.add(Item(id=1))
                await self.raises(DBDuplicateEntry, session.flush)
                session.add(Audit(id=2))
                await session.flush()
        self.assertTrue(any(isinstance(each, DBDuplicateEntry) for each in self.causes(caught.error)))
        self.assertEqual([], self.stored(Audit))

    @on((BOTH_FACES | ONE_PER_PRODUCT) - POSTGRESQL)
    async def test_a_core_error_that_costs_nothing_is_forgiven_where_the_server_forgives_it(self):
        self.store(1)
        work = insert(Item).values(id=1, amount=0)
        async with self.writer() as session:
            session.add(Audit(id=1))
            await session.flush()
            await self.swallowed(session, work)
            session.add(Audit(id=2))
        self.assertEqual([1, 2], self.stored(Audit))


@behaviours(POSTGRESQL | SQLITE)
class TestConstraintsCheckedAtCommit(Losing):
    async def test_a_deferred_constraint_is_the_blocks_error(self):
        with self.raising(DBReferenceError) as caught:
            async with self.writer() as session:
                session.add(Item(id=1))
                session.add(Pledge(id=1, target_id=77))
        self.assertIsNotNone(caught.error.orig)
        self.assertEqual(([], []), (self.stored(), self.stored(Pledge)))
        await self.usable()

    async def test_a_deferred_constraint_is_a_functions_error(self):
        @self.writer
        async def pledge():
            self.session.add(Pledge(id=1, target_id=77))

        await self.raises(DBReferenceError, pledge)
        self.assertEqual([], self.stored(Pledge))
        await self.usable()

    async def test_a_deferred_constraint_is_a_connection_blocks_error(self):
        with self.raising(DBReferenceError):
            async with self.writer.connection() as connection:
                await connection.execute(insert(Pledge).values(id=1, target_id=77))
        self.assertEqual([], self.stored(Pledge))
        await self.usable()

    async def test_the_rollback_hooks_run(self):
        calls = []
        with self.raising(DBReferenceError):
            async with self.writer() as session:
                session.add(Pledge(id=1, target_id=77))
                self.face.after_commit(lambda: calls.append("committed"))
                self.face.after_rollback(lambda: calls.append("rolled back"))
        self.assertEqual(["rolled back"], calls)

    @on(POSTGRESQL)
    async def test_a_serialization_failure_is_the_blocks_error(self):
        self.store(1, 2)
        rival = self.place.bare_engine.execution_options(isolation_level="SERIALIZABLE")
        with self.raising(DBSerializationFailure) as caught:
            async with self.writer.isolation("SERIALIZABLE")() as session:
                await session.execute(text("SELECT sum(amount) FROM items"))
                await session.execute(text("UPDATE items SET amount = 5 WHERE id = 2"))
                with rival.begin() as other:
                    other.execute(text("SELECT sum(amount) FROM items"))
                    other.execute(text("UPDATE items SET amount = 5 WHERE id = 1"))
        self.assertTrue(caught.error.transient)
        self.assertEqual("40001", caught.error.sqlstate)
        self.assertEqual([5, 0], self.place.ask("SELECT amount FROM items ORDER BY id"))
        await self.usable()


@behaviours(SQLITE_FILE | SERVERS)
class TestEndsSentAsText(Losing):
    """A ROLLBACK or COMMIT sent as text ends the transaction behind the block's back."""

    async def lost(self, statement):
        with self.raising(DBError):
            async with self.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                await session.execute(text(statement))
                session.add(Item(id=2))
        await self.usable()

    async def test_a_rollback_is_no_success(self):
        await self.lost("ROLLBACK")
        self.assertEqual([90, 91, 92], [each for each in self.stored() if each != 2])

    async def test_a_rollback_at_the_end_is_no_success(self):
        with self.raising(DBError):
            async with self.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                await session.execute(text("ROLLBACK"))
        self.assertEqual([], self.stored())
        await self.usable()

    async def test_a_commit_is_no_success(self):
        await self.lost("COMMIT")

    async def test_at_driver_level_neither(self):
        for statement in ("ROLLBACK", "COMMIT"):
            with self.raising(DBError):
                async with self.writer.connection() as connection:
                    await connection.execute(insert(Item).values(id=1, amount=0))
                    await connection.exec_driver_sql(statement)
            self.place.empty()
        await self.usable()

    @on(SERVERS - frozenset(each for each in SERVERS if each.driver == "asyncpg"))
    async def test_plain_sqlalchemy_ends_without_an_error_and_without_the_rows(self):
        async with self.bare_transaction() as connection:
            await connection.execute(insert(Item).values(id=1, amount=0))
            await connection.execute(text("ROLLBACK"))
        self.assertEqual([], self.stored())


@behaviours(SQLITE_FILE | POSTGRESQL)
class TestEndsBehindTheBack(Losing):
    """What no text shows: code that reaches for the driver's own connection."""

    async def end(self, session, how):
        """Call commit() or rollback() of the pool's connection, which dbkit does not see."""
        connection = await session.connection()
        raw = await connection.run_sync(lambda plain: plain.connection) if self.is_asyncio else connection.connection
        await session.run_sync(lambda plain: getattr(raw.dbapi_connection, how)())

    async def test_a_rollback_is_no_success(self):
        with self.raising(TransactionDoomed) as caught:
            async with self.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                await self.end(session, "rollback")
        self.assertIn("without dbkit's doing", str(caught.error.__cause__))
        self.assertEqual([], self.stored())
        await self.usable()

    async def test_plain_sqlalchemy_ends_without_an_error_and_without_the_rows(self):
        async with self.bare_session() as session:
            session.add(Item(id=1))
            await session.flush()
            await self.end(session, "rollback")
        self.assertEqual([], self.stored())


@behaviours(SQLITE)
class TestConflictsThatRollBack(Losing):
    """``INSERT OR ROLLBACK`` ends the whole transaction when it meets a conflict."""

    _CONFLICT = "INSERT OR ROLLBACK INTO items (id, amount) VALUES (1, 0)"

    async def test_a_block_that_swallows_one_raises(self):
        self.store(1)
        with self.raising(TransactionDoomed) as caught:
            async with self.writer() as session:
                session.add(Audit(id=1))
                await session.flush()
                await self.swallowed(session, text(self._CONFLICT))
        self.assertIsInstance(caught.error.__cause__, DBDuplicateEntry)
        self.assertEqual([], self.stored(Audit))
        await self.usable()

    async def test_work_after_it_is_not_stored_by_itself(self):
        self.store(1)
        with self.raising(TransactionDoomed) as caught:
            async with self.writer() as session:
                await self.swallowed(session, text(self._CONFLICT))
                session.add(Audit(id=2))
        self.assertIsInstance(caught.error.__cause__, DBDuplicateEntry)
        self.assertEqual([], self.stored(Audit))
        await self.usable()

    async def test_a_savepoint_does_not_save_the_block(self):
        self.store(1)
        with self.raising(DBError):
            async with self.writer() as session:
                session.add(Audit(id=1))
                try:
                    async with self.writer.savepoint() as inner:
                        await inner.execute(text(self._CONFLICT))
                except DBDuplicateEntry:
                    pass
                session.add(Audit(id=2))
        self.assertEqual([], self.stored(Audit))
        await self.usable()

    @on(SQLITE_FILE)
    async def test_plain_sqlalchemy_ends_without_an_error_and_without_the_rows(self):
        self.store(1)
        async with self.bare_transaction() as connection:
            await connection.execute(insert(Audit).values(id=1))
            await self.swallowed(connection, text(self._CONFLICT))
        self.assertEqual([], self.stored(Audit))


@behaviours(MARIADB)
class TestSchemaChanges(Losing):
    """MariaDB commits when the schema is changed: what came before is stored, and that is no loss."""

    async def test_a_block_that_only_changes_the_schema_ends_well(self):
        async with self.writer() as session:
            await session.execute(text("CREATE TABLE IF NOT EXISTS passing (id INTEGER)"))
            await session.execute(text("DROP TABLE passing"))

    async def test_rows_around_it_are_stored(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            await session.flush()
            await session.execute(text("CREATE TABLE IF NOT EXISTS passing (id INTEGER)"))
            await session.execute(text("DROP TABLE passing"))
            session.add(Item(id=2))
        self.assertEqual([1, 2], self.stored())
