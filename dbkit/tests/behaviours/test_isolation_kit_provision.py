"""The strategies on databases that dbkit has built."""

from __future__ import annotations

from sqlalchemy import select, text

from dbkit.testing import provision
from dbkit.testing.isolation import IsolationBroken, WorkerDatabase
from dbkit.tests.behaviours.base import behaviours
from dbkit.tests.behaviours.combinations import BLOCKING, MARIADB, ONE_PER_PRODUCT, Product
from dbkit.tests.behaviours.sandboxes import SandboxBehaviour
from dbkit.tests.behaviours.tables import Base, Item

_KINDS = {Product.SQLITE_FILE: "sqlite", Product.POSTGRESQL: "postgresql", Product.MARIADB: "mysql"}


def _seed(connection):
    connection.execute(text("INSERT INTO items (id, amount) VALUES (1, 0)"))


_SCHEMA = provision.Schema(metadata=Base.metadata, seed=_seed)


class Provided(SandboxBehaviour):
    def setUp(self):
        super().setUp()
        self.worker = provision.template(_KINDS[self.combination.product], _SCHEMA).worker_database()

    def inside(self, strategy="rollback"):
        return self.isolated(strategy, self.worker, driver=self.combination.driver)

    async def change(self, db):
        async with db.reader() as session:
            self.assertEqual([1], list((await session.scalars(select(Item.id))).all()))
        async with db.writer() as session:
            await session.delete(await session.get(Item, 1))
            session.add(Item(id=2))


@behaviours(ONE_PER_PRODUCT)
class TestOnAWorkerDatabase(Provided):
    async def test_each_strategy_leaves_it_as_it_was(self):
        self.assertIsInstance(self.worker, WorkerDatabase)
        for strategy in ("rollback", "clone", "truncate", "rollback", "truncate", "clone"):
            async with self.inside(strategy) as sandbox:
                await self.change(self.opener(sandbox))
        async with self.inside("none") as sandbox:
            async with self.opener(sandbox).reader() as session:
                self.assertEqual([1], list((await session.scalars(select(Item.id))).all()))


@behaviours(MARIADB & BLOCKING)
class TestADirtyWorkerDatabase(Provided):
    def test_it_is_rebuilt_before_the_next_test(self):
        with self.raising(IsolationBroken):
            with self.isolation(database=self.worker, driver=self.combination.driver) as sandbox:
                with sandbox.database.writer() as session:
                    session.execute(text("EXECUTE IMMEDIATE 'ALTER TABLE items ADD COLUMN strange INTEGER'"))
        for _ in range(2):
            with self.isolation(database=self.worker, driver=self.combination.driver) as sandbox:
                with sandbox.database.reader() as session:
                    columns = session.execute(text("SHOW COLUMNS FROM items LIKE 'strange'")).all()
                    self.assertEqual([], columns)
                    self.assertEqual([1], session.scalars(select(Item.id)).all())
