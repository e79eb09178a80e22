"""A connection that is lost before COMMIT: the block goes on, and its code does not run twice."""

from __future__ import annotations

import asyncio
import re
import threading

from sqlalchemy import func, insert, select, text, update

from dbkit.exceptions import DBConnectionError, DBDuplicateEntry, DBError
from dbkit.testing import faults
from dbkit.tests.behaviours.base import behaviours, on
from dbkit.tests.behaviours.combinations import ASYNCIO, POSTGRESQL, Product
from dbkit.tests.behaviours.tables import Audit, Item, Part
from dbkit.tests.faults.base import DRIVERS, Faulty
from dbkit.tests.steering import SteeredClock

# All but the end of the transaction: whether COMMIT has arrived is another question.
STATEMENT = re.compile(r"\A(?!\s*(COMMIT|ROLLBACK\s*\Z))", re.IGNORECASE)
_MOMENTS = (faults.before, faults.after)


class Replaying(Faulty):
    """Blocks that replay, on the other side of a proxy."""

    def setUp(self):
        super().setUp()
        self.clock = SteeredClock()
        self.lossy = self.through(replay=True, **self.patience)
        self.face = self.face_of(self.lossy)

    @property
    def patience(self):
        """How it waits between attempts: by a clock that goes on by itself."""
        return {"clock": self.clock}

    @property
    def counts(self):
        return self.lossy.replays

    async def warm_up(self):
        """Leave a connection in the pool, so that no fault strikes while one is made."""
        async with self.writer() as session:
            await session.execute(text("SELECT 1"))

    def amounts(self):
        return self.place.ask("SELECT amount FROM items ORDER BY id")


