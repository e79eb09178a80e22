"""A connection keeps a cursor for the fast path where its driver takes long to make one."""

from __future__ import annotations

import datetime
import gc

from sqlalchemy import Date, DateTime, Interval, Text, bindparam, cast, func, literal_column, select, text

from dbkit import queries
from dbkit.exceptions import DBError
from dbkit.spec import Colour
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import EVERY_DRIVER
from dbkit.tests.behaviours.tables import Item

ONE = queries.Lookup(select(Item.id).where(Item.id == bindparam("number")))
SOME = queries.Lookup(select(Item.id).where(Item.id >= bindparam("least")).order_by(Item.id))
WRONG = queries.Lookup(select(func.no_such_function(bindparam("x"))))
BY_ID = queries.find(Item)


@behaviours(each for each in EVERY_DRIVER if each.driver == "psycopg" and each.colour is Colour.BLOCKING)
class TestKeptCursors(Behaviour):
    def setUp(self):
        super().setUp()
        self.only = self.database(max_pool_size=1, max_overflow=0)
        with self.only.writer() as session:
            session.add_all([Item(id=number) for number in (1, 2, 3)])

    def kept(self):
        """Return the cursors that the only connection keeps, while no block is open."""
        (idle, _) = self.only.engine.pool._idle[0]
        for each in idle.kept.values():
            self.assertIs(each.native, idle.dbapi_connection)
        return [each.cursor for each in idle.kept.values()]

    def look(self, lookup, **values):
        with self.only.writer():
            return lookup.all(self.only, **values)

    def test_it_serves_one_statement_after_the_other(self):
        self.assertEqual([(2,)], self.look(ONE, number=2))
        (cursor,) = self.kept()
        self.assertEqual([(3,)], self.look(ONE, number=3))
        self.assertEqual([], self.look(ONE, number=9))
        self.assertEqual([cursor], self.kept())
        with self.only.writer() as session:
            item = BY_ID.one(session, id=1)
            item.name = "changed"
            queries.save(session, item)
        self.assertEqual(3, len(self.kept()))  # one for each statement
        self.assertEqual([("changed",)], self.look(queries.Lookup(select(Item.name).where(Item.id == 1))))

    def test_it_holds_no_more_than_a_row(self):
        self.look(ONE, number=2)
        self.assertEqual([(1,), (2,), (3,)], self.look(SOME, least=0))
        self.assertEqual([], [each for each in self.kept() if each.rowcount > 1])

    def test_it_holds_neither_rows_nor_values(self):
        self.look(queries.Lookup(select(func.repeat("x", bindparam("times")))), times=1000)
        with self.only.writer() as session:
            item = BY_ID.one(session, id=1)
            item.name = "changed"
            queries.save(session, item)
        for cursor in self.kept():
            self.assertIsNone(cursor.pgresult)
            self.assertEqual((None, []), (cursor._query, cursor._results))
        self.assertEqual(3, len(self.kept()))

    def test_those_that_were_used_last_are_kept(self):
        lookups = [
            queries.Lookup(select(Item.id + literal_column(str(number))).where(Item.id == 1)) for number in range(30)
        ]
        for each in lookups:
            self.look(each)
        kept = self.kept()
        self.assertEqual(20, len(kept))
        self.assertEqual([(11,)], self.look(lookups[10]))
        self.assertEqual([(1,)], self.look(lookups[0]))
        self.assertEqual([kept[0], kept[-1]], [self.kept()[-2], self.kept()[-3]])

    def test_what_the_session_says_of_times_and_letters_counts_at_once(self):
        lookup = queries.Lookup(
            select(
                cast("2020-01-02 03:04:05+00", DateTime(timezone=True)),
                cast("1 day 02:03:04", Interval()),
                cast("2020-02-01", Date()),
                cast("\u00e9", Text()),
            )
        )
        settings = (
            "SET TIME ZONE 'UTC'",
            "SET TIME ZONE 'Asia/Kolkata'",
            "SET datestyle = 'ISO, DMY'",
            "SET client_encoding = 'LATIN1'",
            "RESET ALL",
        )
        moment = datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
        for setting in settings:
            with self.only.writer.connection() as connection:
                connection.execute(text(setting))
                plain = connection.execute(lookup.statement).one()
                ((found, *others),) = lookup.all(self.only)
                self.assertEqual((moment, *plain[1:]), (found, *others))
                self.assertEqual(plain[0].utcoffset(), found.utcoffset(), setting)
            self.assertEqual(plain, lookup.one(self.only.writer))

    def test_it_goes_with_a_statement_that_failed(self):
        self.look(ONE, number=2)
        self.assertRaises(DBError, self.look, WRONG, x=1)
        self.assertEqual(1, len(self.kept()))
        self.assertEqual([(2,)], self.look(ONE, number=2))

    def test_it_goes_with_its_connection(self):
        self.look(ONE, number=2)
        (first,) = self.kept()
        with self.only.writer() as session:
            session.execute(text("SELECT 1"))
            (record,) = self.only.engine.pool._in_use
        record.invalidate()
        self.assertEqual([(2,)], self.look(ONE, number=2))
        self.assertNotIn(first, self.kept())

    def test_a_detached_connection_keeps_none(self):
        with self.only.writer() as session:
            self.assertEqual([(1,)], ONE.all(session, number=1))
            session.connection().detach()
            self.assertEqual([(2,)], ONE.all(session, number=2))
            item = BY_ID.one(session, id=3)
            item.name = "kept"
            queries.save(session, item)
        gc.collect()
        self.assertEqual(["kept"], self.place.ask("SELECT name FROM items WHERE id = 3"))
