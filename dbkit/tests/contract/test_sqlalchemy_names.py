"""What dbkit takes for granted of SQLAlchemy's insides, held against the one that is installed.

A name that has gone, a parameter that has changed or a call that is no longer made is told here by name, not by a
transaction somewhere that behaves oddly.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import sqlalchemy
import testtools
from sqlalchemy import bindparam, create_engine, desc, event, func, join, over, select, text
from sqlalchemy.dialects.mysql.base import MySQLDialect
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.dialects.sqlite.base import SQLiteDialect, SQLiteExecutionContext
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.event.attr import _EmptyListener
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine
from sqlalchemy.orm import Session, contains_eager
from sqlalchemy.orm.attributes import instance_state as object_state
from sqlalchemy.pool import Pool, QueuePool
from sqlalchemy.pool.base import _ConnectionFairy, _finalize_fairy, reset_rollback
from sqlalchemy.sql.expression import Join, TextClause
from sqlalchemy.sql.selectable import FromGrouping

from dbkit.engines import connection as connection_module
from dbkit.engines import pool as pool_module
from dbkit.engines.connection import TrackedConnection
from dbkit.engines.doomable import DoomableConnection
from dbkit.engines.guarded import GuardedConnection
from dbkit.engines.lease import Lease
from dbkit.engines.pool import BoundedPool
from dbkit.engines.renewal import RenewableConnection
from dbkit.tests.behaviours.shops import Order
from dbkit.tests.behaviours.tables import Item
from dbkit.transaction import session as session_module
from dbkit.transaction.session import BlockSession

# Methods of SQLAlchemy's that dbkit's classes replace, public ones included.
OVERRIDDEN = {
    (TrackedConnection, Connection): (
        "_begin_impl", "_commit_impl", "_revalidate_connection", "_rollback_impl", "_run_ddl_visitor", "begin_nested",
        "close", "commit", "exec_driver_sql", "execute", "execution_options", "in_transaction", "invalidate",
        "rollback", "scalar",
    ),
    (DoomableConnection, Connection): ("_release_savepoint_impl", "_rollback_to_savepoint_impl"),
    (RenewableConnection, Connection): ("_begin_impl",),
    (GuardedConnection, Connection): ("_begin_impl", "_commit_impl"),
    (BlockSession, Session): (
        "_autoflush", "begin", "close", "commit", "delete", "flush", "refresh", "reset", "rollback",
    ),
    (Lease, _ConnectionFairy): ("_close_special",),
    (BoundedPool, Pool): ("_do_get", "_do_return_conn", "dispose", "recreate"),
}  # fmt: skip


class Recording(Connection):
    """A Connection that notes which of its inner methods SQLAlchemy calls."""

    def __init__(self, engine):
        super().__init__(engine)
        self.calls = []

    def _begin_impl(self, transaction):
        self.calls.append("_begin_impl")
        super()._begin_impl(transaction)

    def _commit_impl(self):
        self.calls.append("_commit_impl")
        super()._commit_impl()

    def _rollback_impl(self):
        self.calls.append("_rollback_impl")
        super()._rollback_impl()

    def _rollback_to_savepoint_impl(self, name):
        self.calls.append("_rollback_to_savepoint_impl")
        super()._rollback_to_savepoint_impl(name)

    def _release_savepoint_impl(self, name):
        self.calls.append("_release_savepoint_impl")
        super()._release_savepoint_impl(name)

    def _revalidate_connection(self):
        self.calls.append("_revalidate_connection")
        return super()._revalidate_connection()


class TestOverriddenMethods(testtools.TestCase):
    def parameters(self, function):
        """Return the kinds of a method's parameters, and the names of those that can be given by name."""
        parameters = inspect.signature(function).parameters.values()
        return [(each.kind, each.name if each.kind is each.KEYWORD_ONLY else None) for each in parameters]

    def test_each_takes_what_sqlalchemys_takes(self):
        for (ours, theirs), names in OVERRIDDEN.items():
            for name in names:
                self.assertTrue(hasattr(theirs, name), f"{theirs.__name__}.{name} has gone")
                self.assertIn(name, vars(ours))
                expected, found = (self.parameters(getattr(each, name)) for each in (theirs, ours))
                self.assertEqual(expected, found, f"{theirs.__name__}.{name}")

    def test_none_of_ours_is_missing_in_the_list(self):
        for (ours, theirs), names in OVERRIDDEN.items():
            both = {each for each in vars(ours) if inspect.isfunction(vars(ours)[each]) and hasattr(theirs, each)}
            self.assertEqual(set(names), both - {"__init__", "get_bind", "checkedin", "checkedout", "size", "status"})


