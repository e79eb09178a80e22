"""Helpers for migrations, where no server is needed: dispatching, URLs, and what SQLite's memory can show."""

from __future__ import annotations

import inspect
import itertools
import random
import uuid
import warnings
from urllib.parse import urlparse

import sqlalchemy as sa
import testtools
from oslo_db.sqlalchemy import utils as original
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column

import dbkit
from dbkit import models, queries, schema
from dbkit.exceptions import InvalidURL, SchemaMismatch, UsageError
from dbkit.schema.facts import parsed

URLS = (
    "mysql://", "mysql+pymysql://u@h/d", "mariadb+pymysql://", "postgresql+psycopg://", "postgresql://", "sqlite://",
)  # fmt: skip
EXPRESSIONS = ("*", "mysql", "mysql+pymysql", "mysql+mysqldb", "postgresql", "*+psycopg", "sqlite+pysqlite")


def dispatcher(dispatch, expressions, called, multiple):
    found = None
    for expression in expressions:

        def body(target, *args, expression=expression):
            called.append(expression)
            return None if multiple else expression

        found = dispatch(expression, multiple)(body) if found is None else found.dispatch_for(expression)(body)
    return found


class TestDispatching(testtools.TestCase):
    def outcome(self, dispatch, expressions, url, multiple):
        called = []
        try:
            dispatcher(dispatch, expressions, called, multiple)(url)
        except ValueError:
            called.append(ValueError)
        return called

    def test_it_chooses_as_oslo_db_does_but_for_mariadb(self):
        differing = set()
        for multiple, count in itertools.product((False, True), (1, 2, 3)):
            for expressions in itertools.combinations(EXPRESSIONS, count):
                for url in URLS:
                    ours = self.outcome(schema.dispatch_for_dialect, expressions, url, multiple)
                    theirs = self.outcome(original.dispatch_for_dialect, expressions, url, multiple)
                    if ours != theirs:
                        differing.add(url)
                        as_mysql = url.replace("mariadb", "mysql")
                        self.assertEqual(
                            self.outcome(original.dispatch_for_dialect, expressions, as_mysql, multiple),
                            ours,
                            expressions,
                        )
        self.assertEqual({"mariadb+pymysql://"}, differing)

    def test_a_body_for_mariadb_comes_before_mysqls(self):
        called = []
        found = dispatcher(schema.dispatch_for_dialect, ("mysql", "mariadb", "*"), called, True)
        found("mariadb+pymysql://")
        self.assertEqual(["mariadb", "mysql", "*"], called)

    def test_what_may_not_be_is_refused(self):
        self.assertRaises(ValueError, schema.dispatch_for_dialect, "mysql+")
        once = schema.dispatch_for_dialect("mysql")(lambda target: 1)
        self.assertRaises(TypeError, once.dispatch_for("mysql"), lambda target: 2)
        self.assertRaises(ValueError, once, 5)
        self.assertRaises(ValueError, once)
        several = schema.dispatch_for_dialect("*", multiple=True)(lambda target: 1)
        self.assertRaises(TypeError, several, "sqlite://")

    def test_one_body_stands_for_several_and_is_called_by_name(self):
        @schema.dispatch_for_dialect("*")
        def body(target):
            return "any"

        @body.dispatch_for("mysql")
        @body.dispatch_for("sqlite+pysqlite")
        def both(target):
            return "both"

        self.assertEqual(["both", "both", "any"], [body(each) for each in ("mysql", "sqlite", "postgresql")])
        self.assertEqual("any", body.dispatch_on_drivername("*")("sqlite://"))
        self.assertEqual("both", body.dispatch_on_drivername("sqlite+pysqlite")(object()))


