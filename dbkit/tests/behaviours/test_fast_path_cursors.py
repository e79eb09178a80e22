"""A connection keeps a cursor for the fast path where its driver takes long to make one."""

from __future__ import annotations

import gc

from sqlalchemy import bindparam, func, select, text

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
        """Return the cursor that the only connection keeps, while no block is open."""
        (idle, _) = self.only.engine.pool._idle[0]
        made_by, cursor = idle.cursor
        self.assertIs(made_by, None if cursor is None else idle.dbapi_connection)
        return cursor

    def look(self, lookup, **values):
        with self.only.writer():
            return lookup.all(self.only, **values)

    def test_it_serves_one_statement_after_the_other(self):
        self.assertEqual([(2,)], self.look(ONE, number=2))
        cursor = self.kept()
        self.assertIsNotNone(cursor)
        self.assertEqual([(3,)], self.look(ONE, number=3))
        self.assertEqual([], self.look(ONE, number=9))
        with self.only.writer() as session:
            item = BY_ID.one(session, id=1)
            item.name = "changed"
            queries.save(session, item)
        self.assertIs(cursor, self.kept())
        self.assertEqual([("changed",)], self.look(queries.Lookup(select(Item.name).where(Item.id == 1))))

    def test_it_holds_no_more_than_a_row(self):
        self.look(ONE, number=2)
        self.assertEqual([(1,), (2,), (3,)], self.look(SOME, least=0))
        self.assertIsNone(self.kept())
        self.look(ONE, number=2)
        self.assertIsNotNone(self.kept())

    def test_it_goes_with_a_statement_that_failed(self):
        self.look(ONE, number=2)
        self.assertRaises(DBError, self.look, WRONG, x=1)
        self.assertIsNone(self.kept())
        self.assertEqual([(2,)], self.look(ONE, number=2))

    def test_it_goes_with_its_connection(self):
        self.look(ONE, number=2)
        first = self.kept()
        with self.only.writer() as session:
            session.execute(text("SELECT 1"))
            (record,) = self.only.engine.pool._in_use
        record.invalidate()
        self.assertEqual([(2,)], self.look(ONE, number=2))
        self.assertIsNot(first, self.kept())

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