class TestExecutionContexts(testtools.TestCase):
    """What a replay reads from SQLAlchemy's execution contexts, and gives them."""

    def test_a_cursor_is_made_by_a_method_that_can_be_replaced(self):
        made = []

        class Context(SQLiteExecutionContext):
            def create_default_cursor(self):
                made.append(self.root_connection)
                return super().create_default_cursor()

        engine = create_engine("sqlite://")
        engine.dialect.execution_ctx_cls = Context
        with engine.connect() as connection:
            context = connection.execute(text("SELECT 1")).context
            self.assertEqual([connection], made)
        self.assertIs(False, context._is_server_side)

    def test_each_dialect_says_whether_its_cursors_tell_generated_numbers(self):
        self.assertEqual((True, False), (MySQLDialect().postfetch_lastrowid, PGDialect().postfetch_lastrowid))


class TestPrivateNames(testtools.TestCase):
    """Every private name that dbkit reads from an object of SQLAlchemy's exists there."""

    def taken(self, module, cls):
        """Return the private names that a class of ours uses of ``self`` and does not make itself."""
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        (node,) = [each for each in ast.walk(tree) if isinstance(each, ast.ClassDef) and each.name == cls.__name__]
        used, made = set(), set(vars(cls))
        for each in ast.walk(node):
            if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == "self":
                (made if isinstance(each.ctx, ast.Store) else used).add(each.attr)
        return {name for name in used - made if name.startswith("_") and not name.startswith("__")}

    def test_connections_have_them(self):
        engine = create_engine("sqlite://")
        with engine.connect() as connection:
            missing = [
                name
                for name in self.taken(connection_module, TrackedConnection) - set(vars(DoomableConnection))
                if not hasattr(connection, name)
            ]
            self.assertEqual([], missing)
            for name in ("_dbapi_connection", "_transaction", "_handle_dbapi_exception", "_has_events"):
                self.assertTrue(hasattr(connection, name), name)

    def test_sessions_have_them(self):
        session = Session()
        self.assertEqual([], [name for name in self.taken(session_module, BlockSession) if not hasattr(session, name)])
        self.assertTrue(hasattr(session.identity_map, "_modified"))

    def test_what_goes_past_the_unit_of_work_finds_its_state(self):
        """See ``dbkit/queries``: straight, objects, save."""
        session = Session()
        for name in ("_new", "_deleted", "_nested_transaction"):
            self.assertTrue(hasattr(session, name), name)
        self.assertTrue(hasattr(session.identity_map, "_dict"))
        state = object_state(Item(id=1))
        for name in ("committed_state", "expired_attributes", "session_id", "key", "modified", "_strong_obj", "class_"):
            self.assertTrue(hasattr(state, name), name)
        self.assertTrue(hasattr(state.manager, "_state_constructor"))
        self.assertIs(_EmptyListener, type(state.mapper.dispatch.after_update))
        compiled = select(Item).where(Item.id == bindparam("id")).compile(dialect=SQLiteDialect())
        for name in (
            "bind_names", "_bind_processors", "positional", "positiontup", "escaped_bind_names",
            "literal_execute_params", "post_compile_params", "_result_columns",
        ):  # fmt: skip
            self.assertTrue(hasattr(compiled, name), name)

    def test_selects_tell_what_their_pages_depend_on(self):
        """See ``dbkit/queries/pagination``: refusals, sources, pages."""
        bare = select(Item.id)
        self.assertEqual(
            [(), (), None, None, None, False, ()],
            [
                bare._order_by_clauses, bare._group_by_clauses, bare._limit_clause, bare._offset_clause,
                bare._fetch_clause, bare._distinct, bare._having_criteria,
            ],
        )  # fmt: skip
        self.assertEqual((), bare._distinct_on)
        full = bare.group_by(Item.amount).having(Item.amount > 1).order_by(Item.id).limit(1).offset(2).distinct()
        self.assertEqual((1, 1, 1), tuple(map(len, (
            full._order_by_clauses, full._group_by_clauses, full._having_criteria
        ))))  # fmt: skip
        self.assertIs(True, full._distinct)
        self.assertEqual([1, 2], [full._limit_clause.value, full._offset_clause.value])
        self.assertIsNotNone(bare.fetch(1)._fetch_clause)
        nested = join(Item, join(Item, Item, Item.id == Item.id), Item.id == Item.id).right
        self.assertIsInstance(nested, FromGrouping)
        self.assertIsInstance(nested.element, Join)
        (option,) = select(Order).options(contains_eager(Order.lines))._with_options
        (element,) = option.context
        self.assertIn("eager_from_alias", element.local_opts)
        self.assertTrue(any(getattr(each, "uselist", False) for each in element.path))
        compiled = select(Item).where(Item.id.in_([1])).compile()
        self.assertEqual([True], [compiled.binds[name].expanding for name in compiled.params])
        names = [func.rollup(Item.id), Item.id.desc(), over(func.count()), desc("x").element, select(Item.id)]
        self.assertEqual(
            ["rollup", "unary", "over", "textual_label_reference", "select"],
            [getattr(each, "name", each.__visit_name__) for each in names],
        )

    def test_pools_have_them(self):
        pool = create_engine("sqlite://", poolclass=QueuePool).pool
        missing = [name for name in self.taken(pool_module, BoundedPool) if not hasattr(pool, name)]
        self.assertEqual([], missing)
        self.assertTrue(hasattr(pool, "_is_asyncio"))
        record = pool.connect()._connection_record
        for name in ("fairy_ref", "dbapi_connection", "invalidate", "close", "info"):
            self.assertTrue(hasattr(record, name), name)

    def test_the_proxy_of_a_pool_is_made_of_what_a_lease_fills_in(self):
        pool = create_engine("sqlite://", poolclass=QueuePool).pool
        proxy = pool.connect()
        for name in ("_pool", "_counter", "dbapi_connection", "_connection_record", "_echo"):
            self.assertTrue(hasattr(proxy, name), name)
            self.assertIn(name, _ConnectionFairy.__slots__)
        known = {"_pool", "_counter", "dbapi_connection", "_connection_record", "_echo", "_finalizer"}
        self.assertEqual(set(), set(_ConnectionFairy.__slots__) - known - {"__weakref__", "__dict__", "pool"})
        record = proxy._connection_record
        for name in ("_soft_invalidate_time", "starttime", "finalize_callback", "fairy_ref"):
            self.assertTrue(hasattr(record, name), name)
        self.assertIs(reset_rollback, pool._reset_on_return)
        self.assertIs(proxy, record.fairy_ref())
        self.assertIs(_EmptyListener, type(pool.dispatch.checkin))
        self.assertTrue(hasattr(pool.dispatch.checkin, "parent_listeners"))
        names = list(inspect.signature(_finalize_fairy).parameters)
        expected = ["ref", "echo"] if sqlalchemy.__version__.startswith("2.0.") else ["echo"]
        self.assertEqual(["dbapi_connection", "connection_record", "pool", *expected, "transaction_was_reset"],
                         names[: 4 + len(expected)])  # fmt: skip

    def test_engines_tell_whether_someone_listens(self):
        engine = create_engine("sqlite://")
        self.assertIs(False, engine._has_events)
        self.assertIs(False, Connection._has_events)
        event.listen(engine, "begin", lambda connection: None)
        self.assertIs(True, engine._has_events)

    def test_the_third_argument_of_a_connection_is_whether_someone_listens(self):
        self.assertEqual(
            ["self", "engine", "connection", "_has_events"], list(inspect.signature(Connection.__init__).parameters)[:4]
        )

    def test_errors_are_handled_by_one_method_with_five_arguments(self):
        parameters = list(inspect.signature(Connection._handle_dbapi_exception).parameters)
        self.assertEqual(["self", "e", "statement", "parameters", "cursor", "context"], parameters[:6])


