"""Who listens to sessions, mappers and objects is told, whatever the fast path could do without them."""

from __future__ import annotations

import logging
from contextlib import contextmanager

import fixtures
import testtools
from sqlalchemy import String, bindparam, event, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Mapper, Session, mapped_column, with_loader_criteria

import dbkit
from dbkit import queries


class Base(DeclarativeBase):
    """Of these tests alone."""


class Leaf(Base):
    __tablename__ = "told_leaves"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(20))


FIND = queries.find(Leaf)
ROWS = queries.rows(select(Leaf).where(Leaf.id >= bindparam("least")))
NAMES = queries.Lookup(select(Leaf.name).where(Leaf.id >= bindparam("least")))


@contextmanager
def listening(target, name, listener):
    event.listen(target, name, listener)
    try:
        yield
    finally:
        event.remove(target, name, listener)


class TestListeners(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.db = dbkit.Database("sqlite://")
        self.addCleanup(self.db.dispose)
        Base.metadata.create_all(self.db.engine)
        with self.db.writer() as session:
            session.add(Leaf(id=1, name="one"))
        self.told = []

    def note(self, *args, **named):
        self.told.append(args)

    def change(self):
        """Find an object and change it; return whether a session was made for it."""

        @self.db.writer
        def changing():
            leaf = FIND.one(self.db, id=1)
            leaf.name = (leaf.name or "") + "x"
            queries.save(self.db, leaf)
            return self.db.current.physical().session is not None

        return changing()

    def test_whatever_a_session_tells_of_reading_and_changing_is_told(self):
        wrong = []
        for target, names in (
            (Session, ("do_orm_execute", "after_begin", "before_flush", "after_flush", "after_flush_postexec")),
            (Session, ("before_commit", "after_commit")),
            (Leaf, ("before_update", "after_update", "load")),
            (Mapper, ("before_update", "after_update", "load")),
        ):
            for name in names:
                self.told.clear()
                with listening(target, name, self.note):
                    made = self.change()
                if not made or not self.told:
                    wrong.append(f"{target.__name__}.{name}: session made: {made}, told {len(self.told)} times")
                if self.change():
                    wrong.append(f"{target.__name__}.{name}: still slow when nobody listens any more")
        self.assertEqual([], wrong)

    def test_a_commit_that_a_session_sends_is_sent_once(self):
        logs = self.useFixture(fixtures.FakeLogger(level=logging.WARNING))

        @self.db.writer
        def read_twice():
            FIND.one(self.db, id=1)
            return self.db.session.get(Leaf, 1).name

        for name in ("before_commit", "after_commit"):
            with listening(Session, name, self.note):
                self.assertEqual("one", read_twice())
        self.assertEqual("", logs.output)
        self.assertEqual(2, len(self.told))

    def test_a_rollback_is_told(self):
        @self.db.writer
        def fail():
            leaf = FIND.one(self.db, id=1)
            leaf.name = "lost"
            queries.save(self.db, leaf)
            raise ZeroDivisionError

        for name in ("after_rollback", "after_soft_rollback"):
            self.told.clear()
            with listening(Session, name, self.note):
                self.assertRaises(ZeroDivisionError, fail)
            self.assertNotEqual([], self.told, name)

    def test_this_session_tells_it_too(self):
        wrong = []
        for name in ("do_orm_execute", "after_begin", "before_flush", "after_flush"):
            with self.db.writer() as session:
                self.told.clear()
                event.listen(session, name, self.note)
                leaf = FIND.one(self.db, id=1)
                leaf.name = (leaf.name or "") + "x"
                queries.save(self.db, leaf)
                if not self.told:
                    wrong.append(name)
        self.assertEqual([], wrong)

    def test_criteria_that_a_listener_adds_count_in_each_form(self):
        def hide(state):
            state.statement = state.statement.options(with_loader_criteria(Leaf, Leaf.name != "one"))

        forms = (
            lambda: FIND.all(self.db, id=1),
            lambda: ROWS.all(self.db, least=0),
            lambda: list(ROWS.stream(self.db, least=0)),
            lambda: NAMES.all(self.db, least=0),
        )
        with self.db.reader():
            self.assertEqual([1, 1, 1, 1], [len(form()) for form in forms])
        with listening(Session, "do_orm_execute", hide), self.db.reader():
            self.assertEqual([0, 0, 0, 0], [len(form()) for form in forms])
        with self.db.reader() as session:
            event.listen(session, "do_orm_execute", hide)
            self.assertEqual([0, 0, 0, 0], [len(form()) for form in forms])

    def test_what_a_listener_makes_of_an_object_is_seen_in_rows(self):
        def rename(leaf, context):
            leaf.__dict__["name"] = "renamed"

        with listening(Leaf, "load", rename), self.db.reader():
            self.assertEqual(["renamed"], [each.name for each in ROWS.all(self.db, least=0)])
            self.assertEqual(["renamed"], [each.name for each in ROWS.stream(self.db, least=0)])
