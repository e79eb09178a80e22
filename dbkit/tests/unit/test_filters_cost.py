"""What the rules may cost: counts of calls and of compilations, which are the same at every run."""

from __future__ import annotations

import cProfile
import gc
import pstats

import testtools
from sqlalchemy import Column, Integer, MetaData, Table, event, select, update
from sqlalchemy.orm import registry

import dbkit
from dbkit import filters
from dbkit.filters.compiler import Filtering
from dbkit.spec import Colour
from dbkit.tests.leaks.family import family
from dbkit.tests.leaks.looking import scope_of

M = family("key")
TENANTS = family("tenant")
FREE = Table("cost_free", MetaData(), Column("id", Integer, primary_key=True), Column("number", Integer))


class Free:
    pass


registry().map_imperatively(Free, FREE)


def calls(function, times=50):
    """Return how many calls a function takes, once it has been called some times."""
    for _ in range(5):
        function()
    profile = cProfile.Profile()
    gc.disable()  # what it calls meanwhile would be counted
    try:
        profile.enable()
        for _ in range(times):
            function()
        profile.disable()
    finally:
        gc.enable()
    return pstats.Stats(profile).total_calls / times


class TestCost(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.db = dbkit.Database("sqlite://")
        self.addCleanup(self.db.dispose)
        with self.db.writer.connection.without(TENANTS.rule)() as connection:
            for models in (M, TENANTS):
                models.Base.metadata.create_all(connection)
                for table, rows in models.rows.items():
                    connection.execute(table.insert(), rows)
            FREE.metadata.create_all(connection)
            connection.execute(FREE.insert(), [{"id": 1, "number": 0}])

    def read(self, model, manager=None):
        def once():
            with (manager or self.db.reader)() as session:
                session.scalars(select(model).where(model.id == 1)).one()

        return calls(once)

    def test_a_guarded_row_costs_at_most_a_twentieth_more_than_with_the_rule_switched_off(self):
        for models in (M, TENANTS):
            with scope_of(models):
                guarded = self.statement(models, self.db.reader)
                off = self.statement(models, self.db.reader.without(models.rule))
            self.assertLessEqual(guarded, off * 1.05, models.flavour)

    def statement(self, models, manager):
        """Return the calls of one statement in a block that is open."""
        with manager() as session:
            return calls(lambda: session.scalars(select(models.Owner).where(models.Owner.id == 1)).one())

    def test_a_block_with_a_rule_switched_off_costs_little_more_than_a_plain_one(self):
        off = self.db.reader.without(M.rule)
        # the dialect is looked up, and the name: a call or two each
        self.assertLessEqual(self.read(M.Owner, off), self.read(M.Owner) + 15)
        # inside another block, what is loaded is looked at when the rule counts again
        self.assertLessEqual(self.joined(off), self.joined(self.db.reader) + 55)

    def joined(self, manager):
        def once():
            with self.db.writer(), manager():
                pass

        return calls(once)

    def test_an_unguarded_row_costs_what_it_costs_without_the_compiler(self):
        with_it = self.read(Free)
        update_with_it = self.written()
        lane = self.db.factory.engines(Colour.BLOCKING)
        for each in (lane.writer, lane.reader):
            dialect = each.engine.dialect
            dialect.statement_compiler = next(
                cls for cls in dialect.statement_compiler.__mro__ if not issubclass(cls, Filtering)
            )
        # less than a call each time
        self.assertLess(abs(with_it - self.read(Free)), 1)
        self.assertLess(abs(update_with_it - self.written()), 1)

    def test_many_rows_cost_no_more_because_somebody_asks_whose_they_are(self):
        def stored(manager, number):
            rows = [{"id": n, "name": "x", "mark": "mine"} for n in range(number)]
            statement = TENANTS.Pet.__table__.insert().prefix_with("OR IGNORE")
            with manager.connection() as connection:
                return calls(lambda: connection.execute(statement, rows), 10)

        off = self.db.writer.without(TENANTS.rule)
        with scope_of(TENANTS):
            for number in (10, 500):
                # what is looked at once for all of them
                self.assertLess(stored(self.db.writer, number) - stored(off, number), 15)

    def written(self):
        def once():
            with self.db.writer() as session:
                session.execute(update(FREE).values(number=FREE.c.number + 1))

        return calls(once)

    def test_a_statement_is_compiled_once_for_all_values(self):
        compiled = []

        def note(connection, cursor, statement, parameters, context, many):
            compiled.append((context.compiled, parameters))

        engine = self.db.factory.engines(Colour.BLOCKING).writer.engine
        event.listen(engine, "before_cursor_execute", note)
        for tenant in ("mine", "theirs", "mine"):
            with filters.scope(**{TENANTS.rule: tenant}), self.db.writer() as session:
                session.scalars(select(TENANTS.Owner.id)).all()
        self.assertEqual(1, len({id(each) for each, _ in compiled}))
        self.assertEqual([("mine",), ("theirs",), ("mine",)], [parameters for _, parameters in compiled])