class TestPerDialect(testtools.TestCase):
    def make(self):
        @schema.per_dialect("*")
        def size(target: object, unit: int = 1) -> str:
            """Say it."""
            return "any"

        @size.on("mysql", "postgresql+psycopg")
        def served(target: object, unit: int = 1) -> str:
            return f"served {unit}"

        return size, served

    def test_the_most_specific_body_is_called(self):
        size, served = self.make()
        engine = sa.create_engine("sqlite://")
        self.addCleanup(engine.dispose)
        with engine.connect() as connection, Session(engine) as session:
            for target in (engine, connection, session, engine.dialect, engine.url, "sqlite", "postgresql+psycopg2://"):
                self.assertEqual("any", size(target), target)
        self.assertEqual("served 2", size("mariadb+pymysql://", unit=2))
        self.assertEqual("served 1", size(target="postgresql+psycopg://u@h/d"))
        self.assertEqual(("size", "Say it."), (size.__name__, size.__doc__))
        self.assertIs(served, size.body_for("mysql"))
        self.assertEqual("served 1", served("sqlite"))  # a body is still a function of its own

    def test_what_would_never_be_called_is_refused_early(self):
        size, _ = self.make()
        for name, words in (
            ("postgres", "did you mean 'postgresql'?"),
            ("mysql+pymysqll", "no dialect"),
            ("a b", "names no"),
        ):
            error = self.assertRaises(UsageError, size.on, name)
            self.assertIn(words, str(error))
        self.assertIn("already", str(self.assertRaises(UsageError, size.on("mysql"), print)))
        self.assertRaises(UsageError, size.on)

    def test_no_body_is_an_error_that_says_what_there_is(self):
        only = schema.per_dialect("postgresql")(lambda target: 1)
        error = self.assertRaises(UsageError, only, "sqlite://")
        self.assertIn("only for postgresql", str(error))
        self.assertRaises(UsageError, only, 5)


class TestUrls(testtools.TestCase):
    def test_they_are_hidden_as_oslo_db_does(self):
        for url in (
            "mysql://root:secret@localhost/db?charset=utf8", "postgresql+psycopg://u:p@h:5/d", "sqlite://", "sqlite:///a.db",
            "mysql://localhost/db", "no url",
        ):  # fmt: skip
            self.assertEqual(original.sanitize_db_url(url), schema.sanitize_db_url(url))

    def test_what_oslo_db_shows_is_hidden(self):
        for url in (
            "mysql://u:se@cret@h/d",
            "postgresql://u@h/d?password=secret",
            "postgresql://u:x@h/d?password=secret",
        ):
            shown = schema.sanitize_db_url(url)
            self.assertNotIn("cret", shown)
            self.assertIn("h/d", shown)
        self.assertEqual("mysql://****:****@h/d", schema.sanitize_db_url(sa.make_url("mysql://u:p@h/d")))

    def test_parts_are_those_of_oslo_db(self):
        for url in ("mysql://u:p@h/d", "mysql://u@h:3306/d", "postgresql://a:b@[::1]:5/d"):
            pieces = urlparse(url)
            expected = original.get_db_connection_info(pieces)
            self.assertEqual(
                [expected] * 3, [schema.get_db_connection_info(each) for each in (pieces, url, sa.make_url(url))]
            )

    def test_what_was_escaped_is_not_and_what_lacks_is_empty(self):
        self.assertEqual(("u", "p@:", "d", "h"), schema.get_db_connection_info("mysql://u:p%40%3A@h/d"))
        self.assertEqual(("", "", "a.db", ""), schema.get_db_connection_info(urlparse("sqlite:///a.db")))
        self.assertRaises(UsageError, schema.get_db_connection_info, 5)

    def test_a_url_is_read_from_what_is_connected(self):
        engine = sa.create_engine("sqlite:///:memory:")
        self.addCleanup(engine.dispose)
        with engine.connect() as connection, Session(engine) as session:
            for each in (engine, connection, session, engine.url, "sqlite:///:memory:"):
                self.assertEqual(engine.url, schema.make_url(each))
        self.assertRaises(UsageError, schema.make_url, 5)
        error = self.assertRaises(InvalidURL, schema.make_url, "secret://u:hunter2@h:port")
        self.assertNotIn("hunter2", str(error))


class TestNames(testtools.TestCase):
    def test_all_of_oslo_dbs_functions_are_there_with_their_parameters(self):
        for name, function in vars(original).items():
            if inspect.isfunction(function) and function.__module__ == original.__name__ and not name.startswith("_"):
                ours = getattr(schema, name, None) or getattr(queries, name)
                theirs = inspect.signature(function).parameters.values()
                mine = list(inspect.signature(ours).parameters.values())[: len(theirs)]
                self.assertEqual(
                    [(each.name, each.kind, each.default) for each in theirs],
                    [(each.name, each.kind, each.default) for each in mine],
                    name,
                )


