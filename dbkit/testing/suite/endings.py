"""P1: a block that ends without an error is committed, and a transaction that is lost never looks like a success."""

from __future__ import annotations

from sqlalchemy import text

from dbkit.exceptions import DBDuplicateEntry, DBError, DBReferenceError, TransactionDoomed
from dbkit.testing.suite.capabilities import Capability
from dbkit.testing.suite.case import WayCase, insert_item, needs, swallowed
from dbkit.testing.suite.tables import PLEDGES, Item


class Endings(WayCase):
    """Blocks end well or badly, and their hooks know."""

    async def test_a_block_that_ends_is_committed(self) -> None:
        async with self.open(self.db.writer) as session:
            session.add(Item(id=1))
            self.assertEqual([], self.stored())
        self.assertEqual([1], self.stored())

    async def test_a_block_that_fails_is_rolled_back(self) -> None:
        with self.assertRaises(KeyError):
            async with self.open(self.db.writer) as session:
                session.add(Item(id=1))
                await session.flush()
                raise KeyError
        self.assertEqual([], self.stored())

    async def test_a_function_is_committed_or_rolled_back(self) -> None:
        async def work(number: int) -> None:
            session = self.db.async_session if self.is_asyncio else self.db.session
            session.add(Item(id=number))
            if number > 1:
                raise KeyError(number)

        writer = self.decorated(self.db.writer, work)
        await writer(1)
        await self.raises(KeyError, writer, 2)
        self.assertEqual([1], self.stored())

    async def test_a_connection_block_is_committed_or_rolled_back(self) -> None:
        for number in (1, 2):
            try:
                async with self.open(self.db.writer.connection) as connection:
                    await connection.execute(insert_item(number))
                    if number > 1:
                        raise KeyError(number)
            except KeyError:
                pass
        self.assertEqual([1], self.stored())

    async def test_many_blocks_one_after_the_other_all_end_as_they_should(self) -> None:
        for number in range(1, 13):
            try:
                async with self.open(self.db.writer) as session:
                    session.add(Item(id=number))
                    await session.flush()
                    if number % 3 == 0:
                        raise KeyError(number)
            except KeyError:
                pass
        self.assertEqual([1, 2, 4, 5, 7, 8, 10, 11], self.stored())

    async def test_the_hooks_learn_how_it_ended(self) -> None:
        calls: list[str] = []
        for error in (None, KeyError):
            try:
                async with self.open(self.db.writer) as session:
                    session.add(Item(id=1 if error is None else 2))
                    self.db.after_commit(lambda: calls.append(f"committed {self.stored()}"))
                    self.db.after_rollback(lambda: calls.append(f"rolled back {self.stored()}"))
                    if error is not None:
                        raise error
            except KeyError:
                pass
        self.assertEqual(["committed [1]", "rolled back [1]"], calls)

    # -- transactions that are lost -----------------------------------------------------------------------------------

    async def usable(self) -> None:
        """The connection that the loss was on serves the next blocks as if nothing had been."""
        await self.add(90)
        with self.assertRaises(KeyError):
            async with self.open(self.db.writer) as session:
                await session.execute(insert_item(91))
                raise KeyError
        self.assertEqual(90, self.stored()[-1])

    async def test_a_flush_that_fails_and_is_swallowed_is_no_success(self) -> None:
        self.store(1)
        calls: list[str] = []
        with self.assertRaises(DBError):
            async with self.open(self.db.writer) as session:
                session.add(Item(id=2))
                await session.flush()
                self.db.after_commit(lambda: calls.append("committed"))
                session.add(Item(id=1))
                with swallowed(DBDuplicateEntry):
                    await session.flush()
        self.assertEqual(([1], []), (self.stored(), calls))
        await self.usable()

    async def test_a_rollback_behind_the_back_is_no_success(self) -> None:
        if not self.backend.ends_only_when_told:
            self.skipTest("statements end transactions here, so that nobody can tell who has ended one")
        calls: list[str] = []
        with self.assertRaises(TransactionDoomed):
            async with self.open(self.db.writer) as session:
                await session.execute(insert_item(1))
                self.db.after_commit(lambda: calls.append("committed"))
                await session.run_sync(lambda plain: plain.connection().connection.dbapi_connection.rollback())
        self.assertEqual(([], []), (self.stored(), calls))
        await self.usable()

    async def test_a_rollback_sent_as_text_is_no_success(self) -> None:
        with self.assertRaises(DBError):
            async with self.open(self.db.writer) as session:
                await session.execute(insert_item(1))
                await session.execute(text("ROLLBACK"))
        self.assertEqual([], self.stored())
        await self.usable()

    @needs(Capability.DEFERRED_CONSTRAINTS)
    async def test_a_constraint_that_commit_checks_is_the_blocks_error(self) -> None:
        calls: list[str] = []
        with self.assertRaises(DBReferenceError) as caught:
            async with self.open(self.db.writer) as session:
                await session.execute(insert_item(1))
                await session.execute(PLEDGES.insert().values(id=1, item_id=77))
                self.db.after_commit(lambda: calls.append("committed"))
                self.db.after_rollback(lambda: calls.append("rolled back"))
        self.assertIsNotNone(caught.exception.orig)
        self.assertEqual(([], ["rolled back"]), (self.stored(), calls))
        await self.usable()

    @needs(Capability.DEFERRED_CONSTRAINTS)
    async def test_a_constraint_that_commit_checks_is_met_before_commit(self) -> None:
        async with self.open(self.db.writer) as session:
            await session.execute(PLEDGES.insert().values(id=1, item_id=1))
            await session.execute(insert_item(1))
        self.assertEqual([1], self.stored())
