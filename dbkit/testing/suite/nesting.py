"""P3, and blocks within blocks: joined ones share a fate, savepoints have their own, independent ones all of it."""

from __future__ import annotations

from sqlalchemy import func, select

from dbkit.backends.base import Role
from dbkit.testing.suite.capabilities import Capability
from dbkit.testing.suite.case import WayCase, insert_item, needs
from dbkit.testing.suite.tables import ITEMS, Item


class Nesting(WayCase):
    """Blocks within blocks."""

    async def test_a_joined_block_is_committed_with_the_outermost_one(self) -> None:
        async with self.open(self.db.writer) as outer:
            outer.add(Item(id=1))
            async with self.open(self.db.writer) as inner:
                inner.add(Item(id=2))
            self.assertEqual([], self.stored())
        self.assertEqual([1, 2], self.stored())

    async def test_a_joined_block_goes_with_the_outermost_one(self) -> None:
        with self.assertRaises(KeyError):
            async with self.open(self.db.writer):
                async with self.open(self.db.writer) as inner:
                    inner.add(Item(id=2))
                raise KeyError
        self.assertEqual([], self.stored())

    @needs(Capability.SAVEPOINTS)
    async def test_a_savepoint_is_undone_and_the_outer_rows_are_kept(self) -> None:
        async with self.open(self.db.writer) as outer:
            outer.add(Item(id=1))
            with self.assertRaises(KeyError):
                async with self.open(self.db.writer.savepoint) as inner:
                    inner.add(Item(id=2))
                    await inner.flush()
                    raise KeyError
            outer.add(Item(id=3))
        self.assertEqual([1, 3], self.stored())

    @needs(Capability.SAVEPOINTS)
    async def test_a_savepoint_goes_with_the_outer_block(self) -> None:
        with self.assertRaises(KeyError):
            async with self.open(self.db.writer):
                async with self.open(self.db.writer.savepoint) as inner:
                    inner.add(Item(id=2))
                raise KeyError
        self.assertEqual([], self.stored())

    @needs(Capability.SAVEPOINTS)
    async def test_savepoints_within_savepoints_are_undone_one_by_one(self) -> None:
        async with self.open(self.db.writer) as session:
            await session.execute(insert_item(1))
            async with self.open(self.db.writer.savepoint):
                await session.execute(insert_item(2))
                with self.assertRaises(KeyError):
                    async with self.open(self.db.writer.savepoint):
                        await session.execute(insert_item(3))
                        async with self.open(self.db.writer.savepoint):
                            await session.execute(insert_item(4))
                        raise KeyError
                await session.execute(insert_item(5))
        self.assertEqual([1, 2, 5], self.stored())

    @needs(Capability.SAVEPOINTS)
    async def test_a_savepoint_may_be_the_first_thing_that_a_block_does(self) -> None:
        async with self.open(self.db.writer):
            with self.assertRaises(KeyError):
                async with self.open(self.db.writer.savepoint) as inner:
                    await inner.execute(insert_item(1))
                    raise KeyError
            async with self.open(self.db.writer.savepoint) as inner:
                await inner.execute(insert_item(2))
        self.assertEqual([2], self.stored())

    @needs(Capability.INDEPENDENT_WRITERS)
    async def test_an_independent_writer_is_committed_though_the_outer_block_fails(self) -> None:
        with self.assertRaises(KeyError):
            async with self.open(self.db.writer) as outer:
                await outer.execute(insert_item(1))
                async with self.open(self.db.writer.independent) as other:
                    await other.execute(insert_item(2))
                self.assertEqual([2], self.stored())
                raise KeyError
        self.assertEqual([2], self.stored())

    async def test_an_independent_reader_does_not_see_what_is_not_committed(self) -> None:
        gate = self.backend.gate(self.url)
        if gate is not None and Role.READER in gate[1]:
            self.skipTest("readers queue for the one connection")
        async with self.open(self.db.writer) as outer:
            await outer.execute(insert_item(1))
            async with self.open(self.db.reader.independent) as other:
                self.assertEqual(0, await other.scalar(select(func.count(ITEMS.c.id))))
            self.assertEqual(1, await outer.scalar(select(func.count(ITEMS.c.id))))
