"""What a block handed out is of no use after it, and says so, whatever it is asked."""

from __future__ import annotations

from sqlalchemy import insert, select

from dbkit.exceptions import NoTransaction, TransactionManaged
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import BOTH_FACES, EVERY_DRIVER
from dbkit.tests.behaviours.tables import Item


@behaviours(EVERY_DRIVER | BOTH_FACES)
class TestEndedBlocks(Behaviour):
    async def refused(self, *calls):
        for call in calls:
            with self.raising(NoTransaction) as caught:
                result = call()
                if hasattr(result, "__await__"):
                    await result
            self.assertIn("the block has ended", str(caught.error))

    async def asked(self, session):
        """Ask an ended block's session for everything that changes or stores."""
        plain = session.sync_session
        await self.refused(
            session.commit,
            session.rollback,
            session.close,
            plain.begin,
            plain.begin_nested,
            lambda: session.add(Item(id=2)),
            lambda: session.add_all([Item(id=2)]),
            lambda: session.delete(Item(id=2)),
            lambda: session.merge(Item(id=2)),
            lambda: session.execute(select(Item.id)),
            lambda: session.get(Item, 1),
            session.connection,
            lambda: session.run_sync(lambda plain: plain.bulk_save_objects([Item(id=2)])),
        )
        await session.flush()  # there is nothing that it could write

    async def test_a_session_is_refused_everything_after_a_commit(self):
        async with self.writer() as session:
            session.add(Item(id=1))
        await self.asked(session)
        self.assertEqual([1], self.stored())

    async def test_a_session_is_refused_everything_after_a_rollback(self):
        with self.raising(ValueError):
            async with self.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                raise ValueError
        await self.asked(session)
        self.assertEqual([], self.stored())

    async def test_so_is_one_that_was_never_used_and_a_readers(self):
        for block in (self.writer, self.reader):
            async with block() as session:
                pass
            await self.asked(session)
        self.assertEqual([], self.stored())

    async def test_a_session_that_joined_serves_until_the_outermost_block_ends(self):
        async with self.writer():
            async with self.writer() as inner:
                inner.add(Item(id=1))
            inner.add(Item(id=2))
            self.assertIn("inside a block", str(await self.raises(TransactionManaged, inner.commit)))
        await self.asked(inner)
        self.assertEqual([1, 2], self.stored())

    async def test_a_connection_is_refused_everything(self):
        async with self.writer.connection() as connection:
            await connection.execute(insert(Item).values(id=1, amount=0))
        plain = connection.sync_connection if self.is_asyncio else connection.target
        await self.refused(
            connection.commit,
            connection.rollback,
            connection.close,
            plain.begin,
            plain.begin_nested,
            lambda: plain.execution_options(isolation_level="AUTOCOMMIT"),
            lambda: connection.execute(select(Item.id)),
            lambda: connection.exec_driver_sql("SELECT 1"),
        )
        self.assertEqual([1], self.stored())

    async def test_the_objects_stay_readable(self):
        async with self.writer() as session:
            item = Item(id=1, amount=3)
            session.add(item)
        self.assertEqual((1, 3), (item.id, item.amount))

    @on(EVERY_DRIVER)
    async def test_plain_sqlalchemys_session_takes_what_nobody_will_store(self):
        # the control: the object waits in it, and no error says that it waits in vain
        async with self.bare_session() as session:
            session.add(Item(id=1))
        session.add(Item(id=2))
        session.sync_session.close()
        self.assertEqual([1], self.stored())