class TestCalls(testtools.TestCase):
    """The inner methods are called where dbkit steps in."""

    def setUp(self):
        super().setUp()
        self.engine = create_engine("sqlite://")
        self.connection = Recording(self.engine)
        self.addCleanup(self.connection.close)
        self.calls = self.connection.calls

    def test_the_first_statement_begins_and_commit_commits(self):
        self.connection.execute(text("SELECT 1"))
        self.connection.commit()
        self.assertEqual(["_begin_impl", "_commit_impl"], self.calls)

    def test_a_rollback_rolls_back(self):
        self.connection.execute(text("SELECT 1"))
        self.connection.rollback()
        self.assertEqual(["_begin_impl", "_rollback_impl"], self.calls)

    def test_a_savepoint_is_released_or_rolled_back_to(self):
        with self.connection.begin_nested():
            self.connection.execute(text("SELECT 1"))
        self.connection.begin_nested().rollback()
        self.assertEqual(["_begin_impl", "_release_savepoint_impl", "_rollback_to_savepoint_impl"], self.calls)

    def test_a_connection_without_a_driver_connection_asks_for_one(self):
        fairy, self.connection._dbapi_connection = self.connection._dbapi_connection, None
        self.addCleanup(fairy.close)
        self.assertIsNotNone(self.connection.connection)
        self.assertEqual(["_revalidate_connection"], self.calls)

    def test_a_session_ends_the_connections_transaction_by_the_same_methods(self):
        session = Session(self.connection, join_transaction_mode="control_fully")
        self.connection.execute(text("SELECT 1"))
        session.execute(text("SELECT 1"))
        session.commit()
        self.assertEqual(["_begin_impl", "_commit_impl"], self.calls)
        session.execute(text("SELECT 1"))
        session.rollback()
        self.assertEqual(["_begin_impl", "_rollback_impl"], self.calls[2:])

    def test_a_commit_that_fails_is_not_rolled_back_by_sqlalchemy(self):
        # dbkit does it; when SQLAlchemy does, TrackedConnection.end_with_rollback may lose a line
        def fail():
            raise RuntimeError("COMMIT")

        self.connection.execute(text("SELECT 1"))
        self.connection._commit_impl = fail
        transaction = self.connection.get_transaction()
        self.assertRaises(RuntimeError, transaction.commit)
        transaction.rollback()
        self.assertNotIn("_rollback_impl", self.calls)

    def test_a_connection_given_back_by_close_special_is_not_reset_again(self):
        resets = []
        engine = create_engine("sqlite://", poolclass=QueuePool)
        event.listen(engine, "reset", lambda connection, record, state: resets.append(state.transaction_was_reset))
        fairy = engine.raw_connection()
        fairy._close_special(transaction_reset=True)
        self.assertEqual([True], resets)

    def test_begin_is_sent_by_a_method_of_the_engines_own_dialect(self):
        begun = []
        self.engine.dialect.do_begin = begun.append
        other = create_engine("sqlite://")
        self.assertIsNot(other.dialect, self.engine.dialect)
        with other.connect() as connection:
            connection.execute(text("SELECT 1"))
        self.assertEqual([], begun)
        self.connection.execute(text("SELECT 1"))
        self.assertEqual(1, len(begun))


