"""What ends the transaction that isolates a test: it is noticed and said, and no other test suffers."""

from __future__ import annotations

from sqlalchemy import select, text, update

from dbkit.exceptions import DBDeadlock, DBError
from dbkit.testing.isolation import IsolationBroken
from dbkit.tests.behaviours.base import behaviours
from dbkit.tests.behaviours.combinations import BLOCKING, MARIADB, ONE_PER_PRODUCT, SERVERS, Product
from dbkit.tests.behaviours.estates import OWN_SESSION
from dbkit.tests.behaviours.sandboxes import SandboxBehaviour
from dbkit.tests.behaviours.tables import Item
from dbkit.tests.behaviours.yards import Yard


class Breaking(SandboxBehaviour):
    """Bodies that break their sandbox, each on a database of its own."""

    def setUp(self):
        super().setUp()
        self.yard = Yard(self.combination)
        self.addCleanup(self.yard.drop)

    def kill(self, session):
        kill = "SELECT pg_terminate_backend({})" if self.is_on(Product.POSTGRESQL) else "KILL {}"
        self.place.do(kill.format(session))


@behaviours(ONE_PER_PRODUCT & BLOCKING)
class TestCommitsBehindTheBack(Breaking):
    def commit_behind_the_back(self, sandbox):
        raw = sandbox.engine.raw_connection()
        raw.cursor().execute("INSERT INTO items (id, amount) VALUES (1, 0)")
        raw.commit()
        raw.close()

    def test_they_are_told_at_the_end_and_the_database_is_rebuilt_before_the_next_test(self):
        with self.raising(IsolationBroken) as caught:
            with self.isolation(database=self.yard) as sandbox:
                self.commit_behind_the_back(sandbox)
        self.assertTrue(caught.error.is_dirty)
        self.assertIn("isolation 'clone'", str(caught.error))
        self.assertEqual([1], self.yard.ask("SELECT id FROM items"))
        self.assertEqual([], self.yard.done)
        with self.isolation(database=self.yard) as sandbox:
            with sandbox.database.reader() as session:
                self.assertEqual([], session.scalars(select(Item.id)).all())
        self.assertEqual(["rebuild"], self.yard.done)
        with self.isolation(database=self.yard):
            pass
        self.assertEqual(["rebuild"], self.yard.done)

    def test_a_test_that_failed_anyway_is_told_in_a_note(self):
        error = ValueError("the test's own")
        with self.raising(ValueError) as caught:
            with self.isolation(database=self.yard) as sandbox:
                self.commit_behind_the_back(sandbox)
                raise error
        self.assertIs(error, caught.error)
        self.assertIn("has ended the transaction of the test", "".join(error.__notes__))

    def test_a_rollback_behind_the_back_is_told_too(self):
        with self.raising(IsolationBroken):
            with self.isolation(database=self.yard) as sandbox:
                with sandbox.database.writer() as session:
                    session.add(Item(id=1))
                raw = sandbox.engine.raw_connection()
                raw.rollback()
                raw.close()


@behaviours(MARIADB & BLOCKING)
class TestHiddenSchemaChanges(Breaking):
    def test_the_statement_is_named_and_the_database_is_rebuilt(self):
        hidden = "EXECUTE IMMEDIATE 'CREATE TABLE passing (id INTEGER)'"
        with self.raising(IsolationBroken) as caught:
            with self.isolation(database=self.yard) as sandbox:
                with sandbox.database.writer() as session:
                    session.add(Item(id=1))
                    session.flush()
                    session.execute(text(hidden))
        self.assertIn("EXECUTE IMMEDIATE", caught.error.statement)
        self.assertTrue(caught.error.is_dirty)
        self.assertNotIn("passing", str(caught.error))  # a literal may be anyone's data
        with self.isolation(database=self.yard) as sandbox:
            with sandbox.database.reader() as session:
                self.assertEqual([], session.scalars(select(Item.id)).all())
        self.assertEqual(["rebuild"], self.yard.done)


@behaviours(MARIADB)
class TestDeadlocksOnMariaDB(Breaking):
    async def test_one_that_rolled_the_test_back_is_told_and_nothing_was_stored(self):
        self.store(1, 2)
        rival = self.rival()
        rival.outweigh()
        deadlocks = []
        with self.raising(IsolationBroken) as caught:
            async with self.isolated() as sandbox:
                db = self.opener(sandbox)
                with self.raising(DBDeadlock) as found:
                    async with db.writer() as session:
                        await session.execute(update(Item).where(Item.id == 1).values(amount=1))
                        rival.execute("UPDATE items SET amount = 5 WHERE id = 2")
                        rival.start("UPDATE items SET amount = 5 WHERE id = 1")
                        await session.execute(update(Item).where(Item.id == 2).values(amount=1))
                deadlocks.append(found.error)
                with self.raising(IsolationBroken) as again:
                    async with db.writer() as session:
                        session.add(Item(id=3))
                raise again.error
        rival.commit()
        self.assertEqual(1, len(deadlocks))
        self.assertFalse(caught.error.is_dirty)
        self.assertIn("DBDeadlock", str(caught.error))
        self.assertEqual([1, 2], self.stored())


@behaviours(SERVERS)
class TestLostConnections(Breaking):
    async def session_of(self, sandbox):
        kind = "postgresql" if self.is_on(Product.POSTGRESQL) else "mysql"
        async with self.opener(sandbox).writer() as session:
            return (await session.execute(text(OWN_SESSION[kind]))).scalar_one()

    async def test_one_that_dies_in_the_test_is_told(self):
        with self.raising(IsolationBroken) as caught:
            async with self.isolated() as sandbox:
                db = self.opener(sandbox)
                self.kill(await self.session_of(sandbox))
                with self.raising(DBError):
                    async with db.writer() as session:
                        await session.execute(select(Item.id))
                with self.raising(IsolationBroken):
                    async with db.writer() as session:
                        await session.execute(select(Item.id))
        self.assertFalse(caught.error.is_dirty)

    async def test_one_that_dies_between_two_tests_is_replaced(self):
        async with self.isolated() as sandbox:
            number = await self.session_of(sandbox)
        self.kill(number)
        async with self.isolated() as sandbox:
            self.assertNotEqual(number, await self.session_of(sandbox))
