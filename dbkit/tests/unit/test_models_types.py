"""Column types: what they store, what they refuse, and which changes they notice."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import sqlalchemy as sa
import testtools
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from dbkit import filters, models
from dbkit.exceptions import DBDataError, RuleValueMissing

Base = models.new_base()


class Document(Base):
    __tablename__ = "document"
    id: Mapped[int] = mapped_column(primary_key=True)
    plain: Mapped[Any] = mapped_column(models.JsonEncodedDict())
    facts: Mapped[Any] = mapped_column(models.tracked(models.JsonEncodedDict()))
    words: Mapped[Any] = mapped_column(models.tracked(models.JsonEncodedList()))
    native: Mapped[Any] = mapped_column(models.tracked(sa.JSON()), nullable=True)


class Owned(models.ProjectMixin, Base):
    __tablename__ = "owned"
    id: Mapped[int] = mapped_column(primary_key=True)


def bound(type_: Any, value: Any, dialect: Any = None) -> Any:
    return type_.process_bind_param(value, dialect or sqlite.dialect())


class TestJson(testtools.TestCase):
    def test_it_stores_what_oslo_db_stores(self):
        cases = [
            (models.JsonEncodedType(), None, "null"),
            (models.JsonEncodedDict(), None, "{}"),
            (models.JsonEncodedList(), None, "[]"),
            (models.JsonEncodedDict(), {"a": [1]}, '{"a": [1]}'),
            (models.JsonEncodedList(), [1, None], "[1, null]"),
            (models.JsonEncodedType(), "text", '"text"'),
        ]
        self.assertEqual([], [each for each in cases if bound(each[0], each[1]) != each[2]])
        self.assertIsNone(models.JsonEncodedDict().process_result_value(None, sqlite.dialect()))

    def test_what_it_cannot_hold_is_said_without_the_value(self):
        cycle: list[Any] = []
        cycle.append(cycle)
        for type_, value in (
            (models.JsonEncodedDict(), ["secret"]),
            (models.JsonEncodedList(), {"secret": 1}),
            (models.JsonEncodedType(), {"secret": object()}),
            (models.JsonEncodedType(), cycle),
        ):
            error = self.assertRaises(DBDataError, bound, type_, value)
            self.assertNotIn("secret", str(error))
        error = self.assertRaises(
            DBDataError, models.JsonEncodedType().process_result_value, "{secret", sqlite.dialect()
        )
        self.assertNotIn("secret", str(error))

    def test_on_mysql_it_may_be_longer(self):
        def written(type_: Any, dialect: Any) -> str:
            return str(type_.compile(dialect=dialect))

        on_mysql, elsewhere = mysql.dialect(), postgresql.dialect()
        long = models.JsonEncodedDict(mysql_as_long=True)
        self.assertEqual("LONGTEXT", written(long, on_mysql))
        self.assertEqual("MEDIUMTEXT", written(models.JsonEncodedList(mysql_as_medium=True), on_mysql))
        self.assertEqual("TEXT", written(models.JsonEncodedType(), on_mysql))
        self.assertEqual("TEXT", written(long, elsewhere))

    def test_a_bool_marks_as_a_number(self):
        type_ = models.SoftDeleteInteger()
        self.assertEqual([1, 0, 7, None], [bound(type_, each) for each in (True, False, 7, None)])


class TestMoments(testtools.TestCase):
    def test_they_are_stored_in_utc_and_read_with_their_zone(self):
        type_ = models.UtcDateTime()
        there = datetime(2030, 1, 1, 14, tzinfo=timezone(timedelta(hours=2)))
        utc = datetime(2030, 1, 1, 12, tzinfo=UTC)
        self.assertEqual(utc.replace(tzinfo=None), bound(type_, there))
        self.assertEqual(utc, bound(type_, there, postgresql.dialect()))
        for value in (utc.replace(tzinfo=None), there):
            self.assertEqual((utc, UTC), (read := type_.process_result_value(value, None), read.tzinfo)[:2])
        self.assertIsNone(bound(type_, None))
        self.assertRaises(DBDataError, bound, type_, datetime(2030, 1, 1))


class TestTracked(testtools.TestCase):
    START = {"a": 1, "list": [1, {"deep": [3, 1, 2]}], "dict": {"x": {"y": 1}}}

    def changes(self):
        return {
            "set": lambda d: d.__setitem__("b", 2),
            "delete": lambda d: d.__delitem__("a"),
            "pop": lambda d: d.pop("a"),
            "popitem": lambda d: d.popitem(),
            "clear": lambda d: d.clear(),
            "setdefault": lambda d: d.setdefault("new", []).append(1),
            "update": lambda d: d.update({"b": {}}, c=3),
            "or": lambda d: d.__ior__({"b": 2}),
            "nested set": lambda d: d["dict"]["x"].__setitem__("y", 2),
            "append": lambda d: d["list"].append({"z": 1}),
            "deep append": lambda d: d["list"][1]["deep"].append(4),
            "extend": lambda d: d["list"].extend([[1]]),
            "insert": lambda d: d["list"].insert(0, 9),
            "pop of a list": lambda d: d["list"].pop(),
            "remove": lambda d: d["list"].remove(1),
            "clear a list": lambda d: d["list"].clear(),
            "sort": lambda d: d["list"][1]["deep"].sort(reverse=True),
            "reverse": lambda d: d["list"].reverse(),
            "slice": lambda d: d["list"].__setitem__(slice(0, 1), [[5], {"q": 1}]),
            "delete of a list": lambda d: d["list"].__delitem__(0),
            "iadd": lambda d: d["list"].__iadd__([7]),
            "imul": lambda d: d["list"].__imul__(2),
            "put in and changed": lambda d: (d.__setitem__("n", {"m": []}), d["n"]["m"].append(1)),
        }

    def test_every_change_however_deep_is_stored(self):
        wrong = []
        engine = sa.create_engine("sqlite://")
        with engine.connect() as connection, Session(connection) as session:
            Base.metadata.create_all(connection)
            for number, (name, change) in enumerate(self.changes().items(), start=1):
                expected = copy.deepcopy(self.START)
                change(expected)
                for column in ("facts", "native"):
                    key = 2 * number + (column == "native")
                    session.add(Document(id=key, **{column: copy.deepcopy(self.START)}))
                    session.flush()
                    session.expunge_all()
                    for _ in range(2):  # also after the first change was stored
                        document = session.get(Document, key)
                        before = copy.deepcopy(models.tracked and dict(getattr(document, column)))
                        try:
                            change(getattr(document, column))
                        except (KeyError, IndexError, ValueError):
                            continue
                        if getattr(document, column) != before and document not in session.dirty:
                            wrong.append((name, column, "not noticed"))
                        session.flush()
                        session.refresh(document)
                        if _ == 0 and getattr(document, column) != expected:
                            wrong.append((name, column, getattr(document, column)))
                        session.expunge_all()
        self.assertEqual([], wrong)

    def test_without_tracking_a_change_in_place_is_not_noticed(self):
        engine = sa.create_engine("sqlite://")
        with engine.connect() as connection, Session(connection) as session:
            Base.metadata.create_all(connection)
            document = Document(id=1, plain={"a": 1})
            session.add(document)
            session.flush()
            document.plain["a"] = 2
            self.assertNotIn(document, session.dirty)

    def test_one_value_in_two_places_is_two(self):
        one = models.TrackedDict(a=[1])
        two = models.TrackedDict()
        two["b"] = one["a"]
        two["b"].append(2)
        self.assertEqual(([1], [1, 2]), (one["a"], two["b"]))

    def test_it_is_copied_and_pickled_as_its_contents(self):
        value = models.TrackedDict(self.START)
        for made in (pickle.loads(pickle.dumps(value)), copy.deepcopy(value), copy.copy(value)):
            self.assertEqual(self.START, made)
            self.assertIsInstance(made["list"][1]["deep"], models.TrackedList)

    def test_what_changes_unnoticed_is_refused(self):
        self.assertRaises(DBDataError, Document, facts={1, 2})


class TestScoped(testtools.TestCase):
    def test_the_column_is_filled_in_and_looked_at(self):
        engine = sa.create_engine("sqlite://")
        with engine.connect() as connection, Session(connection) as session:
            Base.metadata.create_all(connection)
            with filters.scope(project="p1"):
                session.add(Owned(id=1))
                session.flush()
            self.assertEqual("p1", session.scalar(sa.select(Owned.project_id)))
            session.add(Owned(id=2))
            error = self.assertRaises((RuleValueMissing, sa.exc.StatementError), session.flush)
            self.assertIn(RuleValueMissing.__name__, repr(error) + repr(error.__cause__))