@behaviours(DRIVERS)
class TestLosses(Replaying):
    async def work(self):
        """Do a bit of everything; return what was seen."""
        self.runs += 1
        seen = []
        async with self.writer() as session:
            item = await session.get(Item, 1)
            seen.append(item.amount)
            session.add(Item(id=10, amount=item.amount + 1))
            await session.flush()
            async with session.begin_nested():
                session.add(Part(id=1, item_id=10))
            try:
                async with self.writer.savepoint() as inner:
                    inner.add(Item(id=2))
                    await inner.flush()
            except DBDuplicateEntry as error:
                seen.append(type(error).__name__)
            done = await session.execute(update(Item).where(Item.id <= 2).values(amount=Item.amount + 1))
            seen.append(done.rowcount)
            await session.execute(insert(Audit), [{"id": number, "text": "many"} for number in range(1, 8)])
            async with self.writer() as joined:
                joined.add_all([Audit(id=20 + number, text="object") for number in range(3)])
            seen.append(list((await session.execute(select(Item.id, Item.amount).order_by(Item.id))).all()))
            seen.append(await session.scalar(select(func.count()).select_from(Audit)))
        return seen

    def left(self):
        return self.stored(Item), self.amounts(), self.stored(Part), self.stored(Audit)

    def empty(self):
        self.place.empty()
        self.store(1, 2)
        self.runs = 0
        self.clock.time += 1

    async def test_at_any_statement_it_changes_nothing_that_anyone_sees(self):
        await self.warm_up()
        self.empty()
        wanted, left = await self.work(), self.left()
        for moment in _MOMENTS:
            struck = 0
            while True:
                self.empty()
                await self.warm_up()  # the pool tests its connections after a loss
                fault = self.proxy.cut(moment(STATEMENT), nth=struck + 1, reset=bool(struck % 2))
                seen = await self.work()
                if not fault.remove():
                    break
                struck += 1
                self.assertEqual((wanted, left, 1), (seen, self.left(), self.runs), f"{moment.__name__} {struck}")
            self.assertTrue(struck >= 10, struck)
            replayed, self.before = self.counts.replayed, getattr(self, "before", 0)
            self.assertEqual(struck, replayed - self.before)
            self.before = replayed
        self.assertEqual((0, 0, {}), (self.counts.diverged, self.counts.failed, self.counts.disabled))

    async def test_without_replay_each_of_them_is_an_error(self):
        self.face = self.face_of(self.through())
        await self.warm_up()
        self.empty()
        with self.proxy.cut(faults.after("INSERT")):
            await self.raises(DBConnectionError, self.work)
        self.assertEqual([1, 2], self.stored())

    async def test_who_waits_for_the_next_attempt_holds_no_place_in_the_pool(self):
        held = []
        self.clock = SteeredClock(on_sleep=lambda number: held.append(self.in_use()))
        self.lossy = self.through(replay=True, clock=self.clock)
        self.face = self.face_of(self.lossy)
        await self.warm_up()
        self.empty()
        with self.proxy.cut(faults.before(re.compile("INSERT INTO audits")), times=3):
            await self.work()
        self.assertEqual([0, 0], held)

    def in_use(self):
        return self.lossy.factory.engines(self.combination.colour).writer.engine.pool.checkedout()

    async def test_the_loss_may_be_lost_again(self):
        await self.warm_up()
        self.empty()
        with self.proxy.cut(faults.before(re.compile("INSERT INTO audits")), times=3) as fault:
            await self.work()
            self.assertEqual(3, fault.fired)
        self.assertEqual((1, 1), (self.runs, self.counts.replayed))

    async def test_it_is_not_tried_for_ever(self):
        await self.warm_up()
        self.empty()
        with self.proxy.cut(faults.before(re.compile("INSERT INTO audits")), times=None) as fault:
            error = await self.raises(DBConnectionError, self.work)
            self.assertEqual(6, fault.fired)
        self.assertIn("after 5 attempts", error.__notes__[0])
        self.assertEqual([0.075, 0.3, 1.2, 4.8], [round(each, 3) for each in self.clock.slept])
        self.assertEqual(([1, 2], 1), (self.stored(), self.counts.failed))
        await self.insert(3)

    async def test_no_server_to_be_had_is_the_first_error_with_a_note(self):
        await self.warm_up()
        self.empty()
        self.proxy.refuse()
        with self.proxy.cut(faults.before("INSERT")):
            error = await self.raises(DBConnectionError, self.work)
        self.assertIn("could not be repeated", error.__notes__[0])
        self.proxy.accept()
        await self.insert(3)
        self.assertEqual([1, 2, 3], self.stored())

    async def test_a_stale_connection_from_the_pool_is_replaced(self):
        await self.warm_up()
        self.proxy.cut_all()
        await self.insert(1)
        self.assertEqual([1], self.stored())

    async def test_one_whose_level_must_be_set_first_too(self):
        await self.warm_up()
        self.proxy.cut_all()
        async with self.writer.isolation("serializable")() as session:
            session.add(Audit(id=1))
        self.assertEqual([1], self.stored(Audit))

    async def test_a_half_read_result_can_be_read_to_its_end(self):
        await self.warm_up()
        self.store(*range(1, 200))
        async with self.writer() as session:
            result = await session.execute(select(Item.id).order_by(Item.id))
            first = [result.fetchone()[0], *(row[0] for row in result.fetchmany(10))]
            with self.proxy.cut(faults.after("INSERT")):
                session.add(Audit(id=1))
                await session.flush()
            rest = [row[0] for row in result]
        self.assertEqual(list(range(1, 200)), first + rest)

    async def test_a_connection_handle_is_replaced_behind_its_back(self):
        await self.warm_up()
        async with self.writer.connection() as connection:
            await connection.execute(insert(Audit).values(id=1))
            with self.proxy.cut(faults.before("UPDATE")):
                await connection.execute(update(Audit).values(text="same"))
            await connection.exec_driver_sql("INSERT INTO audits (id) VALUES (2)")
            self.assertFalse(connection.invalidated)
        self.assertEqual([1, 2], self.stored(Audit))

    async def test_an_isolation_level_is_kept(self):
        await self.warm_up()
        self.store(1)
        async with self.writer.isolation("repeatable read")() as session:
            await session.scalar(select(Item.amount))
            with self.proxy.cut(faults.before("INSERT")):
                session.add(Audit(id=1))
                await session.flush()
            self.place.do("UPDATE items SET amount = 5")
            self.assertEqual(0, await session.scalar(select(func.sum(Item.amount))))
        self.assertEqual([1], self.stored(Audit))

    async def test_settings_of_the_transaction_are_made_again(self):
        await self.warm_up()
        is_postgresql = self.is_on(Product.POSTGRESQL)
        async with self.writer() as session:
            await session.execute(text("SET LOCAL search_path = public, pg_catalog" if is_postgresql else "SET @a = 7"))
            with self.proxy.cut(faults.before("INSERT")):
                session.add(Audit(id=1))
                await session.flush()
            asked = await session.scalar(text("SHOW search_path" if is_postgresql else "SELECT @a"))
        self.assertEqual("public, pg_catalog" if is_postgresql else 7, asked)

    async def test_readers_go_on_too(self):
        self.store(1, 2)
        async with self.reader() as session:
            await session.execute(text("SELECT 1"))
        async with self.reader() as session:
            self.assertEqual(2, await session.scalar(select(func.count()).select_from(Item)))
            for moment in _MOMENTS:
                with self.proxy.cut(moment(re.compile("FROM items"))):
                    self.assertEqual([1, 2], list((await session.scalars(select(Item.id).order_by(Item.id))).all()))
        self.assertEqual(2, self.counts.replayed)

    async def test_hooks_run_once(self):
        await self.warm_up()
        ran = []
        async with self.writer() as session:
            self.face.after_commit(lambda: ran.append(1))
            session.add(Audit(id=1))
            await session.flush()
            with self.proxy.cut(faults.before("UPDATE")):
                await session.execute(update(Audit).values(text="x"))
        self.assertEqual([1], ran)

    async def test_a_block_may_ask_for_it(self):
        self.face = self.face_of(self.through())
        await self.warm_up()
        async with self.writer.modified("replaying")() as session:
            with self.proxy.cut(faults.before("INSERT")):
                session.add(Audit(id=1))
                await session.flush()
        self.assertEqual([1], self.stored(Audit))

    async def test_the_pool_counts_as_before(self):
        await self.warm_up()
        with self.proxy.cut(faults.after("INSERT"), times=2):
            await self.insert(1)
        pool = self.lossy.factory.engines(self.combination.colour).writer.engine.pool
        self.assertEqual((0, 1), (pool.checkedout(), pool.checkedin()))
        self.assertEqual(1, pool.capacity.held)

    async def test_an_error_after_a_replay_is_the_statements_own(self):
        await self.warm_up()
        self.store(1)
        with self.raising(DBDuplicateEntry):
            async with self.writer() as session:
                await session.scalar(select(Item.id))
                with self.proxy.cut(faults.before("INSERT")):
                    session.add(Item(id=1))
                    await session.flush()
        self.assertEqual(1, self.counts.replayed)