class TestTexts(testtools.TestCase):
    def test_the_parts_of_an_index_are_read_from_its_text(self):
        for text, expected in (
            ("CREATE INDEX i ON t (a)", (["a"], None)),
            ('create unique index "i(x" on "t(,)" ("a,b", lower( c ),d DESC) where a = \')(\'', (
                ['"a,b"', "lower( c )", "d DESC"], "a = ')('",
            )),
            ("CREATE INDEX i ON [t)] (coalesce(a, 'x,''y'), b -- (c\n) WHERE\n b > 1", (
                ["coalesce(a, 'x,''y')", "b -- (c"], "b > 1",
            )),
            ("", ([], None)),
        ):  # fmt: skip
            self.assertEqual(expected, parsed(text), text)


class SchemaBase(DeclarativeBase):
    pass


class Thing(SchemaBase):
    __tablename__ = "things"
    id = mapped_column(sa.Integer, primary_key=True)


class TestPlaces(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
        self.addCleanup(self.engine.dispose)

    def test_an_attached_file_is_a_schema(self):
        with self.engine.connect() as connection:
            connection.exec_driver_sql("ATTACH ':memory:' AS \"the Other\"")
            connection.exec_driver_sql('CREATE TABLE "the Other".t (id INTEGER PRIMARY KEY, a TEXT)')
            schema.create_index(
                connection,
                "t",
                "ix",
                lambda t: sa.func.lower(t.c.a),
                condition=lambda t: t.c.id > 0,
                schema="the Other",
            )
            found = schema.describe_indexes(connection, "t", schema="the Other")
            self.assertEqual(
                [("ix", ("lower(a)",), "id > 0")], [(each.name, each.parts, each.condition) for each in found]
            )
            schema.change_index_columns(connection, "t", "ix", ["a"], schema="the Other")
            self.assertTrue(schema.index_exists(connection, "t", "ix", schema="the Other"))
            self.assertRaises(SchemaMismatch, schema.index_exists, connection, "t", "ix")

    def test_a_table_is_named_in_three_ways(self):
        SchemaBase.metadata.create_all(self.engine)
        for each in ("things", Thing, Thing.__table__):
            self.assertTrue(schema.table_exists(self.engine, each))
        self.assertRaises(UsageError, schema.table_exists, self.engine, 5)

    def test_where_is_an_engine_a_connection_or_a_session(self):
        from sqlalchemy.ext.asyncio import create_async_engine

        database = dbkit.Database("sqlite://")
        self.addCleanup(database.dispose)
        for wrong, words in (
            (create_async_engine("sqlite+aiosqlite://"), "run_sync"),
            (database, "pass its .engine"),
            (5, "class int"),
        ):
            self.assertIn(words, str(self.assertRaises(UsageError, schema.table_exists, wrong, "t")))
        with Session(self.engine) as session:
            self.assertFalse(schema.table_exists(session, "t"))

    def test_the_inspector_of_sqlite_does_not_see_what_we_see(self):
        with self.engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")
            connection.exec_driver_sql("CREATE INDEX ix ON t (lower(a))")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sa.exc.SAWarning)
            self.assertFalse(original.index_exists(self.engine, "t", "ix"))
        self.assertTrue(schema.index_exists(self.engine, "t", "ix"))


