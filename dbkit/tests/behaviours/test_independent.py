"""Independent blocks: a transaction of one's own beside the open one."""

from __future__ import annotations

from sqlalchemy import select

from dbkit.exceptions import DBLockTimeout, ModeConflict
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import BOTH_FACES, SERVERS, SQLITE, SQLITE_FILE, SQLITE_MEMORY
from dbkit.tests.behaviours.tables import Audit, Item


@behaviours(SERVERS)
class TestIndependentWriters(Behaviour):
    async def test_it_commits_though_the_outer_block_rolls_back(self):
        with self.raising(ValueError):
            async with self.writer() as outer:
                outer.add(Item(id=1))
                await outer.flush()
                async with self.writer.independent() as own:
                    self.assertIsNot(outer.sync_session, own.sync_session)
                    own.add(Audit(id=1))
                self.assertEqual([1], self.stored(Audit))
                raise ValueError
        self.assertEqual(([], [1]), (self.stored(), self.stored(Audit)))

    async def test_an_independent_function_commits_though_the_outer_one_rolls_back(self):
        @self.writer.independent
        async def note():
            self.session.add(Audit(id=1))

        @self.writer
        async def work():
            self.session.add(Item(id=1))
            await self.session.flush()
            await note()
            raise ValueError

        await self.raises(ValueError, work)
        self.assertEqual(([], [1]), (self.stored(), self.stored(Audit)))

    async def test_it_rolls_back_though_the_outer_block_commits(self):
        async with self.writer() as outer:
            outer.add(Item(id=1))
            with self.raising(ValueError):
                async with self.writer.independent() as own:
                    own.add(Audit(id=1))
                    await own.flush()
                    raise ValueError
            outer.add(Item(id=2))
        self.assertEqual(([1, 2], []), (self.stored(), self.stored(Audit)))

    async def test_blocks_inside_it_join_it_and_those_after_it_the_outer_one(self):
        with self.raising(ValueError):
            async with self.writer() as outer:
                async with self.writer.independent() as own:
                    async with self.writer() as joined:
                        self.assertIs(own.sync_session, joined.sync_session)
                        joined.add(Audit(id=1))
                async with self.writer() as joined:
                    self.assertIs(outer.sync_session, joined.sync_session)
                    joined.add(Item(id=1))
                raise ValueError
        self.assertEqual(([], [1]), (self.stored(), self.stored(Audit)))

    async def test_one_inside_another_is_a_third_transaction(self):
        with self.raising(ValueError):
            async with self.writer() as first:
                first.add(Item(id=1))
                await first.flush()
                with self.raising(KeyError):
                    async with self.writer.independent() as second:
                        second.add(Item(id=2))
                        await second.flush()
                        async with self.writer.independent() as third:
                            third.add(Item(id=3))
                        raise KeyError
                raise ValueError
        self.assertEqual([3], self.stored())

    async def test_a_writer_may_be_independent_of_a_reader(self):
        async with self.reader() as reading:
            await reading.execute(select(Item.id))
            async with self.writer.independent() as own:
                own.add(Item(id=1))
            self.assertEqual([1], self.stored())

    async def test_a_connection_may_be_independent(self):
        with self.raising(ValueError):
            async with self.writer.connection() as outer:
                await outer.execute(Item.__table__.insert().values(id=1, amount=0))
                async with self.writer.independent.connection() as own:
                    await own.execute(Audit.__table__.insert().values(id=1))
                raise ValueError
        self.assertEqual(([], [1]), (self.stored(), self.stored(Audit)))

    async def test_hooks_belong_to_the_transaction_in_which_they_were_registered(self):
        calls = []
        with self.raising(ValueError):
            async with self.writer():
                self.face.after_commit(lambda: calls.append("outer committed"))
                self.face.after_rollback(lambda: calls.append("outer rolled back"))
                async with self.writer.independent():
                    self.face.after_commit(lambda: calls.append("own committed"))
                self.assertEqual(["own committed"], calls)
                raise ValueError
        self.assertEqual(["own committed", "outer rolled back"], calls)


@behaviours(SQLITE | BOTH_FACES)
class TestIndependentOnSQLite(Behaviour):
    """A database that one transaction writes at a time: what could never go on is refused at once."""

    async def test_an_independent_writer_inside_one_that_writes_is_refused(self):
        @self.writer.independent
        async def note():
            self.session.add(Audit(id=1))

        async with self.writer() as outer:
            outer.add(Item(id=1))
            await outer.flush()
            with self.raising(ModeConflict) as caught:
                async with self.writer.independent() as own:
                    own.add(Audit(id=1))
            error = await self.raises(ModeConflict, note)
            outer.add(Item(id=2))
        for each in (caught.error, error):
            self.assertIn(".independent", str(each))
            self.assertIn("holds until it ends", str(each))
        self.assertEqual(([1, 2], []), (self.stored(), self.stored(Audit)))

    async def test_one_before_the_outer_block_has_written_is_no_conflict(self):
        async with self.writer() as outer:
            async with self.writer.independent() as own:
                own.add(Audit(id=1))
            outer.add(Item(id=1))
        self.assertEqual(([1], [1]), (self.stored(), self.stored(Audit)))

    @on(SQLITE_FILE | BOTH_FACES)
    async def test_an_independent_reader_inside_a_writer_reads_what_is_committed(self):
        self.store(1)
        async with self.writer() as outer:
            outer.add(Item(id=2))
            await outer.flush()
            async with self.reader.independent() as own:
                self.assertEqual([1], list((await own.scalars(select(Item.id))).all()))
        self.assertEqual([1, 2], self.stored())

    @on(SQLITE_FILE | BOTH_FACES)
    async def test_a_writer_independent_of_a_reader_commits(self):
        async with self.reader() as outer:
            self.assertEqual([], list((await outer.scalars(select(Item.id))).all()))
            async with self.writer.independent() as own:
                own.add(Item(id=1))
            self.assertEqual([], list((await outer.scalars(select(Item.id))).all()))
        self.assertEqual([1], self.stored())

    @on(SQLITE_MEMORY)
    async def test_in_memory_a_reader_inside_is_refused_too(self):
        async with self.writer() as outer:
            outer.add(Item(id=1))
            await outer.flush()
            with self.raising(ModeConflict):
                async with self.reader.independent() as own:
                    await own.execute(select(Item.id))
        self.assertEqual([1], self.stored())

    async def test_a_second_database_on_the_same_file_is_refused_too(self):
        other = self.face_of(self.database(pool_timeout=1))
        async with self.writer() as outer:
            outer.add(Item(id=1))
            await outer.flush()
            with self.raising((ModeConflict, DBLockTimeout)) as caught:
                async with other.writer() as session:
                    session.add(Audit(id=1))
                    await session.flush()
            self.assertIsInstance(caught.error, ModeConflict)
        self.assertEqual(([1], []), (self.stored(), self.stored(Audit)))
