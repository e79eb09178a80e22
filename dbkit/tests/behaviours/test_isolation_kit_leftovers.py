"""What a rollback does not take away ends with its test all the same: variables, locks, temporary tables, blocks."""

from __future__ import annotations

import asyncio
import os
import warnings

from sqlalchemy import select, text

from dbkit.exceptions import DBReadOnly
from dbkit.testing.isolation import IsolationBroken, LeftInUse
from dbkit.testing.servers.polling import wait_until
from dbkit.tests.behaviours.base import behaviours
from dbkit.tests.behaviours.combinations import ASYNCIO, MARIADB, ONE_PER_PRODUCT, SERVERS, Product
from dbkit.tests.behaviours.sandboxes import SandboxBehaviour
from dbkit.tests.behaviours.tables import Item
from dbkit.tests.behaviours.yards import Yard

_LOCKS = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 5 "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)

# What a test does, and a question whose answer tells whether the next one finds it.
_LEFT = {
    Product.SQLITE_FILE: [
        ("PRAGMA recursive_triggers = ON", "PRAGMA recursive_triggers"),
        ("ATTACH DATABASE ':memory:' AS other", "SELECT count(*) FROM pragma_database_list"),
    ],
    Product.POSTGRESQL: [
        ("SELECT pg_advisory_lock(5)", _LOCKS),
        ("PREPARE passing AS SELECT 1", "SELECT count(*) FROM pg_prepared_statements WHERE name = 'passing'"),
        ("SET search_path = pg_catalog", "SHOW search_path"),
    ],
    Product.MARIADB: [
        ("SET SESSION sql_mode = ''", "SELECT @@sql_mode"),
        ("SET foreign_key_checks = 0", "SELECT @@foreign_key_checks"),
        ("/* why */ SET @passing = 1", "SELECT @passing"),
        # names of locks are the server's, which other workers use too
        (f"SELECT GET_LOCK('passing {os.getpid()}', 0)", f"SELECT IS_FREE_LOCK('passing {os.getpid()}')"),
        ("USE information_schema", "SELECT DATABASE()"),
        ("CREATE TEMPORARY TABLE items (passing INTEGER)", "SELECT count(id) FROM items"),
    ],
}

# A statement that takes long, and how another client counts those that run.
_SLOW = {
    Product.POSTGRESQL: (
        "SELECT pg_sleep(20)",
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'",
    ),
    Product.MARIADB: (
        "SELECT SLEEP(20)",
        "SELECT count(*) FROM information_schema.processlist WHERE db = DATABASE() AND info = 'SELECT SLEEP(20)'",
    ),
}


class Leaving(SandboxBehaviour):
    """What the bodies below have in common."""

    async def send(self, statement):
        async with self.isolated() as sandbox, self.plain_begin(sandbox) as connection:
            result = await connection.execute(text(statement))
            return result.scalar() if result.returns_rows else None


@behaviours(ONE_PER_PRODUCT)
class TestWhatASessionKeeps(Leaving):
    async def test_it_is_not_there_for_the_next_test(self):
        for statement, question in next(left for product, left in _LEFT.items() if self.is_on(product)):
            with self.subTest(statement=statement):
                before = await self.send(question)
                await self.send(statement)
                self.assertEqual(before, await self.send(question))


@behaviours(MARIADB)
class TestLocksOfReadersOnMariaDB(Leaving):
    async def test_a_reader_cannot_lock_rows_just_as_in_production(self):
        async with self.isolated() as sandbox:
            db = self.opener(sandbox)
            for wish in ({}, {"skip_locked": True}):
                with self.raising(DBReadOnly):
                    async with db.reader() as session:
                        await session.execute(select(Item.id).with_for_update(**wish))
            async with db.writer() as session:
                await session.execute(select(Item.id).with_for_update())


@behaviours(SERVERS & ASYNCIO)
class TestCancelledStatements(Leaving):
    async def test_the_lost_connection_is_told_and_nothing_is_rebuilt(self):
        yard = Yard(self.combination)
        self.addCleanup(yard.drop)
        slow, running = _SLOW[self.combination.product]

        async def work(sandbox):
            async with sandbox.database.writer() as session:
                await session.execute(text("INSERT INTO items (id, amount) VALUES (1, 0)"))
                await session.execute(text(slow))

        with self.raising(IsolationBroken) as caught:
            async with self.isolated(database=yard) as sandbox:
                task = asyncio.create_task(work(sandbox))
                sandbox.allow(task)
                await asyncio.to_thread(wait_until, lambda: yard.ask(running) == [1] or None, 10, "the statement")
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self.assertFalse(caught.error.is_dirty)
        self.assertIn("connection of the test was lost", str(caught.error))
        async with self.isolated(database=yard) as sandbox, sandbox.database.reader() as session:
            self.assertEqual([], (await session.scalars(select(Item.id))).all())
        self.assertEqual([], yard.done)


@behaviours(ONE_PER_PRODUCT & ASYNCIO)
class TestTasksThatOutliveTheirTest(Leaving):
    async def test_they_hold_no_lock_against_the_next_one(self):
        is_inside, may_go_on = asyncio.Event(), asyncio.Event()

        async def work(sandbox):
            async with sandbox.database.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                is_inside.set()
                await may_go_on.wait()

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LeftInUse)
            async with self.isolated() as sandbox:
                task = asyncio.create_task(work(sandbox))
                sandbox.allow(task)
                await is_inside.wait()
        async with self.isolated() as sandbox, sandbox.database.writer() as session:
            session.add(Item(id=1))
        may_go_on.set()
        await asyncio.gather(task, return_exceptions=True)
        self.assertEqual([], self.stored())
