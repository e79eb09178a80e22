"""Isolation levels: honoured, and gone with the block that asked for them."""

from __future__ import annotations

from sqlalchemy import func, select, text

from dbkit.exceptions import DBDeadlock, DBSerializationFailure, ModeConflict
from dbkit.spec import Isolation
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import (
    BOTH_FACES,
    EVERY_DRIVER,
    MARIADB,
    ONE_PER_PRODUCT,
    POSTGRESQL,
    SERVERS,
    Product,
)
from dbkit.tests.behaviours.tables import Item

_LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")


@behaviours(SERVERS)
class TestLevels(Behaviour):
    async def level(self, session):
        """Return the level at which the session's transaction runs."""
        if self.is_on(Product.POSTGRESQL):
            return (await session.scalar(text("SHOW transaction_isolation"))).upper()
        await session.execute(text("SELECT id FROM items"))
        levels = await session.execute(
            text(
                "SELECT trx_isolation_level FROM information_schema.INNODB_TRX "
                "WHERE trx_mysql_thread_id = CONNECTION_ID()"
            )
        )
        return (levels.scalar() or "").upper()

    @on(POSTGRESQL)
    async def test_a_block_runs_at_the_level_it_asks_for(self):
        for opener in (self.writer, self.reader):
            for level in _LEVELS:
                async with opener.isolation(level)() as session:
                    self.assertEqual(level, await self.level(session))

    @on(POSTGRESQL)
    async def test_the_level_that_postgresql_has_in_name_only_is_the_one_above_it(self):
        for opener in (self.writer, self.reader):
            async with opener.isolation("READ UNCOMMITTED")() as session:
                self.assertEqual("READ COMMITTED", await self.level(session))

    @on(POSTGRESQL)
    async def test_the_next_block_runs_at_the_servers_own_level(self):
        for opener in (self.writer, self.reader):
            async with opener() as session:
                before = await self.level(session)
                first = await session.scalar(text("SELECT pg_backend_pid()"))
            for ends_well in (True, False):
                for level in ("REPEATABLE READ", "SERIALIZABLE"):
                    try:
                        async with opener.isolation(level)() as session:
                            self.assertEqual(first, await session.scalar(text("SELECT pg_backend_pid()")))
                            if not ends_well:
                                raise ValueError
                    except ValueError:
                        pass
                    async with opener() as session:
                        self.assertEqual(first, await session.scalar(text("SELECT pg_backend_pid()")))
                        self.assertEqual(before, await self.level(session))

    async def test_a_snapshot_holds_for_the_whole_block(self):
        self.store(1)
        for opener in (self.reader, self.writer):
            async with opener.isolation("REPEATABLE READ")() as session:
                before = await session.scalar(select(func.count(Item.id)))
                self.store(before + 1)
                self.assertEqual(before, await session.scalar(select(func.count(Item.id))))

    async def test_without_one_each_statement_sees_what_is_committed(self):
        self.store(1)
        for opener in (self.reader, self.writer):
            async with opener.isolation("READ COMMITTED")() as session:
                before = await session.scalar(select(func.count(Item.id)))
                self.store(before + 1)
                self.assertEqual(before + 1, await session.scalar(select(func.count(Item.id))))

    @on(MARIADB)
    async def test_the_next_block_has_a_snapshot_again(self):
        self.store(1)
        for opener in (self.reader, self.writer):
            for error in (None, ValueError):
                try:
                    async with opener.isolation("READ COMMITTED")() as session:
                        await session.execute(select(Item.id))
                        if error:
                            raise error
                except ValueError:
                    pass
                async with opener() as session:
                    before = await session.scalar(select(func.count(Item.id)))
                    self.store(before + 1)
                    self.assertEqual(before, await session.scalar(select(func.count(Item.id))))

    async def test_a_level_asked_for_and_not_used_changes_nothing(self):
        self.store(1)
        async with self.writer.isolation("SERIALIZABLE")():
            pass
        async with self.writer.isolation("READ COMMITTED")() as session:
            before = await session.scalar(select(func.count(Item.id)))
            self.store(before + 1)
            self.assertEqual(before + 1, await session.scalar(select(func.count(Item.id))))


@behaviours(SERVERS)
class TestWriteSkew(Behaviour):
    async def skew(self, opener):
        """Read both rows, let a rival change the one, and change the other."""
        rival_engine = self.place.bare_engine.execution_options(isolation_level="SERIALIZABLE")
        async with opener() as session:
            total = await session.scalar(select(func.sum(Item.amount)))
            with rival_engine.begin() as rival:
                if self.is_on(Product.MARIADB):
                    rival.exec_driver_sql("SET innodb_lock_wait_timeout = 1")
                rival.execute(text("SELECT sum(amount) FROM items")).scalar_one()
                rival.execute(text("UPDATE items SET amount = amount - 1 WHERE id = 1"))
            await session.execute(text("UPDATE items SET amount = :amount - 1 WHERE id = 2"), {"amount": total})

    @on(POSTGRESQL)
    async def test_serializable_refuses_it(self):
        self.store(1, 2)
        with self.raising(DBSerializationFailure) as caught:
            await self.skew(self.writer.isolation("SERIALIZABLE"))
        self.assertTrue(caught.error.transient)
        self.assertIsInstance(caught.error, DBDeadlock)
        self.assertEqual("40001", caught.error.sqlstate)
        self.assertEqual([-1, 0], self.place.ask("SELECT amount FROM items ORDER BY id"))

    @on(POSTGRESQL)
    async def test_the_default_level_lets_it_happen(self):
        # the negative control of the test above: the rival and the workload do make a conflict
        self.store(1, 2)
        await self.skew(self.writer)
        self.assertEqual([-1, -1], self.place.ask("SELECT amount FROM items ORDER BY id"))


@behaviours(BOTH_FACES | ONE_PER_PRODUCT)
class TestJoiningALevel(Behaviour):
    async def test_a_stronger_inner_level_is_refused(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            with self.raising(ModeConflict) as caught:
                async with self.writer.isolation("SERIALIZABLE")():
                    pass
        self.assertIn("SERIALIZABLE", str(caught.error))
        self.assertIn("outermost", str(caught.error))
        async with self.writer.isolation("READ COMMITTED")() as session:
            session.add(Item(id=2))
            with self.raising(ModeConflict):
                async with self.reader.isolation("REPEATABLE READ")():
                    pass
        self.assertEqual([1, 2], self.stored())

    async def test_a_level_that_is_met_joins(self):
        async with self.writer.isolation("SERIALIZABLE")() as session:
            session.add(Item(id=1))
            for level in (None, *Isolation):
                inner = self.writer if level is None else self.writer.isolation(level)
                async with inner() as joined:
                    self.assertIs(session.sync_session, joined.sync_session)
                async with inner.savepoint():
                    pass
        self.assertEqual([1], self.stored())

    async def test_a_level_met_by_the_outermost_block_joins_at_any_depth(self):
        async with self.writer.isolation("SERIALIZABLE")():
            async with self.writer():
                async with self.writer.isolation("SERIALIZABLE")() as session:
                    session.add(Item(id=1))
        self.assertEqual([1], self.stored())

    @on(EVERY_DRIVER)
    async def test_a_level_may_be_asked_for_on_any_database(self):
        async with self.writer.isolation("SERIALIZABLE")() as session:
            session.add(Item(id=1))
        async with self.reader.isolation("SERIALIZABLE")() as session:
            self.assertEqual(1, await session.scalar(select(Item.id)))
