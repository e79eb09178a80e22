"""A planned failure comes as a real one does, at the point that was chosen, and is told of if it does not come."""

from __future__ import annotations

import re

from sqlalchemy import exc, select, text

from dbkit.exceptions import (
    CommitUnknown,
    DBConnectionError,
    DBDataError,
    DBDeadlock,
    DBDuplicateEntry,
    DBError,
    DBLockTimeout,
    DBReadOnly,
    DBSerializationFailure,
    DBTooManyConnections,
    Outcome,
    PoolTimeout,
    TransactionDoomed,
    UsageError,
)
from dbkit.testing.assertions import fail_next
from dbkit.tests.behaviours.base import behaviours, on
from dbkit.tests.behaviours.combinations import MARIADB, ONE, ONE_PER_PRODUCT, POSTGRESQL, SERVERS, SQLITE
from dbkit.tests.behaviours.sandboxes import SandboxBehaviour
from dbkit.tests.behaviours.tables import Item


class FailureBehaviour(SandboxBehaviour):
    async def store_one(self, number=1):
        async with self.writer() as session:
            session.add(Item(id=number))

    async def fails(self, error=DBError, number=1):
        return await self.raises(error, self.store_one, number)


@behaviours()
class TestDeadlocks(FailureBehaviour):
    async def test_a_deadlock_at_a_statement_loses_the_transaction(self):
        with fail_next(self.db, "INSERT", DBDeadlock) as planned:
            error = await self.fails(DBDeadlock)
        self.assertEqual(1, planned.met)
        self.assertTrue(error.transient)
        self.assertIn(error.outcome, (Outcome.ROLLED_BACK, Outcome.ABORTED))
        self.assertIn("INSERT", error.statement)
        self.assertIsNotNone(error.orig)
        self.assertIs(error.orig, error.__cause__)
        self.assertIn("planned by fail_next, met at ", "".join(error.orig.__notes__))
        self.assertEqual([], self.stored())
        await self.store_one()
        self.assertEqual([1], self.stored())

    @on(SERVERS)
    async def test_it_has_the_code_of_the_server_and_the_class_of_the_driver(self):
        with fail_next(self.db, "INSERT", DBDeadlock):
            error = await self.fails()
        self.assertIs(DBDeadlock, type(error))
        self.assertEqual("40P01" if self.combination in POSTGRESQL else 1213, error.code)

    @on(SQLITE)
    async def test_sqlite_has_one_of_a_class_derived_from_it(self):
        with fail_next(self.db, "INSERT", DBDeadlock):
            error = await self.fails()
        self.assertIs(DBSerializationFailure, type(error))
        self.assertEqual("SQLITE_BUSY_SNAPSHOT", error.code)

    async def test_what_was_written_before_it_is_gone_at_the_server(self):
        async def body():
            async with self.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                with fail_next(self.db, "SELECT", DBDeadlock):
                    with self.raising(DBDeadlock):
                        await session.execute(select(Item.id))
                await session.execute(select(Item.id))

        await self.raises(TransactionDoomed, body)
        self.assertEqual([], self.stored())

    async def test_a_deadlock_at_commit_rolls_back(self):
        with fail_next(self.db, "COMMIT", DBSerializationFailure):
            error = await self.fails(DBSerializationFailure)
        self.assertEqual((Outcome.ROLLED_BACK, True), (error.outcome, error.transient))
        self.assertEqual([], self.stored())
        await self.store_one()
        self.assertEqual([1], self.stored())

    async def test_without_it_nothing_fails(self):
        """The negative control."""
        await self.store_one()
        self.assertEqual([1], self.stored())

    async def test_in_a_sandbox_the_test_goes_on(self):
        async with self.isolated() as sandbox:
            writer = self.opener(sandbox).writer
            for point in ("INSERT", "COMMIT", "BEGIN"):
                with fail_next(sandbox, point, DBDeadlock), self.raising(DBDeadlock):
                    async with writer() as session:
                        session.add(Item(id=1))
            async with writer() as session:
                session.add(Item(id=1))
            async with writer() as session:
                self.assertEqual([1], list(await session.scalars(select(Item.id))))


