"""The outbox: each message is delivered at least once, in its order, by one deliverer at a time."""

from __future__ import annotations

import asyncio

from sqlalchemy import text

from dbkit.exceptions import DBConnectionError, DBDuplicateEntry, DBError, DBLockTimeout, Outcome, UsageError
from dbkit.outbox import Delivery, Status
from dbkit.tests.behaviours.base import behaviours, on
from dbkit.tests.behaviours.combinations import ASYNCIO, BLOCKING, EVERY_DRIVER, MARIADB, ONE_PER_PRODUCT, SERVERS
from dbkit.tests.behaviours.outboxes import OutboxBehaviour
from dbkit.tests.behaviours.tables import Item
from dbkit.tests.steering import SteeredClock, at_once, turns

NOTHING = Delivery()


def fail(message):
    """Be a handler that always fails."""
    raise ValueError(message.payload)


@behaviours(EVERY_DRIVER)
class TestDelivery(OutboxBehaviour):
    async def test_all_are_delivered_once_and_in_order(self):
        await self.send(1, 2)
        await self.send(3)
        self.assertEqual(Delivery(delivered=3), await self.call("deliver", self.see))
        self.assertEqual(NOTHING, await self.call("deliver", self.see))
        self.assertEqual(([1, 2, 3], []), (self.seen, self.place.ask("SELECT id FROM dbkit_outbox")))

    async def test_no_more_than_the_limit_at_once(self):
        await self.send(1, 2, 3)
        self.assertEqual(Delivery(delivered=2), await self.call("deliver", self.see, limit=2))
        self.assertEqual(Delivery(delivered=1), await self.call("deliver", self.see, limit=2))

    async def test_those_that_are_kept_are_marked_and_purged(self):
        kept = self.outbox_of(keeps_delivered=True)
        await self.send(1, 2)
        await self.call("deliver", self.see, limit=1, outbox=kept)
        status = await self.call("status", outbox=kept)
        self.assertEqual((1, 0, 1), (status.waiting, status.set_aside, status.delivered))
        self.assertLess(status.oldest_s, 60)
        self.assertEqual(0, await self.call("purge", older_than_s=3600, outbox=kept))
        self.assertEqual(1, await self.call("purge", outbox=kept))
        self.assertEqual((1, [1]), (len(self.waiting()), self.seen))

    async def test_a_message_that_fails_does_not_stop_the_others(self):
        ids = await self.send(1, 2, 3)

        def some(message):
            if message.payload == 2:
                raise ValueError("a secret")
            self.see(message)

        self.assertEqual(Delivery(delivered=2, failed=1), await self.call("deliver", some))
        self.assertEqual(([1, 3], [ids[1]]), (self.seen, self.waiting()))
        self.assertEqual(["builtins.ValueError"], self.place.ask("SELECT error FROM dbkit_outbox"))
        self.assertIn(f"message {ids[1]} of topic 'topic' failed, attempt 1", self.logs.output)

    async def test_what_a_handler_writes_is_stored_with_the_end_of_the_message(self):
        async def write(message):
            self.session.add(Item(id=message.payload))

        await self.send(1, 2)
        await self.call("deliver", self.handler(write))
        self.assertEqual(([1, 2], []), (self.stored(), self.waiting()))

    async def test_what_a_handler_that_fails_has_written_is_undone(self):
        async def write(message):
            self.session.add(Item(id=message.payload))
            await self.session.flush()
            if message.payload == 2:
                raise ValueError

        await self.send(1, 2, 3)
        self.assertEqual(Delivery(2, 1), await self.call("deliver", self.handler(write)))
        self.assertEqual(([1, 3], 1), (self.stored(), len(self.waiting())))

    async def test_an_error_of_the_database_in_a_handler_is_a_failure_like_any(self):
        self.store(1)

        async def write(message):
            self.session.add(Item(id=message.payload))
            await self.session.flush()

        await self.send(1, 2)
        self.assertEqual(Delivery(1, 1), await self.call("deliver", self.handler(write)))
        self.assertEqual(
            [f"{DBDuplicateEntry.__module__}.DBDuplicateEntry"], self.place.ask("SELECT error FROM dbkit_outbox")
        )


