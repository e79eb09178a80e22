"""Effects are bound to the outcome: hooks and messages under COMMITs that are cut, before and after they arrive."""

from __future__ import annotations

import re

from sqlalchemy import text

from dbkit.exceptions import CommitUnknown, DBConnectionError
from dbkit.testing import faults
from dbkit.tests.behaviours.base import behaviours
from dbkit.tests.behaviours.outboxes import OutboxBehaviour
from dbkit.tests.behaviours.tables import Item
from dbkit.tests.faults.base import DRIVERS, Faulty
from dbkit.tokens import create_token_table

ROUNDS = 25
ALL = list(range(ROUNDS))

# Where COMMIT is cut, and whether the row of a block whose COMMIT was cut is stored.
CUTS = ((faults.before("COMMIT"), False), (faults.after("COMMIT"), True))


class Effects(OutboxBehaviour, Faulty):
    """Blocks behind the proxy that write a row each, with hooks and a message."""

    def setUp(self):
        super().setUp()
        self.rows = self.through()
        self.face = self.face_of(self.rows)
        self.outbox = self.outbox_of(self.rows)
        self.committed, self.rolled_back, self.unknown, self.published = [], [], [], []

    async def write(self, number):
        """Write a row and a message, and let hooks tell how it ended."""
        async with self.writer() as session:
            session.add(Item(id=number))
            await self.call("send", "rows", number)
            await session.flush()
            self.published.append(number)  # the naive sender: inside the block
            self.face.after_commit(lambda: self.committed.append(number))
            self.face.after_rollback(lambda: self.rolled_back.append(number))
            self.face.after_unknown(lambda token: self.unknown.append(number))

    async def strike(self, cut):
        """Write all rows, one by one, while COMMITs are cut by chance; return the numbers of those that were."""
        failed = []
        with self.proxy.cut(cut, times=None, probability=0.3, seed=5):
            for number in ALL:
                try:
                    await self.write(number)
                except CommitUnknown:
                    failed.append(number)
        self.assertTrue(0 < len(failed) < ROUNDS)
        return failed

    def reset(self):
        self.place.empty()
        self.place.do("DELETE FROM dbkit_outbox")
        for each in (self.committed, self.rolled_back, self.unknown):
            each.clear()

    def sent(self):
        """Return what the messages in the table are about."""
        return [int(each) for each in self.place.ask("SELECT payload FROM dbkit_outbox ORDER BY id")]


@behaviours(DRIVERS)
class TestHooksAndMessages(Effects):
    async def test_hooks_tell_of_each_block_once_and_the_truth(self):
        for cut, is_stored in CUTS:
            failed = await self.strike(cut)
            whole = [number for number in ALL if number not in failed]
            self.assertEqual((whole, [], failed), (self.committed, self.rolled_back, self.unknown))
            self.assertEqual(ALL if is_stored else whole, self.stored())
            self.reset()

    async def test_there_is_a_message_for_each_row_and_for_no_other(self):
        for cut, _ in CUTS:
            await self.strike(cut)
            self.assertEqual(self.stored(), self.sent())
            self.reset()

    async def test_who_publishes_inside_the_block_publishes_what_is_not_stored(self):
        # the control
        await self.strike(faults.before("COMMIT"))
        self.assertEqual(ALL, self.published)
        self.assertLess(len(self.stored()), len(self.published))

    async def test_who_publishes_in_a_hook_alone_misses_what_is_stored(self):
        # the control: where nothing decides what became of the COMMIT, the hook cannot run
        await self.strike(faults.after("COMMIT"))
        self.assertEqual(ALL, self.stored())
        self.assertLess(len(self.committed), ROUNDS)


