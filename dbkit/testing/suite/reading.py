"""P5: a reader cannot write, whatever it joins and however the write is sent, and what it was told does not stay."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.engine import Connection

from dbkit.backends.base import Standing
from dbkit.exceptions import DBError, DBReadOnly
from dbkit.queries import Lookup
from dbkit.testing.suite.capabilities import Capability
from dbkit.testing.suite.case import WayCase, insert_item, needs
from dbkit.testing.suite.tables import ITEMS, Item

_INSERT = "INSERT INTO dbkit_items (id, amount) VALUES (1, 0)"


class Reading(WayCase):
    """Readers, alone and inside writers."""

    async def refused(self, opener: Any, write: Any) -> None:
        """A reader that tries to write raises, and nothing is stored."""

        async def work() -> None:
            async with self.open(opener) as handle:
                await write(handle)

        error = await self.raises(DBError, work)
        self.assertIsInstance(error, DBReadOnly)
        self.assertEqual([], self.stored())

    @needs(Capability.READ_ONLY_READERS)
    async def test_a_readers_statement_is_refused(self) -> None:
        await self.refused(self.db.reader, lambda session: session.execute(insert_item(1)))

    @needs(Capability.READ_ONLY_READERS)
    async def test_a_readers_flush_is_refused(self) -> None:
        async def write(session: Any) -> None:
            session.add(Item(id=1))
            await session.flush()

        await self.refused(self.db.reader, write)

    @needs(Capability.READ_ONLY_READERS)
    async def test_a_readers_sql_is_refused_at_the_drivers_level(self) -> None:
        await self.refused(self.db.reader.connection, lambda connection: connection.exec_driver_sql(_INSERT))

    @needs(Capability.READ_ONLY_READERS)
    async def test_a_reader_that_asks_for_a_level_is_refused_too(self) -> None:
        await self.refused(self.db.reader.isolation("SERIALIZABLE"), lambda session: session.execute(insert_item(1)))

    @needs(Capability.READ_ONLY_READERS)
    async def test_the_database_itself_refuses_and_not_dbkit(self) -> None:
        async def write(session: Any) -> None:
            def bare(plain: Any) -> None:
                raw = plain.connection().connection.cursor()
                try:
                    raw.execute(_INSERT)
                finally:
                    raw.close()

            await session.execute(select(ITEMS.c.id))
            await session.run_sync(bare)

        async def work() -> None:
            async with self.open(self.db.reader) as session:
                await write(session)

        # the driver's own error, which passes no translation
        await self.raises(self.db.factory.lane(False, self.way.colour).engine.dialect.loaded_dbapi.Error, work)
        self.assertEqual([], self.stored())

    async def test_a_reader_inside_a_writer_is_refused_and_the_writer_goes_on(self) -> None:
        async with self.open(self.db.writer) as session:
            await session.execute(insert_item(1))
            with self.assertRaises(DBReadOnly):
                async with self.open(self.db.reader) as inner:
                    await inner.execute(insert_item(2))
            await session.execute(insert_item(3))
        self.assertEqual([1, 3], self.stored())

    @needs(Capability.READ_ONLY_READERS)
    async def test_readers_and_writers_take_turns_and_each_stays_what_it_is(self) -> None:
        for number in range(1, 5):
            await self.add(number)
            async with self.open(self.db.reader) as session:
                self.assertEqual(number, await session.scalar(select(func.count(ITEMS.c.id))))
            with self.assertRaises(DBReadOnly):
                async with self.open(self.db.reader) as session:
                    await session.execute(insert_item(99))
        self.assertEqual([1, 2, 3, 4], self.stored())

    async def test_a_reader_sees_what_a_writer_has_committed(self) -> None:
        await self.add(1)
        async with self.open(self.db.reader) as session:
            self.assertEqual([1], list((await session.execute(select(ITEMS.c.id))).scalars()))

    # -- readers that autocommit --------------------------------------------------------------------------------------

    async def after_reading(self) -> Standing:
        """Return how a reader's transaction stands after it has read."""

        def look(plain: Any) -> Standing:
            return self.standing(plain.connection())

        async with self.open(self.db.reader) as session:
            await session.execute(select(ITEMS.c.id))
            found: Standing = await session.run_sync(look)
        return found

    @needs(Capability.SAVEPOINTS)
    async def test_an_autocommitting_reader_opens_a_transaction_where_it_needs_one_and_leaves_none(self) -> None:
        def autocommits(connection: Connection) -> bool:
            return self.facts(connection).autocommits

        def look(plain: Any) -> Standing:
            return self.standing(plain.connection())

        if not await self.at_driver(autocommits, writes=False):
            self.skipTest("readers here don't autocommit")
        before = await self.after_reading()
        self.assertIn(before, (Standing.NONE, Standing.NOT_KNOWN), "an autocommitting reader is in no transaction")
        for error in (None, KeyError):
            try:
                async with self.open(self.db.reader):
                    async with self.open(self.db.reader.savepoint) as inner:
                        await inner.execute(select(ITEMS.c.id))
                        inside = await inner.run_sync(look)
                        self.assertIn(inside, (Standing.OPEN, Standing.NOT_KNOWN), "leave_autocommit() opens one")
                        if error is not None:
                            raise error
            except KeyError:
                pass
            self.assertIs(before, await self.after_reading(), "what leave_autocommit() returned goes back")

    async def test_a_statement_by_itself_leaves_no_transaction_and_blocks_are_as_they_were(self) -> None:
        def look(connection: Connection) -> None:
            found = self.standing(connection)
            self.assertIn(found, (Standing.NONE, Standing.NOT_KNOWN), "after statements by themselves: SessionFacts")

        lookup: Lookup[Any] = Lookup(select(ITEMS.c.id).order_by(ITEMS.c.id))
        before = await self.after_reading()
        for number in range(1, 6):
            await self.add(number)
            found = await lookup.aall(self.db.reader) if self.is_asyncio else lookup.all(self.db.reader)
            self.assertEqual(list(range(1, number + 1)), [each for (each,) in found])
            await self.at_driver(look, writes=False)
        self.assertIs(before, await self.after_reading(), "what autocommit() returned goes back")

    async def test_a_level_that_a_reader_asked_for_leaves_it_as_it_was(self) -> None:
        before = await self.after_reading()
        for level in ("REPEATABLE READ", "SERIALIZABLE"):
            async with self.open(self.db.reader.isolation(level)) as session:
                await session.execute(select(ITEMS.c.id))
            self.assertIs(before, await self.after_reading(), f"after {level}")

    @needs(Capability.READ_ONLY_READERS, Capability.SAVEPOINTS)
    async def test_a_reader_with_a_savepoint_cannot_write_either(self) -> None:
        async def work() -> None:
            async with self.open(self.db.reader):
                async with self.open(self.db.reader.savepoint) as inner:
                    await inner.execute(text(_INSERT))

        await self.raises(DBReadOnly, work)
        self.assertEqual([], self.stored())
        await self.refused(self.db.reader, lambda session: session.execute(insert_item(1)))
