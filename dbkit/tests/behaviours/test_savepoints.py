"""Savepoints: a part of a transaction that can be undone by itself."""

from __future__ import annotations

from sqlalchemy import insert, select, text

from dbkit.exceptions import DBDuplicateEntry, DBError
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import EVERY_FACE
from dbkit.tests.behaviours.tables import Audit, Item


@behaviours(EVERY_FACE)
class TestSavepointBlocks(Behaviour):
    async def test_a_savepoint_that_ends_is_part_of_the_transaction(self):
        async with self.writer() as outer:
            outer.add(Item(id=1))
            async with self.writer.savepoint() as inner:
                inner.add(Item(id=2))
            outer.add(Item(id=3))
        self.assertEqual([1, 2, 3], self.stored())

    async def test_a_savepoint_alone_is_rolled_back(self):
        async with self.writer() as outer:
            outer.add(Item(id=1))
            with self.raising(ValueError):
                async with self.writer.savepoint() as inner:
                    inner.add(Item(id=2))
                    await inner.flush()
                    raise ValueError
            outer.add(Item(id=3))
        self.assertEqual([1, 3], self.stored())

    async def test_a_savepoint_function_alone_is_rolled_back(self):
        @self.writer.savepoint
        async def inner():
            self.session.add(Item(id=2))
            await self.session.flush()
            raise ValueError

        @self.writer
        async def outer():
            self.session.add(Item(id=1))
            await self.raises(ValueError, inner)
            self.session.add(Item(id=3))

        await outer()
        self.assertEqual([1, 3], self.stored())

    async def test_an_integrity_error_keeps_the_outer_rows(self):
        self.store(1)
        async with self.writer() as outer:
            outer.add(Item(id=2))
            with self.raising(DBDuplicateEntry):
                async with self.writer.savepoint() as inner:
                    inner.add(Item(id=1))
            outer.add(Item(id=3))
        self.assertEqual([1, 2, 3], self.stored())

    async def test_an_integrity_error_in_the_middle_keeps_the_outer_rows(self):
        self.store(1)
        async with self.writer() as outer:
            outer.add(Audit(id=1))
            with self.raising(DBDuplicateEntry):
                async with self.writer.savepoint() as inner:
                    inner.add(Item(id=5))
                    await inner.flush()
                    await inner.execute(insert(Item).values(id=1, amount=0))
            outer.add(Item(id=3))
        self.assertEqual(([1, 3], [1]), (self.stored(), self.stored(Audit)))

    async def test_outside_a_transaction_it_is_a_plain_one(self):
        async with self.writer.savepoint() as session:
            session.add(Item(id=1))
        with self.raising(ValueError):
            async with self.writer.savepoint() as session:
                session.add(Item(id=2))
                await session.flush()
                raise ValueError
        self.assertEqual([1], self.stored())

    async def test_three_deep_each_is_undone_by_itself(self):
        for failing, expected in (
            (1, [10, 20]),
            (2, [10, 11, 20]),
            (3, [10, 11, 12, 20]),
            (None, [10, 11, 12, 13, 20]),
        ):
            async with self.writer() as session:
                session.add(Item(id=10))
                await self.deeper(1, failing)
                session.add(Item(id=20))
            self.assertEqual(expected, self.stored(), failing)
            self.place.empty()

    async def deeper(self, level, failing):
        """Add a row behind a savepoint, and another behind a savepoint in that, three deep; one of them fails."""
        try:
            async with self.writer.savepoint() as session:
                session.add(Item(id=10 + level))
                if level < 3:
                    await self.deeper(level + 1, failing)
                if level == failing:
                    raise ValueError(level)
        except ValueError as error:
            self.assertEqual((failing,), error.args)

    async def test_a_savepoint_in_a_joined_block_is_undone_by_itself(self):
        async with self.writer() as outer:
            outer.add(Item(id=1))
            async with self.writer() as joined:
                joined.add(Item(id=2))
                with self.raising(ValueError):
                    async with self.writer.savepoint() as inner:
                        inner.add(Item(id=3))
                        raise ValueError
            outer.add(Item(id=4))
        self.assertEqual([1, 2, 4], self.stored())

    async def test_an_outer_error_undoes_a_savepoint_that_had_ended_well(self):
        with self.raising(ValueError):
            async with self.writer():
                async with self.writer.savepoint() as inner:
                    inner.add(Item(id=1))
                raise ValueError
        self.assertEqual([], self.stored())


