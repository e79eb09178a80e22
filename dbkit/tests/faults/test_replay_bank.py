"""The bank: transfers between a few accounts, at the same time, over connections that are lost and in deadlocks.

Verified, the total stays and the journal tells each transfer that was acknowledged, once. With the comparison switched
off the same workload corrupts the accounts: that it does so at this seed and size is the control.
"""

from __future__ import annotations

import asyncio
import random
import re
import threading
from functools import partial

from sqlalchemy import select, update

from dbkit.exceptions import DBError, Outcome, ReplayDiverged
from dbkit.testing import faults
from dbkit.tests.behaviours.base import behaviours, on
from dbkit.tests.behaviours.combinations import ONE_PER_PRODUCT
from dbkit.tests.behaviours.tables import Audit, Item
from dbkit.tests.faults.base import DRIVERS
from dbkit.tests.faults.test_replay import Replaying

ACCOUNTS, OPENING = 4, 100
WORKERS, TRANSFERS = 4, 15
STATEMENTS = re.compile("(FROM|UPDATE) items|INTO audits")


@behaviours(DRIVERS)
class TestBank(Replaying):
    def setUp(self):
        super().setUp()
        self.store(*range(ACCOUNTS))
        self.place.do(f"UPDATE items SET amount = {OPENING}")
        self.acknowledged = []
        self.refused = []

    @property
    def patience(self):
        return {}  # who has lost a conflict must really wait for those who have won it

    async def transfer(self, number, source, target, amount):
        """Move an amount: the block is entered again, as a caller would, if it was refused."""
        while True:
            try:
                async with self.writer() as session:
                    balances = [
                        await session.scalar(select(Item.amount).where(Item.id == each).with_for_update())
                        for each in (source, target)
                    ]
                    for each, balance in zip(
                        (source, target), (balances[0] - amount, balances[1] + amount), strict=True
                    ):
                        await session.execute(update(Item).where(Item.id == each).values(amount=balance))
                    session.add(Audit(id=number, text=f"{source} {target} {amount}"))
                break
            except DBError as error:
                assert error.transient and error.outcome in (Outcome.ROLLED_BACK, Outcome.ABORTED), error
                self.refused.append(type(error))
        self.acknowledged.append(number)

    async def work(self, worker):
        chance = random.Random(worker)
        for number in range(TRANSFERS):
            source, target = chance.sample(range(ACCOUNTS), 2)
            await self.transfer(worker * TRANSFERS + number, source, target, chance.randint(1, 20))

    async def run_all(self):
        with (
            self.proxy.cut(faults.before(STATEMENTS), times=None, probability=0.06, seed=3) as before,
            self.proxy.cut(faults.after(STATEMENTS), times=None, probability=0.06, seed=4) as after,
        ):
            if self.is_asyncio:
                await asyncio.gather(*(self.work(worker) for worker in range(WORKERS)))
            else:
                await self.in_threads()
            self.assertGreater(before.fired + after.fired, 10)

    async def in_threads(self):
        threads = [
            threading.Thread(target=partial(self.run_plain, partial(self.work, worker))) for worker in range(WORKERS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def journalled(self):
        """Return the balances that the journal makes of the opening ones."""
        balances = [OPENING] * ACCOUNTS
        for line in self.place.ask("SELECT text FROM audits"):
            source, target, amount = map(int, line.split())
            balances[source] -= amount
            balances[target] += amount
        return balances

    async def test_verified_it_keeps_the_total_and_each_transfer(self):
        await self.run_all()
        numbers = list(range(WORKERS * TRANSFERS))
        self.assertEqual((numbers, numbers), (sorted(self.acknowledged), self.stored(Audit)))
        self.assertEqual(ACCOUNTS * OPENING, sum(self.amounts()))
        self.assertEqual(self.journalled(), self.amounts())
        self.assertGreater(self.counts.replayed, 0)
        self.assertEqual(self.counts.diverged, self.refused.count(ReplayDiverged))

    @on(ONE_PER_PRODUCT & DRIVERS)  # what is corrupted is the server's to decide, not the driver's
    async def test_with_the_comparison_switched_off_it_corrupts_the_accounts(self):
        self.lossy.factory.replays.compare = lambda one, other: True
        await self.run_all()
        self.assertNotEqual(self.journalled(), self.amounts())