@behaviours()
class TestLostConnections(FailureBehaviour):
    async def test_a_connection_lost_at_a_statement_is_replaced(self):
        with fail_next(self.db, "INSERT", DBConnectionError):
            error = await self.fails(DBConnectionError)
        self.assertEqual((Outcome.ROLLED_BACK, True), (error.outcome, error.transient))
        self.assertEqual([], self.stored())
        await self.store_one()
        self.assertEqual([1], self.stored())

    async def test_a_lost_reply_to_commit_is_unknown_and_nothing_was_stored(self):
        with fail_next(self.db, "COMMIT", CommitUnknown):
            error = await self.fails(CommitUnknown)
        self.assertEqual((Outcome.UNKNOWN, False), (error.outcome, error.transient))
        self.assertIsNotNone(error.orig)
        self.assertEqual([], self.stored())

    async def test_a_lost_reply_to_commit_is_unknown_and_all_was_stored(self):
        with fail_next(self.db, "COMMIT", DBConnectionError, executed=True):
            await self.fails(CommitUnknown)
        self.assertEqual([1], self.stored())

    async def test_a_connection_lost_at_begin_is_told(self):
        with fail_next(self.db, "BEGIN", DBConnectionError):
            await self.fails(DBConnectionError)
        await self.store_one()
        self.assertEqual([1], self.stored())

    async def test_a_connection_that_cannot_be_made_is_told(self):
        fresh = self.database()
        with fail_next(fresh, "connect", DBConnectionError):
            self.face = self.face_of(fresh)
            error = await self.fails(DBConnectionError)
        self.assertEqual(Outcome.NOT_STARTED, error.outcome)
        self.assertIn("could not connect", str(error))
        await self.store_one()
        self.assertEqual([1], self.stored())

    @on(SERVERS)
    async def test_a_server_that_is_full_is_told(self):
        fresh = self.database()
        with fail_next(fresh, "connect", DBTooManyConnections):
            self.face = self.face_of(fresh)
            await self.fails(DBTooManyConnections)

    @on(ONE_PER_PRODUCT)
    async def test_a_sandbox_with_one_connection_refuses_to_lose_it(self):
        async with self.isolated() as sandbox:
            async with self.plain_begin(sandbox) as connection:
                await connection.execute(text("SELECT 1"))
            with self.raising(UsageError) as caught, fail_next(sandbox, "COMMIT", CommitUnknown):
                pass
        self.assertIn("isolation 'clone'", str(caught.error))