@behaviours(ONE_PER_PRODUCT)
class TestFailures(OutboxBehaviour):
    def be_due(self):
        """Let the time come for all messages."""
        self.place.do("UPDATE dbkit_outbox SET available_at = '2000-01-01 00:00:00.000000'")

    async def test_the_next_attempt_waits_and_the_wait_doubles(self):
        clock = SteeredClock()
        outbox = self.outbox_of(backoff_s=1000, max_backoff_s=3000, clock=clock)
        await self.send(1)
        for wait in (1000, 2000, 3000, 3000):
            self.assertEqual(Delivery(failed=1), await self.call("deliver", fail, outbox=outbox))
            self.assertEqual(NOTHING, await self.call("deliver", self.see, outbox=outbox))
            self.assertIn(f"the next one is due in {wait}.0 s", self.logs.output)
            self.be_due()
        self.assertEqual(Delivery(1), await self.call("deliver", self.see, outbox=outbox))

    async def test_after_the_last_attempt_it_is_set_aside_and_seen(self):
        outbox = self.outbox_of(max_attempts=2)
        (sent,) = await self.send(1)
        self.assertEqual(Delivery(failed=1), await self.call("deliver", fail, outbox=outbox))
        self.assertEqual(Delivery(set_aside=1), await self.call("deliver", fail, outbox=outbox))
        self.assertEqual(NOTHING, await self.call("deliver", fail, outbox=outbox))
        self.assertEqual(Status(0, 1, 0, None), await self.call("status"))
        (message,) = await self.call("set_aside")
        self.assertEqual(
            (sent, 1, 2, "builtins.ValueError"), (message.id, message.payload, message.attempts, message.error)
        )
        self.assertIn("is set aside", self.logs.output)

    async def test_what_was_set_aside_can_be_tried_again(self):
        outbox = self.outbox_of(max_attempts=1)
        first, *_ = await self.send(1, 2, 3)
        await self.call("deliver", fail, outbox=outbox)
        self.assertEqual(1, await self.call("resume", first))
        self.assertEqual(2, await self.call("resume"))
        self.assertEqual(Delivery(3), await self.call("deliver", self.see))

    async def test_the_handler_is_told_of_earlier_attempts_and_the_same_id(self):
        (sent,) = await self.send(1)

        def note(message):
            self.seen.append((message.id, message.attempts))
            raise ValueError

        for _ in range(3):
            await self.call("deliver", note)
        self.assertEqual([(sent, 0), (sent, 1), (sent, 2)], self.seen)

    def losing(self, doom):
        """Return a handler by which the transaction is lost."""

        def handler(message):
            if message.payload == 2:
                self.db.current.physical().connection.condemn(doom)
                raise ValueError
            self.see(message)

        return handler

    async def test_one_by_which_the_transaction_is_lost_is_counted_and_the_others_come_again(self):
        await self.send(1, 2, 3)
        lost = self.losing(DBError(message="lost", outcome=Outcome.ROLLED_BACK))
        self.assertEqual(Delivery(failed=1), await self.call("deliver", lost))
        counts = self.place.ask("SELECT attempts FROM dbkit_outbox ORDER BY id")
        self.assertEqual([0, 1, 0], counts)
        await self.call("deliver", self.see)
        self.assertEqual([1, 1, 2, 3], self.seen)

    async def test_a_loss_that_passes_is_no_fault_of_the_message(self):
        await self.send(1, 2)
        await self.raises(DBConnectionError, self.call, "deliver", self.losing(DBConnectionError(message="lost")))
        self.assertEqual([0, 0], self.place.ask("SELECT attempts FROM dbkit_outbox"))

    async def test_an_interrupt_keeps_what_is_delivered_and_counts_nothing(self):
        def interrupt(message):
            self.see(message)
            if message.payload == 2:
                raise KeyboardInterrupt

        ids = await self.send(1, 2, 3)
        await self.raises(KeyboardInterrupt, self.call, "deliver", interrupt)
        self.assertEqual((ids[1:], [0, 0]), (self.waiting(), self.place.ask("SELECT attempts FROM dbkit_outbox")))

    async def test_an_interrupt_that_loses_the_transaction_is_raised_all_the_same(self):
        def interrupt(message):
            if message.payload == 2:
                self.db.current.physical().connection.condemn(DBError(message="lost", outcome=Outcome.ROLLED_BACK))
                raise KeyboardInterrupt
            self.see(message)

        ids = await self.send(1, 2)
        await self.raises(KeyboardInterrupt, self.call, "deliver", interrupt)
        self.assertEqual(([1], ids), (self.seen, self.waiting()))

    @on(ASYNCIO)
    async def test_a_cancellation_keeps_what_is_delivered(self):
        async def slow(message):
            if message.payload == 2:
                asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)
                await turns(10)
            self.see(message)

        ids = await self.send(1, 2)
        with self.raising(asyncio.CancelledError):
            await asyncio.create_task(self.outbox.adeliver(slow))
        self.assertEqual(([1], [ids[1]]), (self.seen, self.waiting()))

    @on(BLOCKING)
    async def test_a_coroutine_function_is_refused_in_blocking_code(self):
        async def handler(message):
            self.see(message)

        await self.send(1)
        await self.raises(UsageError, self.call, "deliver", handler)
        self.assertEqual(Delivery(failed=1), await self.call("deliver", lambda message: handler(message)))
        self.assertEqual([], self.seen)