@behaviours(DRIVERS & ASYNCIO)
class TestCancellation(Replaying):
    async def test_in_the_middle_of_a_replay_leaves_nothing(self):
        await self.warm_up()
        self.store(1)
        reached = asyncio.Event()

        async def work():
            async with self.writer() as session:
                session.add(Audit(id=1))
                await session.flush()
                reached.set()
                await session.execute(update(Item).values(amount=5))

        with (
            self.proxy.cut(faults.before("UPDATE")),
            self.proxy.hold(faults.before(re.compile("INSERT INTO audits")), nth=2) as held,
        ):
            task = asyncio.create_task(work())
            await held.awaiting()
            task.cancel()
            await self.raises(asyncio.CancelledError, asyncio.wait_for, task, 20)
        self.assertTrue(reached.is_set())
        self.assertEqual(([], [0]), (self.stored(Audit), self.amounts()))
        pool = self.lossy.factory.engines(self.combination.colour).writer.engine.pool
        self.assertEqual(0, pool.checkedout())
        await self.insert(2)


@behaviours(DRIVERS)
class TestVictims(Replaying):
    """The server gives the transaction up in favour of another one, and it is repeated on the same connection."""

    def setUp(self):
        super().setUp()
        self.store(1, 2)

    async def strike(self, session):
        """Run into a deadlock with a rival that then commits."""
        if self.is_on(Product.POSTGRESQL):
            await session.execute(text("SET LOCAL deadlock_timeout = '1ms'"))
        await session.execute(update(Item).where(Item.id == 1).values(amount=11))
        rival = self.rival()
        rival.outweigh()
        rival.execute("UPDATE items SET amount = 20 WHERE id = 2")
        rival.start("UPDATE items SET amount = 21 WHERE id = 1")
        committing = threading.Thread(target=rival.commit)
        committing.start()
        try:
            await session.execute(update(Item).where(Item.id == 2).values(amount=12))
        finally:
            committing.join()  # before anyone looks whether a transaction was left open

    async def test_of_a_deadlock(self):
        async with self.writer() as session:
            session.add(Audit(id=1))
            await session.flush()
            await self.strike(session)
        self.assertEqual(([11, 12], 1), (self.amounts(), self.stored(Audit)[0]))
        self.assertEqual((1, 0), (self.counts.replayed, self.counts.diverged))

    async def test_of_a_deadlock_inside_a_savepoint(self):
        async with self.writer() as session:
            session.add(Audit(id=1))
            await session.flush()
            async with self.writer.savepoint() as inner:
                await self.strike(inner)
            session.add(Audit(id=2))
        self.assertEqual(([11, 12], [1, 2]), (self.amounts(), self.stored(Audit)[:2]))
        self.assertEqual(1, self.counts.replayed)

    async def test_without_replay_it_is_an_error(self):
        self.face = self.face_of(self.through())
        with self.raising(DBError) as caught:
            async with self.writer() as session:
                await self.strike(session)
        self.assertEqual("DBDeadlock", type(caught.error).__name__)

    @on(POSTGRESQL)
    async def test_of_a_row_that_was_updated_meanwhile(self):
        async with self.writer.isolation("repeatable read")() as session:
            await session.scalar(select(func.count()).select_from(Audit))
            self.place.do("UPDATE items SET amount = 5 WHERE id = 1")
            await session.execute(update(Item).where(Item.id == 1).values(amount=Item.amount + 1))
        self.assertEqual(([6, 0], 1), (self.amounts(), self.counts.replayed))
