"""Functions that may be run again, and a wire that is cut: P2, none has taken effect twice.

The control is oslo.db's ``wrap_db_retry`` on the same cut: the number is one too high, and nobody is told.
"""

from __future__ import annotations

import importlib.util

import testtools
from sqlalchemy import text, update

from dbkit.exceptions import CommitUnknown
from dbkit.retry import wrap_db_retry
from dbkit.testing import faults
from dbkit.tests.behaviours.base import behaviours, on
from dbkit.tests.behaviours.combinations import BLOCKING
from dbkit.tests.behaviours.tables import Item
from dbkit.tests.faults.base import DRIVERS, Faulty
from dbkit.tests.steering import SteeredClock

OSLO = frozenset(each for each in DRIVERS & BLOCKING if each.driver in ("pymysql", "psycopg2"))
needs_oslo = testtools.skipUnless(importlib.util.find_spec("oslo_db"), "oslo.db is not installed: pip install oslo.db")


@behaviours(DRIVERS)
class TestCuts(Faulty):
    def setUp(self):
        super().setUp()
        self.store(1)
        self.clock = SteeredClock()
        self.db = self.through(clock=self.clock)
        self.face = self.face_of(self.db)
        self.runs = 0

    async def increment(self):
        self.runs += 1
        await self.session.execute(update(Item).where(Item.id == 1).values(amount=Item.amount + 1))

    @property
    def amount(self):
        return self.place.ask("SELECT amount FROM items")[0]

    async def test_one_before_commit_is_sent_is_survived(self):
        for point in (faults.before("UPDATE"), faults.after("UPDATE")):
            with self.proxy.cut(point) as fault:
                await self.writer.retrying()(self.increment)()
                self.assertEqual(1, fault.fired)
        self.assertEqual((4, 2), (self.runs, self.amount))
        self.assertEqual((0, 2), (self.db.retry_statistics.conflicts, self.db.retry_statistics.overloads))

    async def test_a_reply_to_commit_that_is_lost_is_never_answered_by_another_run(self):
        for point, stored in ((faults.after("COMMIT"), 1), (faults.before("COMMIT"), 1)):
            self.runs = 0
            with self.proxy.cut(point) as fault:
                await self.raises(CommitUnknown, self.writer.retrying(also=[Exception])(self.increment))
                self.assertEqual(1, fault.fired)
            self.assertEqual((1, stored), (self.runs, self.amount))

    async def test_nor_by_the_decorator(self):
        retry = wrap_db_retry(retry_on_disconnect=True, exception_checker=lambda error: True, clock=self.clock)
        work = self.colour.awaitable(retry(self.colour.function(self.writer(self.increment))))
        with self.proxy.cut(faults.after("COMMIT")):
            await self.raises(CommitUnknown, work)
        self.assertEqual((1, 1), (self.runs, self.amount))
        with self.proxy.cut(faults.before("UPDATE")):
            await work()
        self.assertEqual((3, 2), (self.runs, self.amount))

    @on(OSLO)
    @needs_oslo
    async def test_oslo_db_counts_one_twice_and_says_nothing(self):
        from oslo_db import api
        from oslo_db.sqlalchemy import enginefacade

        class Context:
            """What a service passes along."""

        manager = enginefacade.transaction_context()
        manager.configure(connection=self.proxy.through(self.direct).render_as_string(hide_password=False))
        context = enginefacade.transaction_context_provider(Context)()
        self.addCleanup(manager.writer.get_engine().dispose)

        @api.wrap_db_retry(retry_on_disconnect=True, retry_interval=0)
        @manager.writer
        def increment(context):
            self.runs += 1
            context.session.execute(text("UPDATE items SET amount = amount + 1"))

        with self.proxy.cut(faults.after("COMMIT")):
            increment(context)
        self.assertEqual((2, 2), (self.runs, self.amount))
