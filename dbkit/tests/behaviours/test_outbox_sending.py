"""The outbox: a message is stored if the transaction that sends it is, and only then."""

from __future__ import annotations

import contextvars

from dbkit.exceptions import (
    DBReadOnly,
    HandleNotRequested,
    InvalidSetting,
    NoTransaction,
    TransactionOwnedElsewhere,
    UsageError,
)
from dbkit.outbox import Outbox
from dbkit.tests.behaviours.base import behaviours, on
from dbkit.tests.behaviours.combinations import ASYNCIO, BLOCKING, BOTH_FACES, EVERY_FACE, ONE_PER_PRODUCT
from dbkit.tests.behaviours.outboxes import OutboxBehaviour
from dbkit.tests.behaviours.tables import Item
from dbkit.tests.steering import Worker

TEXTS = ({"a": [1, 2.5, None, True], "b": {"ä": "\U0001f600 '\"\\"}}, None, [], "", 0, "x" * 100_000)

# aiomysql 0.3 fails with bytes under PyMySQL 1.2 ('str' object is not callable), whoever sends them.
BODIES = (b"", bytes(range(256)), b"\0" * 100_000)


@behaviours(EVERY_FACE)
class TestSending(OutboxBehaviour):
    async def test_a_message_is_stored_with_the_block(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            sent = await self.call("send", "topic", {"number": 1}, context=self.context)
        self.assertEqual(([1], [sent]), (self.stored(), self.waiting()))

    async def test_it_is_gone_with_the_block(self):
        with self.raising(ValueError):
            async with self.writer() as session:
                session.add(Item(id=1))
                await self.call("send", "topic", 1, context=self.context)
                raise ValueError
        self.assertEqual(([], []), (self.stored(), self.waiting()))

    async def test_it_is_gone_with_the_savepoint(self):
        async with self.writer():
            kept = await self.call("send", "topic", 1, context=self.context)
            with self.raising(ValueError):
                async with self.writer.savepoint():
                    await self.call("send", "topic", 2, context=self.context)
                    raise ValueError
        self.assertEqual([kept], self.waiting())

    async def test_what_is_sent_arrives_as_it_was(self):
        payloads = [*TEXTS] if self.combination.driver == "aiomysql" else [*TEXTS, *BODIES]
        await self.send(*payloads)
        await self.call("deliver", self.see)
        self.assertEqual(payloads, self.seen)

    async def test_ids_are_the_transactions_own_and_a_number(self):
        first, second = await self.send(1, 2), await self.send(3)
        self.assertEqual(3, len({*first, *second}))
        prefixes = [each.rpartition("-")[0] for each in (*first, *second)]
        self.assertEqual(prefixes[0], prefixes[1])
        self.assertNotEqual(prefixes[1], prefixes[2])
        self.assertEqual(["1", "2"], [each.rpartition("-")[2] for each in first])

    async def test_a_connection_block_sends_too(self):
        async with self.writer.connection():
            sent = await self.call("send", "topic", 1, context=self.context)
        self.assertEqual([sent], self.waiting())


@behaviours(ONE_PER_PRODUCT | BOTH_FACES)
class TestWhatIsRefused(OutboxBehaviour):
    async def test_outside_a_block(self):
        error = await self.raises(NoTransaction, self.call, "send", "topic", 1)
        self.assertIn("no block of this outbox's database is open here", str(error))

    async def test_in_a_reader(self):
        async with self.reader():
            error = await self.raises(DBReadOnly, self.send_here)
        self.assertIn("make the function a writer", str(error))

    async def send_here(self):
        await self.call("send", "topic", 1, context=self.context)

    async def test_in_a_reader_inside_a_writer(self):
        async with self.writer():
            async with self.reader():
                await self.raises(DBReadOnly, self.send_here)
            await self.send_here()
        self.assertEqual(1, len(self.waiting()))

    async def test_in_a_block_of_another_database(self):
        other = self.database()
        async with self.face_of(other).writer():
            await self.raises(NoTransaction, self.send_here)

    @on(ONE_PER_PRODUCT)
    async def test_a_payload_that_is_neither_json_nor_bytes(self):
        async with self.writer():
            for payload in ({1, 2}, object(), float("nan"), {"a": b"b"}):
                error = await self.raises(UsageError, self.call, "send", "topic", payload)
                self.assertIn("what JSON can hold, or bytes", str(error))
            for topic in ("", "x" * 256, None, 1):
                await self.raises(UsageError, self.call, "send", topic, 1)
        self.assertEqual([], self.waiting())

    @on(ASYNCIO)
    async def test_the_blocking_method_in_an_asyncio_block(self):
        async with self.writer() as session:
            error = self.assertRaises(HandleNotRequested, self.outbox.send, "topic", 1, context=self.context)
            self.assertIn("write: await ....asend(...)", str(error))
            await session.run_sync(lambda plain: self.outbox.send("topic", 2, context=self.context))
        self.assertEqual(1, len(self.waiting()))

    @on(ONE_PER_PRODUCT & BLOCKING)
    async def test_in_another_thread_than_the_blocks(self):
        async with self.writer():
            context = contextvars.copy_context()
            worker = Worker(context.run, self.outbox.send, "topic", 1)
            self.assertRaises(TransactionOwnedElsewhere, worker.outcome)

    @on(ONE_PER_PRODUCT)
    async def test_numbers_out_of_bounds(self):
        for wrong in ({"max_attempts": 0}, {"backoff_s": -1}, {"max_backoff_s": float("inf")}, {"backoff_s": "1"}):
            (name,) = wrong
            self.assertIn(name, str(self.assertRaises(InvalidSetting, Outbox, self.db, **wrong)))
        await self.raises(InvalidSetting, self.deliver_none)

    @on(ONE_PER_PRODUCT)
    async def test_what_is_no_handler_is_refused_and_no_message_is_blamed(self):
        async with self.writer():
            await self.call("send", "topic", 1)
        error = await self.raises(UsageError, self.call, "deliver", "see")
        self.assertIn("a handler is a function", str(error))
        self.assertEqual(1, len(self.waiting()))

    @on(ONE_PER_PRODUCT & BLOCKING)
    async def test_what_is_no_database(self):
        for wrong in (self.db.writer, "sqlite://", None):
            error = self.assertRaises(UsageError, Outbox, wrong)
            self.assertIn(f"an object of class {type(wrong).__name__} was given", str(error))

    async def deliver_none(self):
        await self.call("deliver", self.see, limit=0)
