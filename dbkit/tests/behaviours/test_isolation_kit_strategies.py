"""The strategies whose transactions are real: clone, truncate and none."""

from __future__ import annotations

import threading

from sqlalchemy import select, text

from dbkit.exceptions import DBLockTimeout
from dbkit.testing.isolation import WorkerDatabase
from dbkit.tests.behaviours.base import behaviours
from dbkit.tests.behaviours.combinations import ASYNCIO, ONE_PER_PRODUCT
from dbkit.tests.behaviours.sandboxes import SandboxBehaviour
from dbkit.tests.behaviours.tables import Item
from dbkit.tests.behaviours.yards import Yard


class _Locked(Yard):
    """Somebody holds a lock in it, when it is to be emptied and when it is rebuilt for the first time."""

    def _fail_first(self, what):
        if what not in self.done:
            self.done.append(what)
            raise DBLockTimeout("a table stayed locked")

    def empty(self):
        self._fail_first("empty")
        super().empty()

    def rebuild(self):
        self._fail_first("rebuild")
        super().rebuild()


class Real(SandboxBehaviour):
    def setUp(self):
        super().setUp()
        self.yard = Yard(self.combination)
        self.addCleanup(self.yard.drop)

    async def add(self, db, number):
        async with db.writer() as session:
            session.add(Item(id=number))

    async def ids(self, db):
        async with db.reader() as session:
            return list((await session.scalars(select(Item.id).order_by(Item.id))).all())


@behaviours(ONE_PER_PRODUCT)
class TestClone(Real):
    async def test_a_test_has_a_database_of_its_own_that_is_dropped_after_it(self):
        self.assertIsInstance(self.yard, WorkerDatabase)
        async with self.isolated("clone", self.yard) as sandbox:
            clone = self.yard.clones[0]
            await self.add(self.opener(sandbox), 1)
            self.assertEqual([1], clone.ask("SELECT id FROM items"))
            self.assertEqual([], self.yard.ask("SELECT id FROM items"))
            self.assertEqual(clone.name, sandbox.url().database)
        self.assertEqual(["drop"], clone.done)

    async def test_the_schema_may_change_and_independent_blocks_are_independent(self):
        async with self.isolated("clone", self.yard, managers=[self.db]) as sandbox:
            async with self.plain_begin(sandbox) as connection:
                await connection.execute(text("CREATE TABLE passing (id INTEGER)"))
            if self.combination.product.value != "sqlite_file":  # where writers take turns
                async with self.writer() as session:
                    session.add(Item(id=1))
                    await session.flush()
                    await self.add(_Independent(self), 2)
            self.assertEqual([], self.yard.ask("SELECT id FROM items"))
        self.assertEqual(["clone"], self.yard.done)

    async def test_a_test_that_fails_drops_it_too(self):
        with self.raising(ZeroDivisionError):
            async with self.isolated("clone", self.yard):
                raise ZeroDivisionError
        self.assertEqual(["drop"], self.yard.clones[0].done)

    async def test_threads_work_at_the_same_time(self):
        both_inside = threading.Barrier(2, timeout=20)

        def read():
            with sandbox.database.reader() as session:
                session.execute(select(Item.id))
                both_inside.wait()

        async with self.isolated("clone", self.yard) as sandbox:
            threads = [threading.Thread(target=read) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            sandbox.database.dispose()
        self.assertFalse(both_inside.broken)


class _Independent:
    def __init__(self, test):
        self.writer = test.writer.independent


@behaviours(ONE_PER_PRODUCT)
class TestTruncate(Real):
    async def test_commits_are_real_and_gone_after_the_test(self):
        for _ in range(2):
            async with self.isolated("truncate", self.yard) as sandbox:
                db = self.opener(sandbox)
                self.assertEqual([], await self.ids(db))
                await self.add(db, 1)
                self.assertEqual([1], self.yard.ask("SELECT id FROM items"))
        self.assertEqual(["empty", "empty"], self.yard.done)
        self.assertEqual([], self.yard.ask("SELECT id FROM items"))

    async def test_a_database_that_could_not_be_emptied_is_rebuilt_before_the_next_test(self):
        yard = _Locked(self.combination)
        self.addCleanup(yard.drop)
        with self.raising(DBLockTimeout):
            async with self.isolated("truncate", yard) as sandbox:
                await self.add(self.opener(sandbox), 1)
        with self.raising(DBLockTimeout):
            await self.isolated("truncate", yard).__aenter__()
        async with self.isolated("truncate", yard) as sandbox:
            self.assertEqual([], await self.ids(self.opener(sandbox)))
        self.assertEqual(["empty", "rebuild", "rebuild", "empty"], yard.done)


@behaviours(ONE_PER_PRODUCT)
class TestNone(Real):
    async def test_commits_are_real_and_stay(self):
        async with self.isolated("none", self.yard) as sandbox:
            await self.add(self.opener(sandbox), 1)
        async with self.isolated("none", self.yard) as sandbox:
            self.assertEqual([1], await self.ids(self.opener(sandbox)))
        self.assertEqual([], self.yard.done)


@behaviours(ONE_PER_PRODUCT & ASYNCIO)
class TestBothColours(Real):
    async def test_a_clone_serves_both(self):
        async with self.isolated("clone", self.yard) as sandbox:
            await self.add(sandbox.database, 1)
            with sandbox.database.reader() as session:
                self.assertEqual([1], session.scalars(select(Item.id)).all())
