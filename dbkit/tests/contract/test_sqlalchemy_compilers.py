"""What the filters take for granted of SQLAlchemy's compilers and statements, held against the installed one."""

from __future__ import annotations

import inspect

import sqlalchemy
import testtools
from sqlalchemy import (
    DDL,
    Column,
    ColumnDefault,
    Integer,
    MetaData,
    Table,
    column,
    create_engine,
    delete,
    insert,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import Session, registry
from sqlalchemy.sql.compiler import DDLCompiler, SQLCompiler
from sqlalchemy.sql.selectable import FromGrouping, Join

from dbkit.engines.variant import CHANGING
from dbkit.filters.compiler import Filtering, FilteringDDL

ITEM = Table("compiled_item", MetaData(), Column("id", Integer, primary_key=True))


class Noting:
    """Notes which of the methods that the filters replace SQLAlchemy calls."""

    def __init__(self, *args, **kw):
        self.calls = []
        super().__init__(*args, **kw)


def _noted(name):
    def method(self, *args, **kw):
        self.calls.append(name)
        return getattr(super(Noting, self), name)(*args, **kw)

    return method


SELECTING = (
    "_compose_select_body",
    "visit_select",
    "visit_textclause",
    "visit_textual_select",
    "escape_literal_column",
    "get_statement_hint_text",
    "visit_custom_op_binary",
)
WRITING = ("visit_update", "visit_delete", "visit_insert")
CONFLICTING = ("visit_on_conflict_do_update", "visit_on_duplicate_key_update")
for _name in (*SELECTING, *WRITING, *CONFLICTING):
    setattr(Noting, _name, _noted(_name))


class TestCompilers(testtools.TestCase):
    def calls(self, statement, dialect=sqlite):
        found = dialect.dialect()
        found.statement_compiler = type("Noting", (Noting, found.statement_compiler), {})
        return statement.compile(dialect=found).calls

    def test_the_body_of_a_select_is_given_by_position(self):
        parameters = list(inspect.signature(SQLCompiler._compose_select_body).parameters)
        ours = list(inspect.signature(Filtering._compose_select_body).parameters)
        self.assertEqual(parameters, ours)

    def test_each_method_that_is_replaced_is_called(self):
        called = {
            *self.calls(
                select(ITEM, literal_column("1"))
                .where(text("1 = 1"), ITEM.c.id.op("=")(1))
                .with_statement_hint("/* x */")
            ),
            *self.calls(select(text("SELECT 1 AS id").columns(column("id")).subquery())),
            *self.calls(update(ITEM).values(id=1)),
            *self.calls(delete(ITEM)),
            *self.calls(insert(ITEM).values(id=1)),
            *self.calls(sqlite.insert(ITEM).values(id=1).on_conflict_do_update(set_={"id": 2})),
            *self.calls(mysql.insert(ITEM).values(id=1).on_duplicate_key_update(id=2), mysql),
        }
        self.assertEqual({*SELECTING, *WRITING, *CONFLICTING}, called)

    def test_each_is_replaced_by_the_filters(self):
        self.assertEqual([], [name for name in (*SELECTING, *WRITING, *CONFLICTING) if name not in vars(Filtering)])

    def test_text_of_ddl_is_written_by_one_method(self):
        self.assertEqual("SELECT 1", str(DDL("SELECT 1").compile(dialect=sqlite.dialect())))
        self.assertIn("visit_ddl", vars(DDLCompiler))
        self.assertIn("visit_ddl", vars(FilteringDDL))

    def test_postgresql_calls_the_same_for_conflicts(self):
        statement = postgresql.insert(ITEM).values(id=1).on_conflict_do_update(index_elements=["id"], set_={"id": 2})
        self.assertIn("visit_on_conflict_do_update", self.calls(statement, postgresql))

    def test_statements_have_what_is_carried_over(self):
        statement = delete(ITEM).where(ITEM.c.id == 1).returning(ITEM.c.id)
        for name in (
            "_where_criteria", "_returning", "_return_defaults", "_return_defaults_columns", "_supplemental_returning",
            "_prefixes", "_hints", "_independent_ctes", "_with_options", "_execution_options", "_propagate_attrs",
        ):  # fmt: skip
            self.assertTrue(hasattr(statement, name), name)
        ordered = update(ITEM).ordered_values((ITEM.c.id, 1))
        given = ordered._values or dict(ordered._ordered_values)  # the latter in 2.0 only
        self.assertEqual([ITEM.c.id], list(given))
        self.assertTrue(hasattr(ITEM, "_deannotate"))
        self.assertIs(ITEM, ITEM._annotate({"x": 1})._deannotate())

    def test_a_compile_state_tells_the_further_tables(self):
        other = ITEM.alias()
        statement = update(ITEM).values(id=1).where(ITEM.c.id == other.c.id)
        compiler = SQLCompiler(sqlite.dialect(), None)
        state = statement._compile_state_factory(statement, compiler)
        self.assertEqual([other], state._extra_froms)
        self.assertIsNotNone(state.statement)

    def test_conflicts_keep_their_conditions_under_these_names(self):
        statement = sqlite.insert(ITEM).values(id=1).on_conflict_do_update(set_={"id": 2}, where=ITEM.c.id > 1)
        self.assertIsNotNone(statement._post_values_clause.update_whereclause)
        statement = mysql.insert(ITEM).values(id=1).on_duplicate_key_update(id=2)
        self.assertEqual(["id"], list(statement._post_values_clause.update))
        self.assertIsNone(statement._post_values_clause._parameter_ordering)

    def test_the_orms_statements_have_classes_of_these_names(self):
        for statement in (update(ITEM), delete(ITEM)):
            name = type(statement).__name__
            self.assertEqual(f"Annotated{name}", type(statement._annotate({"x": 1})).__name__)
            self.assertLessEqual({name, f"Annotated{name}"}, CHANGING)

    def test_template_strings_are_written_by_this_method(self):
        if not sqlalchemy.__version__.startswith("2.0"):
            self.assertTrue(hasattr(SQLCompiler, "visit_tstring"))

    def test_a_column_is_given_a_default_by_this_method(self):
        item = Column("x", Integer)
        ColumnDefault(1)._set_parent_with_dispatch(item)
        self.assertEqual(1, item.default.arg)

    def test_the_orm_tells_how_it_sees_to_its_own_objects(self):
        told = []

        class Recording(Connection):
            def execute(self, statement, parameters=None, *, execution_options=None):
                told.append(execution_options["_sa_orm_update_options"]._synchronize_session)
                return super().execute(statement, parameters, execution_options=execution_options)

        class Mapped:
            pass

        registry().map_imperatively(Mapped, ITEM)
        engine = create_engine("sqlite://")
        ITEM.metadata.create_all(engine)
        with Recording(engine) as connection, Session(connection) as session:
            for how in ("evaluate", False):
                session.execute(delete(Mapped), execution_options={"synchronize_session": how})
        self.assertEqual(["evaluate", False], told)

    def test_a_join_of_joins_is_grouped(self):
        a, b, c = ITEM.alias(), ITEM.alias(), ITEM.alias()
        joined = a.outerjoin(b.join(c, b.c.id == c.c.id), a.c.id == b.c.id)
        self.assertIsInstance(joined.right, FromGrouping)
        self.assertIsInstance(joined.right.element, Join)


class TestSending(testtools.TestCase):
    """What is looked at between a statement's compilation and its way to the driver."""

    def test_the_context_is_asked_once_with_all_rows_when_the_statement_is_compiled(self):
        engine = create_engine("sqlite://")
        self.addCleanup(engine.dispose)
        asked = []
        engine.dialect.execution_ctx_cls = type(
            "Noted",
            (engine.dialect.execution_ctx_cls,),
            {"pre_exec": lambda each: asked.append((each.compiled, each.compiled_parameters))},
        )
        with engine.connect() as connection:
            ITEM.create(connection)
            asked.clear()
            connection.execute(insert(ITEM), [{"id": 1}, {"id": 2}])
        ((compiled, parameters),) = asked
        self.assertEqual([{"id": 1}, {"id": 2}], parameters)
        self.assertEqual(["id"], list(compiled.bind_names.values()))
        self.assertTrue(all(each in each._cloned_set for each in compiled.bind_names))
        self.assertTrue(callable(DefaultExecutionContext.pre_exec))

    def test_a_statement_tells_what_it_inserts_and_updates(self):
        compiler = SQLCompiler(sqlite.dialect(), None)
        copied = insert(ITEM).from_select(["id"], select(ITEM.c.id))
        state = copied._compile_state_factory(copied, compiler)
        self.assertEqual(["id"], state.statement._select_names)
        self.assertTrue(state.statement.include_insert_from_select_defaults)
        self.assertEqual([ITEM.c.id], list(state.statement.select._raw_columns))
        several = insert(ITEM).values([{"id": 1}, {"id": 2}])
        state = several._compile_state_factory(several, compiler)
        self.assertTrue(state._has_multi_parameters)
        self.assertEqual(2, len(state._multi_parameters))
        one = update(ITEM).values(id=1)
        state = one._compile_state_factory(one, compiler)
        self.assertEqual(1, next(iter(state._dict_parameters.values())).value)
        self.assertEqual([], list(state._extra_froms))