@behaviours()
class TestOtherErrors(FailureBehaviour):
    async def test_a_lock_timeout_is_told(self):
        with fail_next(self.db, "INSERT", DBLockTimeout):
            error = await self.fails(DBLockTimeout)
        self.assertTrue(error.transient)
        self.assertEqual([], self.stored())

    async def test_an_instance_says_what_it_is_about(self):
        wanted = DBDuplicateEntry(columns=["name"], value="ada", constraint="uq_items_name", table="items")
        with fail_next(self.db, "INSERT", wanted):
            error = await self.fails(DBDuplicateEntry)
        if self.combination not in MARIADB:
            self.assertEqual(["name"], error.columns)
        if self.combination not in SQLITE:
            self.assertEqual("uq_items_name", error.constraint)
            self.assertEqual("ada", error.value)

    @on(SERVERS)
    async def test_an_instance_says_the_code(self):
        wanted = DBDataError(sqlstate="22012") if self.combination in POSTGRESQL else DBDataError(errno=1365)
        with fail_next(self.db, "INSERT", wanted):
            error = await self.fails(DBDataError)
        self.assertEqual(wanted.code, error.code)

    async def test_a_savepoint_saves_the_rest_from_an_error_of_a_statement(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            await session.flush()
            with fail_next(self.db, "INSERT", DBDuplicateEntry), self.raising(DBDuplicateEntry):
                async with self.writer.savepoint() as inner:
                    inner.add(Item(id=2))
        self.assertEqual([1], self.stored())

    async def test_every_error_that_the_product_has_can_be_raised(self):
        rules = self.db.factory.backend.rules.rules
        for cls in sorted(
            {rule.raises for rule in rules if rule.codes and not rule.classes} - {DBTooManyConnections},
            key=lambda cls: cls.__name__,
        ):
            for point in ("SELECT", "COMMIT"):
                with self.subTest(cls=cls.__name__, point=point):
                    with fail_next(self.db, point, cls), self.raising(DBError) as caught:
                        async with self.writer() as session:
                            await session.execute(select(Item.id))
                    is_unknown = point == "COMMIT" and caught.error.outcome is Outcome.UNKNOWN
                    self.assertIsInstance(caught.error, CommitUnknown if is_unknown else cls)
        await self.store_one()
        self.assertEqual([1], self.stored())

    async def test_an_error_at_rollback_does_not_hide_the_one_that_led_to_it(self):
        with fail_next(self.db, "ROLLBACK", DBLockTimeout), self.raising(ZeroDivisionError):
            async with self.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                raise ZeroDivisionError
        self.assertEqual([], self.stored())

    async def test_a_reader_can_fail_too(self):
        with fail_next(self.db, "SELECT", DBReadOnly), self.raising(DBReadOnly):
            async with self.reader() as session:
                await session.execute(select(Item.id))

    async def test_a_plain_engine_gets_the_error_as_sqlalchemy_wraps_it(self):
        engine = self.bare_engine()
        insert = text("INSERT INTO items (id, amount) VALUES (1, 0)")
        with fail_next(engine, "INSERT", DBDeadlock), self.raising(exc.DBAPIError) as caught:
            if self.is_asyncio:
                async with engine.begin() as connection:
                    await connection.execute(insert)
            else:
                with engine.begin() as connection:
                    connection.execute(insert)
        self.assertIs(caught.error.orig, caught.error.__cause__)
        self.assertEqual([], self.stored())


@behaviours(ONE)
class TestWhichOne(FailureBehaviour):
    async def test_the_nth_and_so_many_after_it(self):
        with fail_next(self.db, "COMMIT", DBLockTimeout, nth=2, times=2) as planned:
            await self.store_one(1)
            await self.fails(DBLockTimeout, 2)
            await self.fails(DBLockTimeout, 3)
            await self.store_one(4)
        self.assertEqual(2, planned.met)
        self.assertEqual([1, 4], self.stored())

    async def test_a_pattern_is_searched_for_in_the_sql(self):
        with fail_next(self.db, re.compile("from items", re.IGNORECASE), DBLockTimeout):
            await self.store_one()
            with self.raising(DBLockTimeout):
                async with self.reader() as session:
                    await session.execute(select(Item.id))

    async def test_one_that_was_never_met_is_told_with_what_was(self):
        with self.raising(AssertionError) as caught, fail_next(self.db, "DELETE", DBLockTimeout):
            await self.store_one()
        said = str(caught.error)
        self.assertIn("DBLockTimeout at DELETE was never met; the block has met: ", said)
        self.assertIn("BEGIN; INSERT INTO items", said)
        self.assertIn("; COMMIT", said)

    async def test_one_that_was_met_too_seldom_is_told(self):
        with self.raising(AssertionError) as caught, fail_next(self.db, "COMMIT", DBLockTimeout, times=2):
            await self.fails(DBLockTimeout)
        self.assertIn("was met 1 of 2 times", str(caught.error))

    async def test_an_error_of_the_block_is_not_hidden_but_says_that_it_was_not_met(self):
        with self.raising(ZeroDivisionError) as caught, fail_next(self.db, "COMMIT", DBLockTimeout):
            raise ZeroDivisionError
        self.assertIn("was never met", "".join(caught.error.__notes__))

    async def test_two_of_them_come_each_at_its_point(self):
        with fail_next(self.db, "INSERT", DBLockTimeout), fail_next(self.db, "COMMIT", DBSerializationFailure):
            await self.fails(DBLockTimeout)
            await self.fails(DBSerializationFailure)
        await self.store_one()

    async def test_what_no_database_reports_is_refused(self):
        for arguments in (
            {"error": PoolTimeout},
            {"error": UsageError},
            {"error": ValueError},
            {"at": "INSERT", "error": CommitUnknown},
            {"at": "INSERT", "executed": True},
            {"at": "INSERT", "error": DBTooManyConnections},
            {"at": "ping"},
            {"at": "COMIT"},
            {"times": 0},
        ):
            with self.subTest(**arguments):
                self.assertRaises(UsageError, fail_next, self.db, **arguments)

    async def test_an_error_that_the_product_does_not_have_is_refused_on_entry(self):
        with self.raising(UsageError) as caught, fail_next(self.db, "connect", DBTooManyConnections):
            await self.store_one()
        self.assertIn("sqlite has no DBTooManyConnections", str(caught.error))
