"""Sessions and connections of one transaction, whichever block asks for which."""

from __future__ import annotations

from sqlalchemy import Column, Integer, MetaData, Table, insert, select

from dbkit.exceptions import HandleNotRequested
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import (
    ASYNCIO,
    BLOCKING,
    BOTH_FACES,
    EVERY_DRIVER,
    EVERY_FACE,
    ONE,
    ONE_PER_PRODUCT,
)
from dbkit.tests.behaviours.tables import Item


@behaviours(EVERY_FACE)
class TestHandles(Behaviour):
    async def test_a_connection_inside_a_session_block_shares_its_transaction(self):
        with self.raising(ValueError):
            async with self.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                async with self.writer.connection() as connection:
                    self.assertEqual(1, await connection.scalar(select(Item.id)))
                    await connection.execute(insert(Item).values(id=2, amount=0))
                self.assertEqual(2, len((await session.scalars(select(Item.id))).all()))
                raise ValueError
        self.assertEqual([], self.stored())

    async def test_a_connection_inside_a_session_block_is_committed_with_it(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            async with self.writer.connection() as connection:
                await connection.execute(insert(Item).values(id=2, amount=0))
        self.assertEqual([1, 2], self.stored())

    async def test_a_session_inside_a_connection_block_shares_its_transaction(self):
        with self.raising(ValueError):
            async with self.writer.connection() as connection:
                await connection.execute(insert(Item).values(id=1, amount=0))
                async with self.writer() as session:
                    self.assertEqual(1, await session.scalar(select(Item.id)))
                    session.add(Item(id=2))
                    await session.flush()
                self.assertEqual(2, len((await connection.execute(select(Item.id))).all()))
                raise ValueError
        self.assertEqual([], self.stored())

    async def test_a_session_inside_a_connection_block_is_committed_with_it(self):
        async with self.writer.connection() as connection:
            await connection.execute(insert(Item).values(id=1, amount=0))
            async with self.writer() as session:
                session.add(Item(id=2))
        self.assertEqual([1, 2], self.stored())

    async def test_what_a_session_left_pending_in_a_connection_block_is_seen_by_the_connection(self):
        async with self.writer.connection() as connection:
            async with self.writer() as session:
                session.add(Item(id=1))
            self.assertEqual(1, await connection.scalar(select(Item.id)))

    async def test_functions_mix_as_well(self):
        @self.writer.connection
        async def core(number):
            await self.connection.execute(insert(Item).values(id=number, amount=0))

        @self.writer
        async def orm(number):
            self.session.add(Item(id=number))
            await core(number + 1)

        await orm(1)
        await core(5)
        self.assertEqual([1, 2, 5], self.stored())

    async def test_a_session_block_offers_no_connection_handle(self):
        async with self.writer():
            with self.raising(HandleNotRequested) as caught:
                self.connection  # noqa: B018
            self.assertIn(".connection", str(caught.error))
            self.assertIsInstance(caught.error, AttributeError)

    async def test_a_connection_block_offers_no_session_handle(self):
        async with self.writer.connection():
            with self.raising(HandleNotRequested) as caught:
                self.session  # noqa: B018
            self.assertIn("session", str(caught.error))

    async def test_the_inner_connection_handle_is_gone_after_its_block(self):
        async with self.writer():
            async with self.writer.connection() as connection:
                self.assertIsNotNone(self.connection)
                await connection.execute(select(Item.id))
            with self.raising(HandleNotRequested):
                self.connection  # noqa: B018

    async def test_inside_an_inner_block_both_handles_are_there(self):
        async with self.writer.connection():
            async with self.writer():
                self.assertIsNotNone(self.connection)
                self.assertIsNotNone(self.session)


@behaviours(ONE_PER_PRODUCT | BOTH_FACES)
class TestColoursOfHandles(Behaviour):
    @on(BLOCKING)
    async def test_a_blocking_block_has_no_asyncio_handles(self):
        async with self.writer():
            with self.raising(HandleNotRequested) as caught:
                self.face.handle("async_session")
            self.assertIn("'session'", str(caught.error))

    @on(ASYNCIO)
    async def test_an_asyncio_block_has_no_blocking_handles(self):
        owner = getattr(self.face, "context", self.db)
        async with self.writer():
            with self.raising(HandleNotRequested) as caught:
                owner.session  # noqa: B018
            self.assertIn("'async_session'", str(caught.error))
        async with self.writer.connection():
            with self.raising(HandleNotRequested) as caught:
                owner.connection  # noqa: B018
            self.assertIn("'async_connection'", str(caught.error))

    @on(ASYNCIO)
    async def test_a_blocking_function_called_through_run_sync_joins(self):
        owner = getattr(self.face, "context", self.db)

        def add(number):
            owner.session.add(Item(id=number))
            owner.session.flush()

        blocking = self.blocking(add)
        async with self.writer() as session:
            session.add(Item(id=1))
            await session.run_sync(lambda plain: blocking(2))
        self.assertEqual([1, 2], self.stored())
        with self.raising(ValueError):
            async with self.writer() as session:
                await session.run_sync(lambda plain: blocking(3))
                raise ValueError
        self.assertEqual([1, 2], self.stored())

    def blocking(self, function):
        """Return a function as a blocking writer of this test's face."""
        context = getattr(self.face, "context", None)
        manager = self.writer.manager
        if context is None:
            return manager(function)

        def with_context(context, number):
            return function(number)

        decorated = manager(with_context)
        return lambda number: decorated(context, number)

    @on(ASYNCIO)
    async def test_a_blocking_block_entered_through_run_sync_joins(self):
        def add(plain):
            with self.writer.block() as session:
                self.assertIs(plain, session)
                session.add(Item(id=2))
            with self.writer.savepoint.block() as session:
                session.add(Item(id=3))
            try:
                with self.writer.savepoint.block() as session:
                    session.add(Item(id=4))
                    session.flush()
                    raise ValueError
            except ValueError:
                pass

        async with self.writer() as session:
            session.add(Item(id=1))
            await session.run_sync(add)
        self.assertEqual([1, 2, 3], self.stored())

    @on(ASYNCIO & ONE)
    async def test_a_blocking_block_called_straight_in_an_asyncio_block_is_refused(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            with self.raising(TypeError) as caught, self.writer.block():
                pass
            self.assertIn("run_sync", str(caught.error))
        self.assertEqual([1], self.stored())


@behaviours(EVERY_DRIVER)
class TestTheFirstThing(Behaviour):
    async def test_may_be_a_table_that_is_created(self):
        # SQLAlchemy asks its dialect for the server's default schema, which only a connection tells
        table = Table("first_things", MetaData(), Column("id", Integer, primary_key=True))

        def make(connection):
            table.create(connection, checkfirst=True)
            table.drop(connection)

        async with self.face_of(self.database()).writer.connection() as connection:
            await connection.run_sync(make)