@behaviours()
class TestOtherSavepoints(Behaviour):
    async def test_a_connection_savepoint_is_part_of_the_transaction(self):
        async with self.writer.connection() as outer:
            await outer.execute(insert(Item).values(id=1, amount=0))
            async with self.writer.savepoint.connection() as inner:
                await inner.execute(insert(Item).values(id=2, amount=0))
        self.assertEqual([1, 2], self.stored())

    async def test_a_connection_savepoint_alone_is_rolled_back(self):
        self.store(1)
        async with self.writer.connection() as outer:
            await outer.execute(insert(Item).values(id=2, amount=0))
            with self.raising(DBDuplicateEntry):
                async with self.writer.savepoint.connection() as inner:
                    await inner.execute(insert(Item).values(id=3, amount=0))
                    await inner.execute(insert(Item).values(id=1, amount=0))
            await outer.execute(insert(Item).values(id=4, amount=0))
        self.assertEqual([1, 2, 4], self.stored())

    async def test_a_connection_savepoint_in_a_session_block_is_undone_by_itself(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            with self.raising(ValueError):
                async with self.writer.connection.savepoint() as inner:
                    await inner.execute(insert(Item).values(id=2, amount=0))
                    raise ValueError
            session.add(Item(id=3))
        self.assertEqual([1, 3], self.stored())

    async def test_the_sessions_own_savepoints_work(self):
        self.store(1)
        async with self.writer() as session:
            session.add(Item(id=2))
            with self.raising(DBDuplicateEntry):
                async with session.begin_nested():
                    session.add(Item(id=1))
            nested = await session.begin_nested()
            session.add(Item(id=3))
            await session.flush()
            await nested.rollback()
            nested = await session.begin_nested()
            session.add(Item(id=4))
            await nested.commit()
        self.assertEqual([1, 2, 4], self.stored())

    async def test_the_connections_own_savepoints_work(self):
        self.store(1)
        async with self.writer.connection() as connection:
            await connection.execute(insert(Item).values(id=2, amount=0))
            with self.raising(DBDuplicateEntry):
                async with connection.begin_nested():
                    await connection.execute(insert(Item).values(id=1, amount=0))
            nested = await connection.begin_nested()
            await connection.execute(insert(Item).values(id=3, amount=0))
            await nested.rollback()
            nested = await connection.begin_nested()
            await connection.execute(insert(Item).values(id=4, amount=0))
            await nested.commit()
        self.assertEqual([1, 2, 4], self.stored())

    async def test_a_savepoint_is_the_first_thing_a_connection_may_be_asked_for(self):
        async with self.writer.connection() as connection:
            async with connection.begin_nested():
                await connection.execute(insert(Item).values(id=1, amount=0))
        async with self.writer() as session:
            async with session.begin_nested():
                session.add(Item(id=2))
        self.assertEqual([1, 2], self.stored())

    async def test_a_savepoint_in_a_reader_may_fail_by_itself(self):
        self.store(1)
        async with self.reader() as session:
            for _ in range(2):
                with self.raising(DBError):
                    async with self.reader.savepoint() as inner:
                        await inner.execute(text("SELECT nothing FROM nowhere"))
                self.assertEqual(1, await session.scalar(select(Item.id)))

    async def test_objects_rolled_back_with_a_savepoint_are_not_flushed_again(self):
        async with self.writer() as session:
            with self.raising(ValueError):
                async with self.writer.savepoint() as inner:
                    inner.add(Item(id=2))
                    raise ValueError
            self.assertEqual(0, len(session.new))
        self.assertEqual([], self.stored())

    async def test_many_savepoints_in_a_row(self):
        async with self.writer() as session:
            for number in range(20):
                try:
                    async with self.writer.savepoint() as inner:
                        inner.add(Item(id=number))
                        if number % 2:
                            raise ValueError
                except ValueError:
                    pass
            self.assertEqual(10, len((await session.scalars(select(Item.id))).all()))
        self.assertEqual(list(range(0, 20, 2)), self.stored())

    async def test_a_savepoint_error_that_is_wrapped_by_the_caller_is_undone(self):
        class Refused(Exception):
            """What an application makes of it."""

        self.store(1)
        with self.raising(Refused) as caught:
            async with self.writer() as session:
                session.add(Item(id=2))
                try:
                    async with self.writer.savepoint() as inner:
                        inner.add(Item(id=1))
                except DBDuplicateEntry as error:
                    raise Refused from error
        self.assertIsInstance(caught.error.__cause__, DBDuplicateEntry)
        self.assertEqual([1], self.stored())
