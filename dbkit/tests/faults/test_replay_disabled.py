"""What forbids a replay: the loss is the error that it is without, with a note that says why it was not repeated."""

from __future__ import annotations

import re

from sqlalchemy import insert, select, text

from dbkit.exceptions import CommitUnknown, DBConnectionError, DeadlineExceeded, Outcome
from dbkit.testing import faults
from dbkit.tests.behaviours.base import behaviours, on
from dbkit.tests.behaviours.combinations import MARIADB, POSTGRESQL, Product
from dbkit.tests.behaviours.tables import Audit, Item
from dbkit.tests.faults.base import DRIVERS
from dbkit.tests.faults.test_replay import Replaying
from dbkit.tests.steering import with_patience

ASYNCPG = frozenset(each for each in DRIVERS if each.driver == "asyncpg")


@behaviours(DRIVERS)
class TestDisabled(Replaying):
    async def forbidden(self, reason, *statements):
        """Lose the connection after these statements; assert that the reason is told and counted."""
        await self.warm_up()

        async def prepare(session):
            for statement in statements:
                await session.execute(text(statement))

        await self.refused(reason, prepare)

    async def refused(self, reason, prepare):
        with self.raising(DBConnectionError) as caught:
            async with self.writer() as session:
                await prepare(session)
                with self.proxy.cut(faults.before(re.compile("INSERT INTO audits"))):
                    await session.execute(insert(Audit).values(id=1))
        self.assertEqual({reason: 1}, dict(self.counts.disabled))
        self.assertEqual(0, self.counts.replayed)
        self.assertIn("the transaction was not repeated:", caught.error.__notes__[0])
        self.assertEqual(Outcome.ROLLED_BACK, caught.error.outcome)
        self.assertEqual([], self.stored(Audit))
        await self.insert(100)

    async def test_ddl(self):
        self.addCleanup(self.place.do, "DROP TABLE IF EXISTS made")
        await self.forbidden("DDL", "CREATE TABLE made (id INT)")

    async def test_a_temporary_table(self):
        await self.forbidden("temporary table", "CREATE TEMPORARY TABLE held (id INT)")

    async def test_a_session_lock(self):
        is_postgresql = self.is_on(Product.POSTGRESQL)
        await self.forbidden(
            "session lock", "SELECT pg_advisory_lock(7)" if is_postgresql else "SELECT GET_LOCK('seven', 1)"
        )

    @on(POSTGRESQL)
    async def test_listening(self):
        await self.forbidden("LISTEN", "LISTEN something")

    @on(MARIADB)
    async def test_a_stored_procedure(self):
        self.place.do("CREATE OR REPLACE PROCEDURE nothing() BEGIN END")
        await self.forbidden("stored procedure", "CALL nothing()")

    async def test_a_server_side_cursor(self):
        await self.warm_up()
        self.store(*range(1, 10))

        async def stream(session):
            result = await session.stream(select(Item.id))
            found = [row async for row in result] if hasattr(result, "__aiter__") else list(result)
            self.assertEqual(9, len(found))

        await self.refused("server-side cursor", stream)

    async def test_the_drivers_connection_in_hand(self):
        await self.warm_up()

        async def reach(session):
            connection = await session.connection()
            await connection.run_sync(lambda sync: sync.connection.dbapi_connection)

        await self.refused("driver's connection", reach)

    async def test_dbkit_itself_does_not_count_as_that(self):
        await self.warm_up()
        async with self.writer() as session:
            connection = await session.connection()
            self.assertEqual({}, {k: v for k, v in connection.info.items() if k == "unknown"})
            async with session.begin_nested():
                await session.execute(insert(Audit).values(id=5))
            with self.proxy.cut(faults.before("SELECT")):
                await session.scalar(select(Audit.id))
        self.assertEqual(1, self.counts.replayed)

    async def test_too_large(self):
        self.lossy = self.through(replay=True, replay_max_size=2000)
        self.face = self.face_of(self.lossy)
        await self.warm_up()

        async def much(session):
            await session.execute(text("SELECT :much"), {"much": "x" * 3000})

        await self.refused("too large", much)

    async def test_too_old(self):
        await self.warm_up()

        async def take_long(session):
            await session.execute(text("SELECT 1"))
            self.clock.time += 31

        await self.refused("too old", take_long)

    async def test_a_commit_whose_reply_is_lost_is_never_repeated(self):
        for moment in (faults.before, faults.after):
            self.place.empty()
            with self.proxy.cut(moment("COMMIT")):
                await self.raises(CommitUnknown, self.insert, 1)
        self.assertEqual(([1], 0, {}), (self.stored(), self.counts.replayed, self.counts.disabled))

    async def test_a_new_connection_that_does_not_come_is_not_waited_for_past_the_deadline(self):
        await self.warm_up()

        async def attempt(seconds):
            with self.raising((DBConnectionError, DeadlineExceeded)) as caught:
                async with self.writer.deadline(seconds)() as session:
                    await session.execute(text("SELECT 1"))
                    with (
                        self.proxy.cut(faults.before(re.compile("INSERT INTO audits"))),
                        self.proxy.drop(faults.before("connect")),
                    ):
                        await session.execute(insert(Audit).values(id=1))
            return None if isinstance(caught.error, DeadlineExceeded) else (caught.error, seconds)

        error, seconds = await with_patience(attempt, (2, 8))
        self.assertEqual((Outcome.ROLLED_BACK, []), (error.outcome, self.stored(Audit)))
        self.assertIn(f"the deadline of {seconds} s has passed", error.__notes__[0])
