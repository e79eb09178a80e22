"""Connections that die: the block they belonged to fails with a typed error, the next one works."""

from __future__ import annotations

from sqlalchemy import select, text

from dbkit.exceptions import CommitUnknown, DBConnectionError, DBError, Outcome
from dbkit.testing import servers
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import ONE_PER_PRODUCT, POSTGRESQL, SERVERS, SPELLINGS, Product
from dbkit.tests.behaviours.tables import Base, Item


@behaviours(SERVERS | SPELLINGS)
class TestKilledSessions(Behaviour):
    async def number(self, session):
        """Return the server's number of the session."""
        ask = "SELECT pg_backend_pid()" if self.is_on(Product.POSTGRESQL) else "SELECT CONNECTION_ID()"
        return await session.scalar(text(ask))

    def kill(self, number):
        """End a session at the server, and wait until it is gone."""
        if self.is_on(Product.POSTGRESQL):
            self.place.ask("SELECT pg_terminate_backend(:number, 10000)", number=number)
        else:
            self.place.do(f"KILL {number}")

    async def killed(self, opener, then):
        async with opener() as session:
            if opener is self.writer:
                session.add(Item(id=1))
                await session.flush()
            self.kill(await self.number(session))
            await then(session)

    async def look(self, session):
        await session.execute(select(Item.id))

    async def nothing(self, session):
        pass

    async def test_the_next_statement_fails_with_a_typed_error(self):
        for opener in (self.writer, self.reader):
            error = await self.raises(DBConnectionError, self.killed, opener, self.look)
            self.assertTrue(error.transient)
            self.assertIsNotNone(error.orig)
            self.assertTrue(str(error).startswith("the connection to the database was lost: "), str(error))
        self.assertEqual([], self.stored())

    async def test_the_next_block_works(self):
        for opener in (self.writer, self.reader):
            await self.raises(DBError, self.killed, opener, self.look)
            async with opener() as session:
                self.assertEqual([], (await session.execute(select(Item.id))).all())
        async with self.writer() as session:
            session.add(Item(id=2))
        self.assertEqual([2], self.stored())

    async def test_before_commit_it_is_no_success(self):
        # COMMIT is sent into a connection that is dead already; only the server knows that it never arrived
        error = await self.raises(DBError, self.killed, self.writer, self.nothing)
        self.assertIsInstance(error, CommitUnknown | DBConnectionError)
        if isinstance(error, CommitUnknown):
            self.assertEqual(Outcome.UNKNOWN, error.outcome)
            self.assertFalse(error.transient)
        self.assertEqual([], self.stored())
        async with self.writer() as session:
            session.add(Item(id=2))
        self.assertEqual([2], self.stored())

    async def test_no_hook_runs_when_the_commit_is_unknown(self):
        calls = []

        async def register(session):
            self.face.after_commit(lambda: calls.append("committed"))
            self.face.after_rollback(lambda: calls.append("rolled back"))

        error = await self.raises(DBError, self.killed, self.writer, register)
        self.assertEqual([] if isinstance(error, CommitUnknown) else ["rolled back"], calls)

    async def test_an_error_of_the_caller_is_not_hidden_by_the_failing_rollback(self):
        async def fail(session):
            raise ValueError("mine")

        error = await self.raises(ValueError, self.killed, self.writer, fail)
        self.assertEqual(("mine",), error.args)
        async with self.writer() as session:
            session.add(Item(id=2))
        self.assertEqual([2], self.stored())

    async def test_swallowed_it_is_no_success(self):
        async def swallow(session):
            await self.raises(DBConnectionError, self.look, session)

        error = await self.raises(DBError, self.killed, self.writer, swallow)
        self.assertTrue(error.transient)
        causes = [type(each).__name__ for each in (error, error.__cause__)]
        self.assertIn("DBConnectionError", causes)
        self.assertEqual([], self.stored())

    async def test_a_swallowed_one_is_not_made_up_for_by_a_new_connection(self):
        # SQLAlchemy would go on with another connection, in another transaction, without what came before
        async def go_on(session):
            await self.raises(DBConnectionError, self.look, session)
            await session.execute(text("INSERT INTO items (id, amount) VALUES (5, 0)"))

        error = await self.raises(DBError, self.killed, self.writer, go_on)
        self.assertIn("end the block and run all of it again; a savepoint does not survive it", str(error))
        self.assertEqual([], self.stored())

    async def test_in_a_savepoint_it_is_no_success(self):
        async def in_savepoint(session):
            with self.raising(DBError):
                async with self.writer.savepoint() as inner:
                    self.kill(await self.number(inner))
                    await self.look(inner)

        async def work():
            async with self.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                await in_savepoint(session)

        error = await self.raises(DBError, work)
        self.assertTrue(error.transient)
        self.assertEqual([], self.stored())

    async def test_one_death_has_the_idle_connections_tested_first(self):
        database = self.database()
        face = self.face_of(database)
        numbers = []
        async with face.writer() as first, face.writer.independent() as second:
            numbers += [await self.number(first), await self.number(second)]
        for number in numbers:
            self.kill(number)
        failures = 0
        for _ in range(4):
            try:
                async with face.writer() as session:
                    await self.look(session)
            except DBConnectionError:
                failures += 1
        self.assertLessEqual(failures, 1)


@behaviours(POSTGRESQL & ONE_PER_PRODUCT)
class TestRestartedServers(Behaviour):
    @on(POSTGRESQL & ONE_PER_PRODUCT)
    async def test_after_a_restart_one_block_fails_at_most(self):
        with servers.private("postgresql") as server:
            database = self.private(server)
            face = self.face_of(database)
            async with face.writer() as session:
                await session.run_sync(lambda plain: Base.metadata.create_all(plain.connection()))
            async with face.writer() as first, face.writer.independent() as second, face.reader() as third:
                for session in (first, second, third):
                    await session.execute(select(Item.id))
            server.restart()
            failures = 0
            for opener in (face.writer, face.writer, face.reader, face.reader):
                try:
                    async with opener() as session:
                        await session.execute(select(Item.id))
                except DBConnectionError:
                    failures += 1
            self.assertLessEqual(failures, 2)
            async with face.writer() as session:
                session.add(Item(id=1))
            await self.dispose(database)

    def private(self, server):
        import dbkit

        return dbkit.Database(server.url(driver=self.combination.driver), max_retries=0)
