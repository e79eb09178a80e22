"""P2 for any order of faults: what a call has done is stored once if it returned, and not at all if it raised.

The orders are drawn by seeds, and each failure names its own. The last test lets clients meet for real.
"""

from __future__ import annotations

import asyncio
import random
import threading

from sqlalchemy import text, update

from dbkit.exceptions import DBConnectionError, DBDeadlock, DBError, DBSerializationFailure
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import ONE_PER_PRODUCT, SERVERS, SQLITE_MEMORY, Product
from dbkit.tests.behaviours.tables import Audit, Item
from dbkit.tests.steering import SteeredClock, at_once

SEEDS = 60
TRANSFERS = 15
_PASSING = (DBDeadlock, DBSerializationFailure, DBConnectionError)
_PATIENCE_S = 20


class Mine(Exception):
    """An error of the application."""


class Schedule:
    """Where a call's runs fail."""

    def __init__(self, seed):
        self._chance = random.Random(seed)
        self._faults_left = self._chance.randint(0, 6)

    def strike(self):
        """Perhaps raise something that passes."""
        if self._faults_left and self._chance.random() < 0.4:
            self._faults_left -= 1
            raise self._chance.choice(_PASSING)

    def one_in(self, number):
        return self._chance.randrange(number) == 0


@behaviours(SQLITE_MEMORY | {each for each in ONE_PER_PRODUCT if each.product is Product.POSTGRESQL})
class TestAnyOrderOfFaults(Behaviour):
    def setUp(self):
        super().setUp()
        self.db = self.database(clock=SteeredClock())
        self.face = self.face_of(self.db)

    async def test_an_effect_is_there_once_or_not_at_all(self):
        retried = 0
        for seed in range(SEEDS):
            retried += await self.one(seed)
        self.assertGreater(retried, SEEDS)
        self.assertGreater(self.db.retry_statistics.succeeded_after_retry, SEEDS / 3)

    async def one(self, seed):
        """Make a call under a schedule and look at what it has left; return the runs after the first."""
        self.place.empty()
        schedule, given, hooks, runs = Schedule(seed), [1, 2, 3], [], []
        decorators = [self.writer.retrying(3), self.writer.retrying(0), self.writer]

        async def leaf(numbers):
            schedule.strike()
            self.session.add(Item(id=numbers.pop()))
            if schedule.one_in(2):
                await self.session.flush()
            schedule.strike()

        inner = decorators[seed % 3](leaf)

        async def root(numbers):
            runs.append(list(numbers))
            self.face.after_commit(lambda: hooks.append(1))
            self.session.add(Audit(id=1))
            while numbers:
                length = len(numbers)
                try:
                    await inner(numbers[-1:])
                except DBError as error:
                    if schedule.one_in(2):
                        raise Mine from error
                    raise
                numbers.pop()
                self.assertEqual(length - 1, len(numbers))
            schedule.strike()

        try:
            await self.writer.retrying(3, also=[Mine])(root)(given)
        except (DBError, Mine):
            expected = ([], [], [])
        else:
            expected = ([1, 2, 3], [1], [1])
        self.assertEqual(expected, (self.stored(), self.stored(Audit), hooks), f"seed {seed}")
        self.assertEqual(([1, 2, 3], [[1, 2, 3]] * len(runs)), (given, runs), f"seed {seed}")
        return len(runs) - 1


@behaviours(ONE_PER_PRODUCT & SERVERS)
class TestContention(Behaviour):
    """Two clients that write two rows in opposite orders; the first time each waits until the other has one of them."""

    def setUp(self):
        super().setUp()
        self.store(1, 2)
        self.db = self.database()
        self.face = self.face_of(self.db)
        self.met = set()
        self.barrier = asyncio.Barrier(2) if self.is_asyncio else threading.Barrier(2)

    async def transfer(self, client, number):
        if self.is_on(Product.POSTGRESQL):
            await self.session.execute(text("SET LOCAL deadlock_timeout = '5ms'"))
        self.session.add(Audit(id=client * 100 + number))
        for row in (1, 2) if client else (2, 1):
            await self.session.execute(update(Item).where(Item.id == row).values(amount=Item.amount + 1))
            if client not in self.met:
                self.met.add(client)
                await self.meet()

    async def meet(self):
        if self.is_asyncio:
            await self.barrier.wait()
        else:
            self.barrier.wait(_PATIENCE_S)

    async def both(self, transfer):
        """Let both clients make their transfers; return how many were acknowledged."""

        async def client(number):
            done = 0
            for each in range(TRANSFERS):
                try:
                    await transfer(number, each)
                    done += 1
                except DBDeadlock:
                    pass
            return done

        if self.is_asyncio:
            return sum(await asyncio.gather(client(0), client(1)))
        return sum(at_once(2, lambda number: self.colour.run(client(number))))

    def found(self):
        return self.place.ask("SELECT amount FROM items ORDER BY id"), len(self.stored(Audit))

    async def test_every_transfer_takes_effect_once(self):
        acknowledged = await self.both(self.writer.retrying()(self.transfer))
        self.assertEqual(2 * TRANSFERS, acknowledged)
        self.assertEqual(([acknowledged] * 2, acknowledged), self.found())
        numbers = self.db.retry_statistics
        self.assertGreater(numbers.conflicts, 0)
        self.assertEqual((2 * TRANSFERS, 0), (numbers.calls, numbers.overloads))

    async def test_without_it_some_are_refused(self):
        acknowledged = await self.both(self.writer(self.transfer))
        self.assertLess(acknowledged, 2 * TRANSFERS)
        self.assertEqual(([acknowledged] * 2, acknowledged), self.found())
