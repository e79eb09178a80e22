"""Each fault, at each kind of point, as a program on the other side of the proxy meets it."""

from __future__ import annotations

import asyncio
import re

from sqlalchemy import text

from dbkit.exceptions import CommitUnknown, DBConnectionError, DBError
from dbkit.testing import faults, servers
from dbkit.testing.servers.ports import LOOPBACK, claim_port
from dbkit.tests.behaviours.base import behaviours, on
from dbkit.tests.behaviours.combinations import ASYNCIO, BLOCKING, ONE_PER_PRODUCT, SERVERS
from dbkit.tests.behaviours.tables import Item
from dbkit.tests.faults.base import DRIVERS, Faulty
from dbkit.tests.steering import Worker

ONE_EACH = ONE_PER_PRODUCT & SERVERS


@behaviours(DRIVERS)
class TestConnecting(Faulty):
    async def test_a_refused_connect_is_a_connection_error_until_the_proxy_accepts_again(self):
        for reset in (False, True):
            self.proxy.refuse(reset=reset)
            await self.raises(DBConnectionError, self.insert, 1)
            self.proxy.accept()
        await self.insert(1)
        self.assertEqual([1], self.stored())

    async def test_a_connect_that_is_cut_is_a_connection_error(self):
        for point in (faults.before("connect"), faults.during("connect", 9), faults.after("connect")):
            with self.proxy.cut(point):
                await self.raises(DBConnectionError, self.insert, 1)
        self.assertEqual(3, self.proxy.counts["connect"])
        await self.insert(1)

    async def test_a_server_that_is_not_there_is_a_connection_error(self):
        nobody = claim_port()
        self.addCleanup(nobody.release)
        self.proxy.retarget((LOOPBACK, nobody.port))
        await self.raises(DBConnectionError, self.insert, 1)
        closed = self.proxy.wait_for("closed")
        self.assertIn("server", closed.detail)


@behaviours(DRIVERS)
class TestStatements(Faulty):
    async def test_a_statement_is_found_by_its_verb_and_by_its_text(self):
        for point in (faults.before("INSERT"), faults.before(re.compile("into items", re.IGNORECASE))):
            with self.proxy.cut(point):
                await self.raises(DBConnectionError, self.insert, 1)
        self.assertEqual([], self.stored())

    async def test_the_nth(self):
        with self.proxy.cut(faults.before("INSERT"), nth=3) as fault:
            await self.insert(1)
            await self.insert(2)
            self.assertEqual(0, fault.fired)
            await self.raises(DBConnectionError, self.insert, 3)
        self.assertEqual([1, 2], self.stored())

    async def test_what_the_statement_did_is_undone_when_the_connection_is_cut_after_it(self):
        with self.proxy.cut(faults.after("INSERT")):
            await self.raises(DBConnectionError, self.insert, 1)
        self.assertEqual([], self.stored())

    async def test_values_are_shown_nowhere(self):
        async with self.writer() as session:
            session.add(Item(id=1, name="secret", amount=4711))
        with self.proxy.delay(faults.before("INSERT"), seconds=0):
            async with self.writer() as session:
                session.add(Item(id=2, name="secret too", amount=4711))
        shown = repr(self.proxy.statements) + repr(self.proxy.events) + repr(self.proxy.connections)
        self.assertIn("INSERT INTO items", shown)
        self.assertNotIn("secret", shown)
        self.assertNotIn("4711", shown)

    async def test_a_delayed_reply_arrives_late(self):
        with self.proxy.delay(faults.after("COMMIT"), seconds=0.05) as fault:
            await self.insert(1)
            kinds = [event.kind for event in self.proxy.events if event.fault == fault.number]
        self.assertEqual(["fired", "released"], kinds)
        self.assertEqual([1], self.stored())

    async def test_a_ping_is_found_as_each_driver_sends_it(self):
        face = self.face_of(self.through(pool_pre_ping_idle=0))
        async with face.writer() as session:
            await session.execute(text("SELECT 2"))
        with self.proxy.cut(faults.before("ping")):
            async with face.writer() as session:
                await session.execute(text("SELECT 2"))
        self.assertEqual((1, 2), (self.proxy.counts["ping"], self.proxy.counts["connect"]))


@behaviours(DRIVERS & ASYNCIO)
class TestWaitingInAsyncio(Faulty):
    """What stands still is looked at from another task."""

    async def test_a_held_commit_is_not_there_before_it_is_released(self):
        with self.proxy.hold(faults.before("COMMIT")) as fault:
            task = asyncio.create_task(self.insert(1))
            await fault.awaiting()
            self.assertEqual([], self.stored())
            self.assertEqual(["held"], [each.state for each in self.proxy.connections])
            self.assertEqual(1, fault.release())
            await task
        self.assertEqual([1], self.stored())

    async def test_a_held_reply_is_stored_before_it_is_released(self):
        with self.proxy.hold(faults.after("COMMIT")) as fault:
            task = asyncio.create_task(self.insert(1))
            await fault.awaiting()
            self.assertEqual([1], self.stored())
            self.assertFalse(task.done())
            fault.release()
            await task

    async def test_what_is_frozen_goes_on_when_it_thaws(self):
        for point in (faults.before("COMMIT"), faults.after("COMMIT"), faults.during("COMMIT", 4)):
            with self.proxy.freeze(point) as fault:
                task = asyncio.create_task(self.insert(1))
                await fault.awaiting()
                self.assertEqual(["frozen"], [each.state for each in self.proxy.connections])
                self.assertFalse(task.done())
                self.proxy.thaw()
                await task
            self.assertEqual([1], self.stored())
            self.place.empty()