@behaviours(DRIVERS)
class TestWhereCommitsAreDecided(Effects):
    """With a commit fence no block is left in doubt: hooks, rows and acknowledgements are the same."""

    def through(self, **settings):
        return super().through(exactly_once=True, **settings)

    def setUp(self):
        super().setUp()
        with self.place.observer.connect() as connection:
            create_token_table(connection)

    async def test_hooks_run_exactly_as_often_as_commits(self):
        for cut, is_stored in CUTS:
            lost = []
            with self.proxy.cut(cut, times=None, probability=0.3, seed=5) as fault:
                for number in ALL:
                    try:
                        await self.write(number)
                    except DBConnectionError:
                        lost.append(number)
                self.assertTrue(fault.fired)
            whole = [number for number in ALL if number not in lost]
            self.assertEqual(is_stored, not lost)
            self.assertEqual((whole, lost, []), (self.committed, self.rolled_back, self.unknown))
            self.assertEqual((whole, whole), (self.stored(), self.sent()))
            self.reset()

    async def test_a_function_that_may_be_run_again_is_when_its_commit_has_not_arrived(self):
        self.rows = self.through(db_retry_interval=0)
        self.outbox = self.outbox_of(self.rows)
        self.face = self.face_of(self.rows)

        async def work():
            self.session.add(Item(id=1))
            await self.call("send", "rows", 1)
            self.face.after_commit(lambda: self.committed.append(1))
            self.face.after_rollback(lambda: self.rolled_back.append(1))

        retried = self.colour.awaitable(self.rows.writer.retrying()(self.colour.function(work)))
        for cut, runs_lost in ((CUTS[0][0], [1]), (CUTS[1][0], [])):
            with self.proxy.cut(cut):
                await retried()
            self.assertEqual(([1], runs_lost, [1], [1]), (self.committed, self.rolled_back, self.stored(), self.sent()))
            self.reset()

    async def test_a_block_that_stays_in_doubt_gives_its_hook_the_token(self):
        self.rows = self.through(commit_fence_timeout=0.2)
        self.face = self.face_of(self.rows)
        self.outbox = self.outbox_of(self.rows)
        await self.write(0)
        tokens = []
        with self.raising(CommitUnknown) as caught:
            async with self.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                self.face.after_unknown(tokens.append)
                fault = self.proxy.cut(faults.after("COMMIT"))
                self.proxy.refuse()
        self.proxy.accept()
        self.assertEqual(1, fault.remove())
        self.assertEqual([caught.error.token], tokens)
        self.assertIsNotNone(tokens[0])


@behaviours(DRIVERS)
class TestWhereBlocksAreRepeated(Effects):
    """With a replay the block goes on: what it has sent, and what it has registered, is there once."""

    def through(self, **settings):
        return super().through(replay=True, **settings)

    async def test_a_message_is_stored_once_and_a_hook_runs_once(self):
        await self.write(0)
        with self.proxy.cut(faults.before(re.compile("AS probe"))):
            async with self.writer() as session:
                session.add(Item(id=1))
                await self.call("send", "rows", 1)
                self.face.after_commit(lambda: self.committed.append(1))
                self.face.after_rollback(lambda: self.rolled_back.append(1))
                await session.execute(text("SELECT 1 AS probe"))
        self.assertEqual(([0, 1], []), (self.committed, self.rolled_back))
        self.assertEqual(([0, 1], [0, 1]), (self.stored(), self.sent()))
        handed = []
        await self.call("deliver", lambda message: handed.append(message.payload))
        self.assertEqual([0, 1], handed)


@behaviours(DRIVERS)
class TestDeliveries(Effects):
    async def deliver(self, rounds, handed):
        """Deliver for some rounds, and note the ids in the order in which they are handed over."""
        for _ in range(rounds):
            try:
                await self.call("deliver", lambda message: handed.append(message.id), limit=3)
            except CommitUnknown:
                pass

    async def test_a_message_comes_again_under_the_same_id_until_its_end_is_stored(self):
        async with self.face_of(self.db).writer():
            ids = await self.call("send_all", "rows", ALL, outbox=self.outbox_of(self.db))
        handed = []
        for cut, _ in CUTS:
            with self.proxy.cut(cut, times=3):
                await self.deliver(5, handed)
        await self.deliver(ROUNDS // 3, handed)
        self.assertEqual([], self.waiting())
        self.assertEqual(ids, list(dict.fromkeys(handed)))  # a consumer that remembers ids sees each once, in order
        self.assertGreater(len(handed), len(ids))  # and one that does not, doubles
