"""Blocks inside blocks: one transaction, whose outermost block decides."""

from __future__ import annotations

from sqlalchemy import insert, select

from dbkit.exceptions import DBReadOnly, ModeConflict, NoTransaction
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import BOTH_FACES, EVERY_FACE, ONE_PER_PRODUCT
from dbkit.tests.behaviours.tables import Item


@behaviours(EVERY_FACE)
class TestJoining(Behaviour):
    async def test_an_inner_block_shares_the_session(self):
        async with self.writer() as outer:
            async with self.writer() as inner:
                self.assertIs(outer.sync_session, inner.sync_session)
                inner.add(Item(id=1))
            outer.add(Item(id=2))
        self.assertEqual([1, 2], self.stored())

    async def test_an_inner_function_shares_the_session(self):
        @self.writer
        async def inner():
            self.session.add(Item(id=1))
            return self.session.sync_session

        @self.writer
        async def outer():
            self.session.add(Item(id=2))
            return self.session.sync_session is await inner()

        self.assertTrue(await outer())
        self.assertEqual([1, 2], self.stored())

    async def test_an_inner_block_commits_nothing_by_itself(self):
        with self.raising(ValueError):
            async with self.writer():
                async with self.writer() as inner:
                    inner.add(Item(id=1))
                    await inner.flush()
                raise ValueError
        self.assertEqual([], self.stored())

    async def test_an_inner_function_commits_nothing_by_itself(self):
        @self.writer
        async def inner():
            self.session.add(Item(id=1))
            await self.session.flush()

        with self.raising(ValueError):
            async with self.writer():
                await inner()
                raise ValueError
        self.assertEqual([], self.stored())

    async def test_an_inner_error_keeps_outer_rows_when_the_outer_block_handles_it(self):
        async with self.writer() as outer:
            outer.add(Item(id=1))
            with self.raising(ValueError):
                async with self.writer() as inner:
                    inner.add(Item(id=2))
                    raise ValueError
            outer.add(Item(id=3))
        self.assertEqual([1, 2, 3], self.stored())

    async def test_an_inner_error_that_nobody_handles_rolls_back_everything(self):
        with self.raising(ValueError):
            async with self.writer() as outer:
                outer.add(Item(id=1))
                async with self.writer() as inner:
                    inner.add(Item(id=2))
                    await inner.flush()
                    raise ValueError
        self.assertEqual([], self.stored())

    async def test_a_joined_block_sees_what_the_outer_one_wrote(self):
        async with self.writer() as outer:
            outer.add(Item(id=1))
            async with self.reader() as inner:
                self.assertEqual([1], list((await inner.scalars(select(Item.id))).all()))

    async def test_sequential_blocks_are_transactions_of_their_own(self):
        async with self.writer() as session:
            session.add(Item(id=1))
        async with self.reader() as session:
            self.assertEqual(1, await session.scalar(select(Item.id)))
        with self.raising(ValueError):
            async with self.writer() as session:
                session.add(Item(id=2))
                await session.flush()
                raise ValueError
        self.assertEqual([1], self.stored())

    async def test_a_handle_of_an_inner_block_is_the_outer_ones_again_after_it(self):
        async with self.writer() as outer:
            async with self.writer():
                pass
            self.assertIs(outer.sync_session, self.session.sync_session)

    async def test_outside_a_block_the_handles_say_how_to_open_one(self):
        for name in ("session", "connection"):
            with self.raising(NoTransaction) as caught:
                getattr(self, name)
            self.assertIn("writer", str(caught.error))
            self.assertIsInstance(caught.error, AttributeError)
        async with self.writer():
            pass
        with self.raising(NoTransaction):
            self.session  # noqa: B018
        for register in (self.face.after_commit, self.face.after_rollback):
            with self.raising(NoTransaction):
                register(print)


@behaviours(BOTH_FACES | ONE_PER_PRODUCT)
class TestWritersInsideReaders(Behaviour):
    async def test_a_writer_inside_a_reader_is_refused(self):
        @self.writer
        async def write():
            self.session.add(Item(id=1))

        async with self.reader() as session:
            with self.raising(ModeConflict) as caught:
                async with self.writer():
                    pass
            self.assertIn(".independent", str(caught.error))
            await self.raises(ModeConflict, write)
            await session.execute(select(Item.id))
        self.assertEqual([], self.stored())

    async def test_a_writer_inside_a_reader_inside_a_writer_is_refused(self):
        @self.writer
        async def write():
            self.session.add(Item(id=9))

        async with self.writer() as session:
            session.add(Item(id=1))
            async with self.reader():
                with self.raising(ModeConflict):
                    async with self.writer():
                        pass
                await self.raises(ModeConflict, write)
                with self.raising(ModeConflict):
                    async with self.writer.savepoint():
                        pass
                with self.raising(ModeConflict):
                    async with self.writer.connection():
                        pass
            session.add(Item(id=2))
        self.assertEqual([1, 2], self.stored())

    async def test_a_reader_inside_a_reader_inside_a_writer_leaves_it_reading(self):
        async with self.writer() as session:
            async with self.reader():
                async with self.reader() as inner:
                    await inner.execute(select(Item.id))
                with self.raising(DBReadOnly):
                    await session.execute(insert(Item).values(id=1, amount=0))
            session.add(Item(id=2))
        self.assertEqual([2], self.stored())