@behaviours(ONE_EACH & BLOCKING)
class TestWaitingInThreads(Faulty):
    async def test_a_held_commit_is_not_there_before_it_is_released(self):
        with self.proxy.hold(faults.before("COMMIT")) as fault:
            worker = Worker(lambda: self.run_plain(lambda: self.insert(1)))
            fault.wait()
            self.assertEqual([], self.stored())
            fault.release()
            worker.outcome()
        self.assertEqual([1], self.stored())

    async def test_two_held_statements_make_a_race_that_goes_as_the_test_wants(self):
        with self.proxy.hold(faults.before("COMMIT"), connection=1) as first:
            one = Worker(lambda: self.run_plain(lambda: self.insert(1)))
            first.wait()
            await self.insert(2)  # overtakes
            self.assertEqual([2], self.stored())
            first.release()
            one.outcome()
        self.assertEqual([1, 2], self.stored())

    async def test_the_connection_that_ran_a_statement_last(self):
        await self.insert(1)
        with self.proxy.cut(faults.before("COMMIT"), last_ran="insert into parts") as fault:
            await self.insert(2)
            self.assertEqual(0, fault.fired)
            with self.raising(CommitUnknown):
                async with self.writer() as session:
                    await session.execute(text("INSERT INTO parts (id, item_id) VALUES (7, 1)"))

    async def test_frozen_everywhere_nothing_passes_on_any_connection(self):
        await self.insert(1)
        with self.proxy.freeze(faults.before("INSERT"), everywhere=True) as fault:
            one = Worker(lambda: self.run_plain(lambda: self.insert(2)))
            fault.wait()
            two = Worker(lambda: self.run_plain(lambda: self.insert(3)))
            self.proxy.wait_for("frozen", connection=2)
            self.assertEqual(["frozen", "frozen"], [each.state for each in self.proxy.connections])
            self.assertEqual([1], self.stored())
            self.proxy.thaw()
            one.outcome(), two.outcome()
        self.assertEqual([1, 2, 3], self.stored())

    async def test_a_dropped_commit_never_arrives_and_the_server_is_not_told(self):
        with self.proxy.drop(faults.before("COMMIT")) as fault:
            one = Worker(lambda: self.run_plain(lambda: self.insert(1)))
            fault.wait()
        self.assertEqual(["dropped"], [each.state for each in self.proxy.connections])
        self.proxy.cut_all()
        self.assertRaises(CommitUnknown, one.outcome)
        self.assertEqual([], self.stored())

    async def test_a_dropped_reply_leaves_the_row_and_a_client_that_waits(self):
        with self.proxy.drop(faults.after("COMMIT")) as fault:
            one = Worker(lambda: self.run_plain(lambda: self.insert(1)))
            fault.wait()
        self.assertEqual([1], self.stored())
        self.assertTrue(one.is_alive())
        self.proxy.cut_all()
        self.assertRaises(CommitUnknown, one.outcome)

    async def test_cutting_all_ends_idle_connections_too(self):
        await self.insert(1)
        self.proxy.cut_all()
        self.assertEqual([], self.proxy.connections)
        try:
            await self.insert(2)
        except DBError as error:
            self.assertIsInstance(error, DBConnectionError)
        await self.insert(3)


@behaviours(ONE_EACH)
class TestTargets(Faulty):
    @on(ONE_EACH & BLOCKING)
    async def test_new_connections_go_to_the_new_target(self):
        kind = self.proxy.kind
        with servers.private(kind) as other:
            ask = "SHOW port" if kind == "postgresql" else "SELECT @@port"
            await self.insert(1)
            self.proxy.retarget(other)
            with self.engine(other).connect() as connection:
                self.assertEqual(str(other.port), str(connection.scalar(text(ask))))
            await self.insert(2)  # what is open stays
        self.assertEqual([1, 2], self.stored())

    def engine(self, other):
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        return create_engine(self.proxy.through(other.url(self.combination.driver)), poolclass=NullPool)

    async def test_the_url_of_a_server_leads_through_the_proxy(self):
        server = servers.obtain(self.proxy.kind)
        with faults.proxy(server) as proxy:
            url = proxy.url(self.combination.driver, "app")
            self.assertEqual((proxy.host, proxy.port, "app"), (url.host, url.port, url.database))
            self.assertEqual(server.url().username, url.username)
            self.assertEqual(self.combination.driver, url.get_driver_name())