class TestFaces(testtools.TestCase):
    def test_an_asyncio_session_is_a_face_of_the_session_it_is_given(self):
        session = Session()
        self.assertIs(session, AsyncSession(sync_session_class=lambda **kw: session).sync_session)

    def test_an_asyncio_connection_is_a_face_of_the_connection_it_is_given(self):
        engine = create_async_engine("sqlite+aiosqlite://")
        blocking = create_engine("sqlite://").connect()
        self.addCleanup(blocking.close)
        self.assertIs(blocking, AsyncConnection(engine, blocking).sync_connection)

    def test_text_is_told_by_its_class(self):
        self.assertIsInstance(text("SELECT 1"), TextClause)
        self.assertEqual("SELECT 1", text("SELECT 1").text)

    def test_sqlalchemys_own_probes_say_that_they_wait_for_the_plain_error(self):
        source = "".join(inspect.getsource(MySQLDialect).split())
        self.assertIn('execution_options={"skip_user_error_events":True}', source)

    def test_sqlalchemys_own_probes_set_an_option_on_the_connection_and_send_one_statement(self):
        source = "".join(inspect.getsource(MySQLDialect).split())
        self.assertIn("execution_options(skip_user_error_events=True).exec_driver_sql(st)", source)

    def test_a_handler_of_errors_may_change_what_becomes_of_the_pool(self):
        seen = {}

        def note(context):
            seen.update({name: getattr(context, name) for name in names})

        names = (
            "original_exception", "sqlalchemy_exception", "is_disconnect", "invalidate_pool_on_disconnect", "engine",
            "connection", "statement", "parameters", "execution_context",
        )  # fmt: skip
        engine: Engine = create_engine("sqlite://")
        event.listen(engine, "handle_error", note)
        with engine.connect() as connection:
            self.assertRaises(DBAPIError, connection.execute, text("nonsense"))
        self.assertEqual(set(names), set(seen))