@behaviours(ONE_PER_PRODUCT)
class TestDeliverersAtOnce(OutboxBehaviour):
    @on(ONE_PER_PRODUCT & SERVERS)
    async def test_another_one_is_not_kept_waiting_and_gets_other_messages(self):
        async def outer(message):
            self.see(message)
            await self.call("deliver", self.see, limit=1)

        await self.send(1, 2)
        await self.call("deliver", self.handler(outer), limit=1)
        self.assertEqual(([1, 2], []), (self.seen, self.waiting()))

    @on(ONE_PER_PRODUCT & SERVERS)
    async def test_a_sender_does_not_wait_for_a_handler(self):
        async def handler(message):
            async with self.writer.independent():
                await self.call("send", "topic", 2)

        await self.send(1)
        await self.call("deliver", self.handler(handler))
        self.assertEqual(1, len(self.waiting()))

    @on(ONE_PER_PRODUCT & MARIADB)
    async def test_at_repeatable_read_a_sender_would_wait(self):
        # the control: InnoDB locks the gap behind the last message as well
        await self.send(1)
        with self.rival() as rival:
            rival.execute(
                "SELECT id FROM dbkit_outbox WHERE state = 'waiting' ORDER BY id LIMIT 20 FOR UPDATE SKIP LOCKED"
            )
            with self.raising(DBLockTimeout):
                async with self.writer() as session:
                    await session.execute(text("SET SESSION innodb_lock_wait_timeout = 1"))
                    try:
                        await self.call("send", "topic", 2)
                    finally:
                        await session.execute(text("SET SESSION innodb_lock_wait_timeout = DEFAULT"))

    async def test_four_of_them_deliver_each_message_once(self):
        count = 40
        await self.send(*range(count))

        async def deliver():
            while (await self.call("deliver", self.see, limit=3)).delivered:
                pass

        if self.is_asyncio:
            await self.gather(*[deliver] * 4)
        else:
            at_once(4, lambda number: self.colour.run(deliver()))
        await deliver()  # one may have passed over the last, which another had in hand
        self.assertEqual(list(range(count)), sorted(self.seen))

    async def test_deliverers_without_locks_deliver_a_message_twice(self):
        # the control: both look before either has removed it
        await self.send(1)
        for _ in range(2):
            self.seen += self.place.ask("SELECT payload FROM dbkit_outbox WHERE state = 'waiting'")
        self.assertEqual(["1", "1"], self.seen)


@behaviours(ONE_PER_PRODUCT)
class TestRunning(OutboxBehaviour):
    def running(self, rounds, **arguments):
        """Return the arguments of a loop that ends after some sleeps, and its clock."""
        clock = SteeredClock()
        outbox = self.outbox_of(clock=clock, **arguments)
        return {"outbox": outbox, "until": lambda: len(clock.slept) >= rounds}, clock

    async def test_it_delivers_until_it_is_told_to_end(self):
        await self.send(1, 2, 3)
        arguments, clock = self.running(2)
        await self.call("run", self.see, limit=2, poll_s=5.0, **arguments)
        self.assertEqual(([1, 2, 3], [5.0, 5.0]), (self.seen, clock.slept))

    async def test_it_ends_without_a_wait_when_it_is_told_while_it_delivers(self):
        await self.send(1, 2)
        arguments, clock = self.running(1)
        await self.call("run", self.see, limit=1, outbox=arguments["outbox"], until=lambda: self.seen)
        self.assertEqual(([1], []), (self.seen, clock.slept))

    async def test_messages_that_only_fail_do_not_make_it_spin(self):
        await self.send(1, 2)
        arguments, clock = self.running(3)
        await self.call("run", fail, limit=2, poll_s=1.0, **arguments)
        self.assertEqual([1.0, 1.0, 1.0], clock.slept)

    async def test_it_waits_ever_longer_for_a_database_that_is_out_of_reach(self):
        await self.send(1)
        lost = DBConnectionError(message="lost")

        def lose(message):
            self.db.current.physical().connection.condemn(lost)

        arguments, clock = self.running(6)
        await self.call("run", lose, poll_s=4.0, **arguments)
        self.assertEqual([8.0, 16.0, 32.0, 60.0, 60.0, 60.0], clock.slept)
        self.assertIn("the outbox could not be delivered, next attempt in about 8.0 s", self.logs.output)

    async def test_what_does_not_pass_is_raised(self):
        self.place.do("DROP TABLE dbkit_outbox")
        try:
            await self.raises(DBError, self.call, "run", self.see)
        finally:
            await self.call("create_table")
        await self.call("create_table")  # a second time is no error
        self.assertEqual(NOTHING, await self.call("deliver", self.see))