class TestDuplicates(testtools.TestCase):
    """Brute force in SQLite's memory, against the answer worked out by hand."""

    def test_the_rows_that_stay_are_the_right_ones(self):
        engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
        self.addCleanup(engine.dispose)
        chance = random.Random(4)
        table = sa.Table(
            "t", sa.MetaData(),
            sa.Column("a", sa.Integer, primary_key=True), sa.Column("b", sa.Integer, primary_key=True),
            sa.Column("x", sa.Integer), sa.Column("y", sa.Integer), sa.Column("flag", sa.Boolean),
            sa.Column("deleted_at", sa.DateTime),
        )  # fmt: skip
        table.create(engine)
        flag = schema.SoftDelete("flag", mark="flag", moment=None)
        for nulls, keep, marks, batch in itertools.product(
            ("differ", "equal"), ("largest", "smallest"), (None, flag), (2, 500)
        ):
            keys = chance.sample(list(itertools.product(range(6), repeat=2)), 20)
            rows = [
                (
                    a,
                    b,
                    chance.choice((None, 1, 2)),
                    chance.choice((None, 1)),
                    marks is not None and chance.random() < 0.3,
                )
                for a, b in keys
            ]
            with engine.begin() as connection:
                connection.execute(table.delete())
                names = ("a", "b", "x", "y", "flag")
                connection.execute(table.insert(), [dict(zip(names, row, strict=True)) for row in rows])
            best = max if keep == "largest" else min
            groups = {}
            for a, b, x, y, gone in rows:
                if not gone and (nulls == "equal" or None not in (x, y)):
                    groups.setdefault((x, y), []).append((a, b))
            lost = {key for group in groups.values() for key in group if key != best(group)}
            expected = {(a, b) for a, b, _, _, gone in rows if not gone} - lost
            counted = schema.count_duplicates(engine, "t", "x", "y", nulls=nulls, alive=marks)
            done = schema.delete_duplicates(
                engine, "t", "x", "y", nulls=nulls, keep=keep, soft_delete=marks, batch=batch
            )
            with engine.connect() as connection:
                query = sa.select(table.c.a, table.c.b)
                if marks is not None:
                    query = query.where(table.c.flag == sa.false())
                left = {tuple(row) for row in connection.execute(query)}
            case = (nulls, keep, marks, batch)
            self.assertEqual((expected, len(lost), len(lost), 0), (left, done.rows, counted, done.skipped), case)

    def test_flavours_of_soft_delete_mark_as_models_do(self):
        engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
        self.addCleanup(engine.dispose)
        table = sa.Table(
            "t", sa.MetaData(),
            sa.Column("id", sa.String(9), primary_key=True), sa.Column("x", sa.Integer),
            sa.Column("deleted", sa.String(9), server_default=""), sa.Column("deleted_at", sa.DateTime),
            sa.Column("updated_at", sa.DateTime),
        )  # fmt: skip
        table.create(engine)
        for marks in (schema.SoftDelete(), schema.SoftDelete("time")):
            with engine.begin() as connection:
                connection.execute(table.delete())
                connection.execute(table.insert(), [{"id": each, "x": 1} for each in "ab"])
            self.assertEqual(1, schema.delete_duplicates(engine, "t", "x", soft_delete=marks).rows)
            self.assertEqual(0, schema.delete_duplicates(engine, "t", "x", soft_delete=marks).rows)
            with engine.connect() as connection:
                rows = connection.execute(sa.select(table).order_by(table.c.id)).all()
            self.assertEqual(["a" if marks.flavour == "key" else "", ""], [row.deleted for row in rows])
            self.assertEqual([False, True, None], [row.deleted_at is None for row in rows] + [rows[0].updated_at])

    def test_the_nil_uuid_of_models_is_a_living_rows_mark(self):
        engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
        self.addCleanup(engine.dispose)

        class Marked(models.SoftDeleteMixin, models.new_base()):
            __tablename__ = "t"
            id = mapped_column(sa.Uuid, primary_key=True, default=uuid.uuid4)
            x = mapped_column(sa.Integer)

        Marked.__table__.create(engine)
        with Session(engine) as session, session.begin():
            session.add_all([Marked(x=1) for _ in range(3)])
        self.assertEqual(2, schema.delete_duplicates(engine, "t", "x", soft_delete=schema.SoftDelete()).rows)
        with Session(engine) as session:
            found = session.scalars(sa.select(Marked)).all()
        self.assertEqual(2, len([each for each in found if each.deleted == each.id]))
        schema.change_deleted_column_type_to_boolean(engine, "t")
        schema.change_deleted_column_type_to_id_type(engine, "t")
        with Session(engine) as session:
            again = {each.id: each.deleted for each in session.scalars(sa.select(Marked))}
        self.assertEqual({each.id: each.deleted for each in found}, again)

    def test_a_table_without_a_primary_key_is_refused(self):
        engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
        self.addCleanup(engine.dispose)
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE t (x INTEGER)")
        error = self.assertRaises(SchemaMismatch, schema.delete_duplicates, engine, "t", "x")
        self.assertIn("no primary key", str(error))
        self.assertEqual(0, schema.count_duplicates(engine, "t", "x"))
