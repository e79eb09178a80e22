"""A lookup that is given a reader in place of an open block is a reader of one statement."""

from __future__ import annotations

import asyncio
from functools import partial

from sqlalchemy import bindparam, event, func, literal_column, select
from sqlalchemy.orm import Session

import dbkit
from dbkit import enginefacade, queries
from dbkit.exceptions import DBConnectionError, DBError, DBReadOnly, PoolTimeout, UsageError
from dbkit.testing.assertions import count_statements
from dbkit.testing.assertions.relay import Relay
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import (
    ASYNCIO,
    EVERY_DRIVER,
    MARIADB,
    POSTGRESQL,
    SERVERS,
    SQLITE_FILE,
    SQLITE_MEMORY,
    Product,
)
from dbkit.tests.behaviours.faces import RequestContext
from dbkit.tests.behaviours.tables import Item
from dbkit.tests.soak.stepping import Steps

BY_ID = queries.find(Item)
NAMES = queries.Lookup(select(Item.id, Item.name).where(Item.id >= bindparam("least")).order_by(Item.id))
ROWS = queries.rows(select(Item).order_by(Item.id))
WRONG = queries.Lookup(select(func.no_such_function(bindparam("x"))))
SINGLES = 3
"""So many statements by themselves come in a row before a connection is switched for them."""


class Loud(Exception):
    """A listener has been told."""


