"""The moment of COMMIT, struck each time on every driver: a hundred times on one driver of each product and colour."""

from __future__ import annotations

from dbkit.exceptions import CommitUnknown, DBConnectionError, DBError, Outcome
from dbkit.testing import faults
from dbkit.tests.behaviours.base import behaviours
from dbkit.tests.behaviours.combinations import ONE_PER_PRODUCT
from dbkit.tests.faults.base import DRIVERS, Faulty

ROUNDS, FEWER = 100, 20


@behaviours(DRIVERS)
class TestCommits(Faulty):
    @property
    def rounds_here(self):
        return ROUNDS if self.combination in ONE_PER_PRODUCT else FEWER

    async def test_after_it_the_row_is_stored_and_the_client_cannot_know(self):
        for reset, rounds in ((True, self.rounds_here), (False, FEWER)):
            every = list(range(rounds))
            with self.proxy.cut(faults.after("COMMIT"), times=None, reset=reset) as fault:
                self.assertEqual(every, await self.rounds(len(every), CommitUnknown))
                self.assertEqual(len(every), fault.fired)
            self.assertEqual(every, self.stored())
            self.place.empty()

    async def test_before_it_nothing_is_stored_and_the_client_cannot_know(self):
        for reset, rounds in ((True, self.rounds_here), (False, FEWER)):
            every = list(range(rounds))
            with self.proxy.cut(faults.before("COMMIT"), times=None, reset=reset) as fault:
                self.assertEqual(every, await self.rounds(len(every), CommitUnknown))
                self.assertEqual(len(every), fault.fired)
            self.assertEqual([], self.stored())

    async def test_without_a_fault_all_are_stored_and_the_client_knows(self):
        every = list(range(self.rounds_here))
        self.assertEqual([], await self.rounds(len(every), DBError))
        self.assertEqual(every, self.stored())
        self.assertEqual(len(every), self.proxy.counts["COMMIT"])

    async def test_a_torn_reply_leaves_the_client_in_doubt_wherever_it_tears(self):
        stored = []
        for number in range(11):  # MySQL's reply has 11 bytes, PostgreSQL's 18
            with self.proxy.cut(faults.during("COMMIT", bytes=number)):
                error = await self.raises(CommitUnknown, self.insert, number)
            self.assertEqual((Outcome.UNKNOWN, False), (error.outcome, error.transient))
            stored.append(number)
            self.assertEqual(stored, self.stored())

    async def test_a_reply_that_was_delivered_whole_is_a_success(self):
        # the control of the torn reply: the connection goes, the answer has come
        with self.proxy.cut(faults.during("COMMIT", bytes=1000), reset=False):
            await self.insert(1)
        self.assertEqual([1], self.stored())

    async def test_a_client_that_is_parted_from_its_commit_finds_nothing_until_it_arrives(self):
        for reset in (True, False):
            with self.proxy.abandon(faults.before("COMMIT"), seconds=1000, reset=reset) as fault:
                await self.raises(CommitUnknown, self.insert, 1)
                self.assertEqual([], self.stored())
                self.assertEqual(1, fault.release())
                self.proxy.wait_for("closed", connection=fault.wait().connection)
            self.assertEqual([1], self.stored())
            self.place.empty()

    async def test_a_client_that_is_parted_from_another_statement_stores_nothing(self):
        with self.proxy.abandon(faults.before("INSERT"), seconds=0) as fault:
            await self.raises(DBConnectionError, self.insert, 1)
            self.proxy.wait_for("closed", connection=fault.wait().connection)
        self.assertEqual([], self.stored())

    async def test_the_next_block_works(self):
        with self.proxy.cut(faults.after("COMMIT")):
            await self.raises(CommitUnknown, self.insert, 1)
        await self.insert(2)
        self.assertEqual([1, 2], self.stored())

    async def test_chance_strikes_the_same_commits_each_time(self):
        struck = []
        for _ in range(2):
            with self.proxy.cut(faults.after("COMMIT"), times=None, probability=0.3, seed=11):
                struck.append(await self.rounds(30, CommitUnknown))
            self.assertEqual(list(range(30)), self.stored())
            self.place.empty()
        self.assertEqual(struck[0], struck[1])
        self.assertTrue(0 < len(struck[0]) < 30)
