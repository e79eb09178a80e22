"""``wrap_db_retry`` on real databases: P3, it steps aside inside a transaction; outside it works in both colours.

The controls do the same with oslo.db, which commits without the outer rows and says nothing.
"""

from __future__ import annotations

import importlib.util

import testtools

import dbkit
from dbkit.exceptions import DBDeadlock, DBError, TransactionDoomed
from dbkit.retry import wrap_db_retry
from dbkit.tests.behaviours.base import behaviours, on
from dbkit.tests.behaviours.colours import wrapped
from dbkit.tests.behaviours.combinations import BLOCKING, EVERY_FACE, MARIADB, SERVERS, Face, Product
from dbkit.tests.behaviours.tables import Audit
from dbkit.tests.behaviours.test_deadlocks import Deadlocking
from dbkit.tests.steering import SteeredClock

PYMYSQL = frozenset(each for each in MARIADB & BLOCKING if each.driver == "pymysql")
needs_oslo = testtools.skipUnless(importlib.util.find_spec("oslo_db"), "oslo.db is not installed: pip install oslo.db")


@behaviours(
    SERVERS | frozenset(each for each in EVERY_FACE if each.face is Face.CONTEXT and each.product is Product.POSTGRESQL)
)
class TestWrapDbRetry(Deadlocking):
    def setUp(self):
        super().setUp()
        self.clock = SteeredClock()
        self.retry = wrap_db_retry(retry_on_deadlock=True, clock=self.clock)

    def retried(self, function):
        """Return a function of the test's colour under the decorator."""
        return self.colour.awaitable(self.retry(self.colour.function(function)))

    async def work(self):
        self.session.add(Audit(id=1))
        await self.session.flush()
        await self.strike(self.session)

    async def test_around_a_function_that_is_the_outermost_block_it_runs_it_again(self):
        await self.retried(self.writer(self.work))()
        self.assertEqual((2, [11, 12], [1]), (self.struck, self.amounts(), self.stored(Audit)))
        self.assertEqual(1, len(self.clock.slept))

    async def test_inside_a_bound_of_time_it_does_too(self):
        with dbkit.within(60):
            await self.retried(self.writer(self.work))()
        self.assertEqual((2, [11, 12], [1]), (self.struck, self.amounts(), self.stored(Audit)))

    async def test_around_a_function_that_opens_a_block_it_does_too(self):
        async def opening():
            async with self.writer() as session:
                await self.strike(session)

        await self.retried(opening)()
        self.assertEqual((2, [11, 12]), (self.struck, self.amounts()))

    def around(self, inner):
        """Return a writer that stores a row and calls another."""

        @self.writer
        async def outer():
            self.session.add(Audit(id=2))
            await self.session.flush()
            await inner()

        return outer

    async def test_around_an_inner_function_it_steps_aside(self):
        outer = self.around(self.retried(self.writer(self.work)))
        await self.raises(DBDeadlock, outer)
        self.assertEqual((1, [0, 0], [], []), (self.struck, self.amounts(), self.stored(Audit), self.clock.slept))

    async def test_around_an_inner_function_whose_error_is_swallowed_too(self):
        inner = self.retried(self.writer(self.work))

        @self.writer
        async def outer():
            self.session.add(Audit(id=2))
            await self.session.flush()
            try:
                await inner()
            except DBError:
                pass

        error = await self.raises(TransactionDoomed, outer)
        self.assertIsInstance(error.__cause__, DBDeadlock)
        self.assertEqual((1, [0, 0], []), (self.struck, self.amounts(), self.stored(Audit)))

    async def test_around_both_only_the_outer_one_is_run_again(self):
        outer = self.around(self.retried(self.writer(self.work)))
        await self.retried(outer)()
        self.assertEqual((2, [11, 12], [1, 2]), (self.struck, self.amounts(), self.stored(Audit)))

    async def test_under_the_writer_it_steps_aside(self):
        await self.raises(DBDeadlock, self.writer(self.retried(self.work)))
        self.assertEqual((1, [0, 0], []), (self.struck, self.amounts(), self.stored(Audit)))

    @on(PYMYSQL)
    @needs_oslo
    async def test_oslo_db_loses_the_outer_rows_and_says_nothing(self):
        from oslo_db import api
        from oslo_db.sqlalchemy import enginefacade

        class Context:
            """What a service passes along."""

        manager = enginefacade.transaction_context()
        manager.configure(connection=self.place.url("pymysql", "mysql").render_as_string(hide_password=False))
        context = enginefacade.transaction_context_provider(Context)()
        self.addCleanup(manager.writer.get_engine().dispose)

        @api.wrap_db_retry(retry_on_deadlock=True, retry_interval=0)
        @manager.writer
        def inner(context):
            self.colour.function(self.strike)(wrapped(context.session))

        @manager.writer
        def outer(context):
            context.session.add(Audit(id=2))
            context.session.flush()
            inner(context)

        outer(context)
        self.assertEqual((2, [11, 12], []), (self.struck, self.amounts(), self.stored(Audit)))