@behaviours(EVERY_DRIVER)
class TestAlone(Behaviour):
    def setUp(self):
        super().setUp()
        self.store(1, 2, 3)

    async def ask(self, lookup, how="one", where=None, **values):
        """Ask a lookup in the colour of the test, by a reader of its own."""
        where = self.db.reader if where is None else where
        if self.is_asyncio:
            return await getattr(lookup, f"a{how}")(where, **values)
        return getattr(lookup, how)(where, **values)

    async def refused(self, error, *args, **values):
        return await self.raises(error, partial(self.ask, *args, **values))

    def end(self, number):
        """End a session at the server."""
        if self.is_on(Product.POSTGRESQL):
            self.place.ask("SELECT pg_terminate_backend(:number, 10000)", number=number)
        else:
            self.place.do(f"KILL {number}")

    def pools(self):
        engines = self.db.factory.engines(self.combination.colour)
        return [lane.engine.pool for lane in (engines.reader, engines.writer)]

    async def test_it_finds_what_a_block_finds(self):
        for _ in range(SINGLES + 2):
            self.assertEqual(2, (await self.ask(BY_ID, id=2)).id)
            self.assertEqual([(2, None), (3, None)], await self.ask(NAMES, "all", least=2))
            self.assertEqual([1, 2, 3], [each.id for each in await self.ask(ROWS, "all")])
            self.assertIsNone(await self.ask(BY_ID, "one_or_none", id=9))
            self.assertEqual((3, None), await self.ask(NAMES, "first", least=3))
        self.assertEqual([0, 0], [pool.checkedout() for pool in self.pools()])

    async def test_it_sees_what_was_committed_since(self):
        for number in range(4, 9):
            self.assertIsNone(await self.ask(BY_ID, "one_or_none", id=number))
            async with self.writer() as session:
                session.add(Item(id=number))
            self.assertEqual(number, (await self.ask(BY_ID, id=number)).id)

    @on(EVERY_DRIVER - SQLITE_MEMORY)
    async def test_readers_blocks_and_single_statements_take_turns(self):
        for number in range(2 * SINGLES):
            for _ in range(number):
                self.assertEqual(1, (await self.ask(BY_ID, id=1)).id)
            async with self.reader() as session:
                before = list((await session.scalars(select(Item.id))).all())
                self.store(100 + number)
                again = list((await session.scalars(select(Item.id))).all())
            if self.is_on(Product.MARIADB) or self.is_on(Product.SQLITE_FILE):
                self.assertEqual(before, again)  # one snapshot
            else:
                self.assertEqual(1, len(again) - len(before))

    def relayed(self, **query):
        """Return a Database of its own, with what counts its round trips."""
        straight = self.place.url(self.combination.driver).update_query_dict(query)
        relay = Relay(straight.host, straight.port or 5432)
        relay.__enter__()
        self.addCleanup(relay.__exit__, None, None, None)
        made = dbkit.Database(straight.set(host=relay.host, port=relay.port), max_pool_size=1, max_overflow=0)
        self.addCleanup(self.run_plain, partial(self.dispose, made))
        return made, relay.counts

    @on(SERVERS)
    async def test_it_is_one_round_trip(self):
        db, counts = self.relayed()
        for _ in range(SINGLES + 8):
            await self.ask(BY_ID, where=db.reader, id=1)  # until a driver has prepared it
        before = counts.trips
        for _ in range(4):
            await self.ask(BY_ID, where=db.reader, id=2)
        self.assertEqual(4, counts.trips - before)

    @on(MARIADB)
    async def test_where_blocks_come_between_nothing_is_switched(self):
        db, counts = self.relayed()
        face = self.face_of(db)
        for first in (True, False, False, False):
            before = counts.trips
            await self.ask(BY_ID, where=db.reader, id=1)
            single = counts.trips - before
            async with face.reader() as session:
                await session.execute(select(Item.id))
            if not first:
                self.assertEqual((2, 4), (single, counts.trips - before))  # each with its COMMIT

    async def test_it_joins_the_open_block(self):
        async with self.writer() as session:
            session.add(Item(id=7, name="mine"))
            await session.flush()
            self.assertEqual("mine", (await self.ask(BY_ID, id=7)).name)
            if not self.is_on(Product.SQLITE_MEMORY):
                self.assertIsNone(await self.ask(BY_ID, "one_or_none", self.db.reader.independent, id=7))
        self.assertEqual("mine", (await self.ask(BY_ID, id=7)).name)

    async def test_what_the_database_refuses_is_typed_and_costs_nothing_else(self):
        for _ in range(SINGLES + 1):
            await self.refused(DBError, WRONG, x=1)
            self.assertEqual(1, (await self.ask(BY_ID, id=1)).id)

    async def test_missing_and_too_many(self):
        for _ in range(2):
            error = await self.refused(UsageError, BY_ID)
            self.assertIn("'id'", str(error))
            error = await self.refused(Exception, BY_ID, id=9)
            self.assertIn("found no row", str(error))
            error = await self.refused(Exception, NAMES, least=1)
            self.assertIn("more than one", str(error))

    @on(POSTGRESQL | MARIADB)
    async def test_it_cannot_write(self):
        writing = {
            Product.POSTGRESQL: func.setval(literal_column("'alone_numbers'"), 5),
            Product.MARIADB: func.setval(literal_column("alone_numbers"), 5),
        }[self.combination.product]
        self.place.do("CREATE SEQUENCE alone_numbers")
        self.addCleanup(self.place.do, "DROP SEQUENCE alone_numbers")
        lookup = queries.Lookup(select(writing))
        for _ in range(SINGLES + 1):
            await self.refused(DBReadOnly, lookup)
        self.assertEqual([(5,)], await self.ask(lookup, "all", self.db.writer))  # it would write

    @on(SERVERS)
    async def test_a_lost_connection_is_typed_and_the_next_is_another(self):
        db = self.database(max_pool_size=1, max_overflow=0)
        ask = func.pg_backend_pid() if self.is_on(Product.POSTGRESQL) else func.connection_id()
        number = queries.Lookup(select(ask))
        for _ in range(SINGLES + 1):
            ((first,),) = await self.ask(number, "all", db.reader)
        self.end(first)
        error = await self.refused(DBConnectionError, number, "all", db.reader)
        self.assertTrue(error.transient)
        for _ in range(SINGLES + 1):
            self.assertNotEqual([(first,)], await self.ask(number, "all", db.reader))

    @on(SERVERS)
    async def test_it_is_written_for_the_server_that_answers(self):
        """The dialect of readers knows nothing of the server when only writers have been there."""
        db = self.database()
        async with self.face_of(db).writer() as session:
            await session.execute(select(Item.id))
        matching = queries.Lookup(select(Item.id).where(Item.name.regexp_match(bindparam("pattern"), flags="i")))
        escaped = queries.Lookup(select(Item.id).where(Item.name.like(bindparam("pattern"), escape="\\")))
        self.place.do("UPDATE items SET name = 'a%b' WHERE id = 2")
        for _ in range(SINGLES):
            self.assertEqual([(2,)], await self.ask(matching, "all", db.reader, pattern="^A"))
            self.assertEqual([(2,)], await self.ask(escaped, "all", db.reader, pattern="a\\%b"))

    @on(MARIADB)
    async def test_a_connection_that_was_lost_after_it_costs_no_block(self):
        db = self.database(max_pool_size=1, max_overflow=0)
        reader = self.face_of(db).reader
        number = queries.Lookup(select(func.connection_id()))
        for opener in (reader, reader.replaying):
            for _ in range(SINGLES + 2):
                ((first,),) = await self.ask(number, "all", db.reader)
            self.end(first)
            async with opener() as session:  # for it the connection would have been switched back
                self.assertNotEqual(first, await session.scalar(select(func.connection_id())))
            self.assertEqual(0, db.factory.engines(self.combination.colour).reader.engine.pool.checkedout())

    async def test_what_it_finds_can_be_read_whichever_way_it_took(self):
        for settings in ({"expire_on_commit": True}, {"rollback_reader_sessions": True}):
            db = self.database(**settings)
            for where in (
                db.reader,
                db.reader.deadline(30),
                db.reader.retrying(max_retries=1),
                db.reader.independent,
                db.reader(),
            ):
                for _ in range(2):
                    found = await self.ask(BY_ID, where=where, id=1)
                    self.assertIsNone(found.name)
                    self.assertEqual(1, found.id)

    async def test_in_an_open_block_it_leaves_the_session_alone(self):
        for where in (self.db.reader, self.db.reader.retrying(max_retries=1), self.db.reader()):
            async with self.writer() as session:
                item = await session.get(Item, 1)
                self.assertEqual(1, (await self.ask(BY_ID, where=where, id=1)).id)
                self.assertIn(item, session)

    async def test_other_functions_say_that_they_need_an_open_block(self):
        error = await self.raises(UsageError, self.saved_by_a_reader)
        self.assertIn("pass the session", str(error))

    async def saved_by_a_reader(self):
        item = await self.ask(BY_ID, id=1)
        if self.is_asyncio:
            await queries.asave(self.db.writer, item)
        else:
            queries.save(self.db.writer, item)

    async def test_what_asks_for_more_takes_a_block(self):
        for where in (
            self.db.reader.retrying(max_retries=1),
            self.db.reader.deadline(30),
            self.db.reader.connection,
            self.db.reader.isolation("SERIALIZABLE"),
            self.db.reader.savepoint,
            self.db.reader.replica,
            self.db.reader(),
            self.db.writer,
            self.db.writer.retrying(max_retries=1),
        ):
            self.assertEqual(1, (await self.ask(BY_ID, where=where, id=1)).id)
        with dbkit.within(30):
            self.assertEqual(1, (await self.ask(BY_ID, id=1)).id)
        self.assertEqual([0, 0], [pool.checkedout() for pool in self.pools()])

    async def test_who_listens_is_told(self):
        told = []
        await self.ask(BY_ID, id=1)

        def tell(state):
            told.append(str(state.statement))

        event.listen(Session, "do_orm_execute", tell)
        self.addCleanup(event.remove, Session, "do_orm_execute", tell)
        await self.ask(BY_ID, id=1)
        self.assertEqual(1, len(told))
        with count_statements(self.db) as recorder:
            await self.ask(BY_ID, id=1)
        self.assertEqual(1, len(recorder.statements))

    async def test_who_listens_to_the_pool_is_told(self):
        db = self.database()
        await self.ask(BY_ID, where=db.reader, id=1)
        told = []
        pool = db.factory.engines(self.combination.colour).reader.engine.pool
        for name in ("checkout", "checkin"):
            event.listen(pool, name, lambda *args, name=name: told.append(name))
        for _ in range(SINGLES + 1):
            await self.ask(BY_ID, where=db.reader, id=1)
        self.assertEqual(["checkout", "checkin"] * (SINGLES + 1), told)
        self.assertEqual(0, pool.checkedout())

    @on(EVERY_DRIVER - SQLITE_MEMORY)
    async def test_a_listener_that_fails_gives_the_connection_back(self):
        db = self.database()
        await self.ask(BY_ID, where=db.reader, id=1)

        def fail(*args):
            raise Loud

        pool = db.factory.engines(self.combination.colour).reader.engine.pool
        event.listen(pool, "checkout", fail)
        await self.refused(Loud, BY_ID, "one", db.reader, id=1)
        event.remove(pool, "checkout", fail)
        self.assertEqual(0, pool.checkedout())
        self.assertEqual(1, (await self.ask(BY_ID, where=db.reader, id=1)).id)

    @on(each for each in POSTGRESQL if each.driver != "asyncpg")
    async def test_where_a_level_promises_a_snapshot_it_is_one_round_trip_too(self):
        db, counts = self.relayed(options="-c default_transaction_isolation=serializable")
        level = queries.Lookup(select(func.current_setting("transaction_isolation")))
        face = self.face_of(db)
        for _ in range(2):
            for _ in range(SINGLES + 8):
                self.assertEqual(("serializable",), await self.ask(level, where=db.reader))
            before = counts.trips
            await self.ask(BY_ID, where=db.reader, id=1)
            self.assertEqual(1, counts.trips - before)
            async with face.reader() as session:  # which has its one snapshot all the same
                ids = list((await session.scalars(select(Item.id))).all())
                self.store(max(ids) + 1)
                self.assertEqual(ids, list((await session.scalars(select(Item.id))).all()))

    @on(ASYNCIO & EVERY_DRIVER)
    async def test_cancelled_wherever_it_waits_it_leaves_the_pool_whole(self):
        db = self.database(max_pool_size=2, max_overflow=0)
        await self.ask(BY_ID, where=db.reader, id=1)
        pool = db.factory.engines(self.combination.colour).reader.engine.pool
        for place in range(1, 100):
            steps = Steps(place)
            error = await steps.run(lambda: self.ask(BY_ID, where=db.reader, id=1))
            self.assertEqual(0, pool.checkedout())
            self.assertEqual(2, (await self.ask(BY_ID, where=db.reader, id=2)).id)
            if not steps.has_struck:
                self.assertIsNone(error)
                break
            self.assertIsInstance(error, asyncio.CancelledError)
        self.assertGreater(place, 1)

    @on(EVERY_DRIVER - SQLITE_MEMORY)
    async def test_the_pool_bounds_single_statements_too(self):
        db = self.database(max_pool_size=1, max_overflow=0, pool_timeout=0)
        await self.ask(BY_ID, where=db.reader, id=1)
        async with self.face_of(db).reader() as session:
            await session.execute(select(Item.id))
            await self.refused(PoolTimeout, BY_ID, "one", db.reader.independent, id=1)
        self.assertEqual(1, (await self.ask(BY_ID, where=db.reader.independent, id=1)).id)


@behaviours(SQLITE_FILE)
class TestAloneWithAContext(Behaviour):
    async def test_a_block_of_a_context_can_be_given(self):
        self.store(1)
        manager = enginefacade.transaction_context(connection=self.place.url(self.combination.driver))
        self.addCleanup(self.run_plain, partial(self.close, manager))
        for _ in range(3):
            where = manager.reader.using(RequestContext())
            found = await BY_ID.aone(where, id=1) if self.is_asyncio else BY_ID.one(where, id=1)
            self.assertEqual(1, found.id)
        error = await self.raises(UsageError, self.without_context, manager)
        self.assertIn(".using(context)", str(error))

    async def without_context(self, manager):
        return await BY_ID.aone(manager.reader, id=1) if self.is_asyncio else BY_ID.one(manager.reader, id=1)

    async def close(self, manager):
        if self.is_asyncio:
            await manager.dispose_pool_async()
        else:
            manager.dispose_pool()
