"""What a reader inside a writer leaves behind: nothing, even if its entry failed, and no false accusation."""

from __future__ import annotations

from unittest import mock

from sqlalchemy import event, select, text

from dbkit.exceptions import DBReadOnly, TransactionDoomed
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import BOTH_FACES, EVERY_DRIVER, POSTGRESQL
from dbkit.tests.behaviours.tables import Audit, Item
from dbkit.transaction.session import BlockSession
from dbkit.transaction.transaction import Transaction


class Refusal(Exception):
    """What an application's listener raises."""


@behaviours(EVERY_DRIVER | BOTH_FACES)
class TestEntriesThatFail(Behaviour):
    """The entry flushes what the writer has pending; when that fails, the writer is a writer all the same."""

    def refusing(self, session):
        """Let each flush of a session fail as long as the ``with`` block lasts."""
        return _Refusing(session.sync_session)

    async def test_the_writer_writes_after_one(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            with self.refusing(session), self.raising(Refusal):
                async with self.reader():
                    raise AssertionError("the reader was entered")
            session.add(Item(id=2))
            await session.flush()
            await session.execute(text("UPDATE items SET amount = 5 WHERE id = 2"))
        self.assertEqual([0, 5], self.place.ask("SELECT amount FROM items ORDER BY id"))

    async def test_the_writer_writes_after_a_function_that_was_not_entered(self):
        @self.reader
        async def read():
            raise AssertionError("the reader was entered")

        @self.writer
        async def write():
            self.session.add(Item(id=1))
            with self.refusing(self.session):
                await self.raises(Refusal, read)
            self.session.add(Item(id=2))

        await write()
        self.assertEqual([1, 2], self.stored())

    async def test_the_writer_writes_after_a_savepoint_or_connection_that_was_not_entered(self):
        for number, reader in enumerate((self.reader.savepoint, self.reader.connection)):
            async with self.writer() as session:
                session.add(Item(id=number))
                with self.refusing(session), self.raising(Refusal):
                    async with reader():
                        raise AssertionError("the reader was entered")
                session.add(Audit(id=number))
        self.assertEqual(([0, 1], [0, 1]), (self.stored(), self.stored(Audit)))

    async def test_a_reader_after_one_still_reads_only(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            with self.refusing(session), self.raising(Refusal):
                async with self.reader():
                    pass
            async with self.reader() as reading:
                self.assertEqual(1, await reading.scalar(select(Item.id)))
                await self.raises(DBReadOnly, reading.execute, text("DELETE FROM items"))
            session.add(Item(id=2))
        self.assertEqual([1, 2], self.stored())

    @on(POSTGRESQL)
    async def test_one_that_is_given_no_connection_leaves_nothing_behind(self):
        # its transaction is lost, so the reader gets no connection; then the savepoint around it saves the writer
        async with self.writer() as session:
            session.add(Item(id=1))
            with self.raising(TransactionDoomed):
                async with self.writer.savepoint() as inner:
                    with self.raising(Exception):
                        await inner.execute(text("SELECT nothing FROM nowhere"))
                    async with self.reader.connection() as connection:
                        await connection.execute(select(Item.id))
            session.add(Item(id=2))
            await session.flush()
            await session.execute(text("UPDATE items SET amount = 5"))
        self.assertEqual([5, 5], self.place.ask("SELECT amount FROM items"))

    async def test_a_reader_that_would_go_on_reading_makes_the_writer_one(self):
        # the control: the end of the reading is switched off
        with mock.patch.object(Transaction, "end_reading", lambda transaction: None), self.raising(DBReadOnly):
            async with self.writer() as session:
                async with self.reader():
                    pass
                session.add(Item(id=2))
        self.assertEqual([], self.stored())


class _Refusing:
    def __init__(self, session):
        self._session = session

    def _refuse(self, session, context, instances):
        raise Refusal

    def __enter__(self):
        self._listener = self._refuse
        event.listen(self._session, "before_flush", self._listener)

    def __exit__(self, *error):
        event.remove(self._session, "before_flush", self._listener)


@behaviours(EVERY_DRIVER | BOTH_FACES)
class TestPendingObjects(Behaviour):
    """A Session that does not flush by itself: what the writer has pending is no work of the reader's."""

    async def read(self):
        async with self.reader() as reading:
            return list((await reading.scalars(select(Item.id).order_by(Item.id))).all())

    async def test_what_the_writer_has_added_is_not_the_readers(self):
        async with self.writer() as session:
            with session.no_autoflush:
                session.add(Item(id=1))
                self.assertEqual([], await self.read())
                session.add(Item(id=2))
        self.assertEqual([1, 2], self.stored())

    async def test_what_the_writer_has_changed_and_deleted_is_not_the_readers(self):
        self.store(1, 2)
        async with self.writer() as session:
            session.sync_session.autoflush = False
            (await session.get(Item, 1)).amount = 7
            await session.delete(await session.get(Item, 2))
            self.assertEqual([1, 2], await self.read())
        self.assertEqual([7], self.place.ask("SELECT amount FROM items"))

    async def test_a_readers_end_with_an_error_does_not_accuse_it_either(self):
        async with self.writer() as session:
            with session.no_autoflush, self.raising(Refusal):
                session.add(Item(id=1))
                async with self.reader():
                    raise Refusal
        self.assertEqual([1], self.stored())

    async def test_what_the_reader_adds_beside_it_is_the_readers(self):
        with self.raising(TransactionDoomed) as caught:
            async with self.writer() as session:
                with session.no_autoflush:
                    session.add(Item(id=1))
                    with self.raising(DBReadOnly):
                        async with self.reader() as reading:
                            reading.add(Item(id=2))
        self.assertIsInstance(caught.error.__cause__, DBReadOnly)
        self.assertEqual([], self.stored())

    async def test_what_the_reader_changes_beside_it_is_the_readers(self):
        self.store(1)
        with self.raising(DBReadOnly):
            async with self.writer() as session:
                with session.no_autoflush:
                    session.add(Item(id=2))
                    async with self.reader() as reading:
                        (await reading.get(Item, 1)).amount = 7
        self.assertEqual([0], self.place.ask("SELECT amount FROM items"))

    async def test_a_reader_that_counts_all_as_its_own_accuses_the_writer(self):
        # the control: what was pending before is forgotten
        forgotten = property(lambda session: frozenset(), lambda session, value: None)
        with mock.patch.object(BlockSession, "pending_before", forgotten), self.raising(DBReadOnly):
            async with self.writer() as session:
                with session.no_autoflush:
                    session.add(Item(id=1))
                    await self.read()
        self.assertEqual([], self.stored())
