"""Only the block ends its transaction, and what it was given is stored or refused, never forgotten."""

from __future__ import annotations

import testtools
from sqlalchemy import Integer, event, insert, select
from sqlalchemy.orm import DeclarativeBase, mapped_column

from dbkit import Database
from dbkit.exceptions import TransactionDoomed, TransactionManaged


class Base(DeclarativeBase):
    pass


class Row(Base):
    __tablename__ = "rows"
    id = mapped_column(Integer, primary_key=True)


class Trail(Base):
    __tablename__ = "trails"
    id = mapped_column(Integer, primary_key=True)


class TestOnlyTheBlockEnds(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.db = Database("sqlite://")
        Base.metadata.create_all(self.db.engine)

    def stored(self, model):
        with self.db.reader() as session:
            return list(session.scalars(select(model.id)))

    def test_what_a_flush_listener_adds_is_stored_too(self):
        def add_trail(session, context):
            if any(isinstance(each, Row) for each in session.new):
                session.add(Trail(id=1))

        with self.db.writer() as session:
            event.listen(session, "after_flush", add_trail)
            session.add(Row(id=1))
        self.assertEqual(([1], [1]), (self.stored(Row), self.stored(Trail)))

    def commit_inside(self):
        with self.db.writer.connection() as connection, connection.begin():
            connection.execute(insert(Row).values(id=1))

    def test_a_begin_of_ones_own_commits_nothing(self):
        self.assertRaises(TransactionManaged, self.commit_inside)
        self.assertEqual([], self.stored(Row))

    def test_the_isolation_level_is_not_an_option_of_the_connection(self):
        with self.db.writer.connection() as connection:
            self.assertRaises(TransactionManaged, connection.execution_options, isolation_level="AUTOCOMMIT")

    def add_in_a_reader_that_fails(self):
        with self.db.writer():
            try:
                with self.db.reader() as session:
                    session.add(Row(id=1))
                    raise LookupError
            except LookupError:
                pass

    def test_what_a_failed_reader_added_is_never_stored(self):
        self.assertRaises(TransactionDoomed, self.add_in_a_reader_that_fails)
        self.assertEqual([], self.stored(Row))
