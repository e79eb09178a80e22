"""Managers: what a reader or writer is before it opens anything."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import itertools

import fixtures
import testtools
from oslo_config import cfg

import dbkit
from dbkit import enginefacade
from dbkit.database import DatabaseManager
from dbkit.exceptions import (
    AlreadyStartedError,
    CantStartEngineError,
    InvalidDecoration,
    InvalidSetting,
    ModeConflict,
    NoTransaction,
    UnknownSetting,
    UsageError,
)
from dbkit.spec import Handle, Isolation, Mode, Propagation, TransactionSpec
from dbkit.transaction.manager import ContextManager

MODIFIERS = ("connection", "savepoint", "independent", "replica", "isolation")


def modified(manager, name):
    """Return the manager with a modifier by its name."""
    return manager.isolation("SERIALIZABLE") if name == "isolation" else getattr(manager, name)


class TestSpecs(testtools.TestCase):
    def test_a_plain_spec_is_a_reader_that_joins_with_a_session(self):
        self.assertEqual(
            TransactionSpec(
                mode=Mode.READER,
                propagation=Propagation.REQUIRED,
                handle=Handle.SESSION,
                isolation=None,
                accept_replica=False,
            ),
            TransactionSpec(),
        )

    def test_levels_are_ordered_from_weak_to_strong(self):
        self.assertEqual(sorted(Isolation), list(Isolation))
        self.assertLess(Isolation.READ_COMMITTED, Isolation.SERIALIZABLE)

    def test_a_level_is_found_by_its_name_and_written_as_sql(self):
        for level in Isolation:
            self.assertIs(level, Isolation.of(level.sql))
            self.assertIs(level, Isolation.of(level.sql.lower().replace(" ", "-")))
        self.assertRaises(KeyError, Isolation.of, "snapshot")


class TestModifiers(testtools.TestCase):
    def managers(self):
        database = dbkit.Database("sqlite://")
        context = enginefacade.transaction_context()
        return (database.writer, database.reader, context.writer, context.reader)

    def test_any_set_of_modifiers_means_the_same_in_every_order(self):
        for manager, size in itertools.product(self.managers(), (2, 3, 4)):
            for names in itertools.combinations(MODIFIERS, size):
                results = {self.spec(manager, order) for order in itertools.permutations(names)}
                self.assertEqual(1, len(results), f"{names}: {results}")

    def spec(self, manager, names):
        try:
            for name in names:
                manager = modified(manager, name)
        except ModeConflict:
            return "refused"
        return manager.spec

    def test_a_modifier_gives_a_manager_of_the_same_kind_and_database(self):
        for manager in self.managers():
            for name in ("connection", "savepoint", "independent", "isolation"):
                changed = modified(manager, name)
                self.assertIs(type(manager), type(changed))
                self.assertIsNot(manager, changed)
                self.assertNotEqual(manager.spec, changed.spec)

    def test_writer_and_reader_keep_the_other_modifiers(self):
        manager = enginefacade.transaction_context().reader.savepoint.connection.isolation("SERIALIZABLE")
        for mode, changed in ((Mode.WRITER, manager.writer), (Mode.READER, manager.writer.reader)):
            self.assertEqual(
                (mode, Propagation.NESTED, Handle.CONNECTION, Isolation.SERIALIZABLE),
                (changed.spec.mode, changed.spec.propagation, changed.spec.handle, changed.spec.isolation),
            )

    def test_a_writer_of_a_replica_is_refused(self):
        context = enginefacade.transaction_context()
        self.assertRaises(ModeConflict, getattr, context.reader.replica, "writer")
        self.assertRaises(ModeConflict, getattr, context.writer, "replica")

    def test_the_module_offers_both_modes_of_one_database(self):
        self.assertIsInstance(enginefacade.reader, ContextManager)
        self.assertIs(enginefacade.reader.factory, enginefacade.writer.factory)
        self.assertEqual((Mode.READER, Mode.WRITER), (enginefacade.reader.spec.mode, enginefacade.writer.spec.mode))

    def test_each_transaction_context_has_a_database_of_its_own(self):
        one, other = enginefacade.transaction_context(), enginefacade.transaction_context()
        self.assertIsNot(one.factory, other.factory)
        self.assertIs(one.factory, one.writer.savepoint.factory)

    def test_a_manager_for_contexts_is_asked_of_its_database_what_a_database_is_asked(self):
        database, manager = dbkit.Database("sqlite://"), enginefacade.transaction_context(connection="sqlite://")
        for name in ("retry_statistics", "replays"):
            self.assertEqual(getattr(database, name), getattr(manager.writer, name))

    def test_a_database_offers_both_modes(self):
        database = dbkit.Database("sqlite://")
        self.assertIsInstance(database.writer, DatabaseManager)
        self.assertEqual((Mode.READER, Mode.WRITER), (database.reader.spec.mode, database.writer.spec.mode))


class TestMistakes(testtools.TestCase):
    """What is easily written by mistake is refused in words that say what to write."""

    def setUp(self):
        super().setUp()
        self.db = dbkit.Database("sqlite://")
        self.manager = enginefacade.transaction_context()

    def test_an_unknown_level_is_refused_with_the_nearest_and_the_list(self):
        for level in ("REPEATABLE_REED", "repeatable reed", "Repeatable-Reed"):
            error = self.assertRaises(InvalidSetting, self.db.writer.isolation, level)
            self.assertIsInstance(error, ValueError)
            self.assertIn("did you mean 'REPEATABLE READ'?", str(error))
            self.assertIn(", ".join(each.sql for each in Isolation), str(error))

    def test_what_is_near_to_no_level_is_refused_with_the_list(self):
        for level in ("snapshot", "", 3, None):
            error = self.assertRaises(InvalidSetting, self.db.writer.isolation, level)
            self.assertNotIn("did you mean", str(error))
            self.assertIn("there are READ UNCOMMITTED", str(error))

    def test_a_manager_in_place_of_a_block_is_refused_with_what_to_write(self):
        for manager, block in (
            (self.db.writer, "db.writer()"),
            (self.db.reader.replica.connection, "db.reader.replica.connection()"),
            (self.db.writer.savepoint.isolation("serializable"), 'db.writer.savepoint.isolation("SERIALIZABLE")()'),
            (self.manager.writer, "enginefacade.writer.using(context)"),
            (self.manager.reader.independent, "enginefacade.reader.independent.using(context)"),
        ):
            error = self.assertRaises(UsageError, contextlib.ExitStack().enter_context, manager)
            self.assertTrue(str(error).endswith(f"write: with {block} as session"), str(error))
            error = self.assertRaises(UsageError, asyncio.run, self.enter(manager))
            self.assertTrue(str(error).endswith(f"write: async with {block} as session"), str(error))

    def test_one_that_retries_is_refused_without_advice_that_would_be_refused_too(self):
        for manager in (self.db.writer.retrying(), self.manager.writer.retrying()):
            error = self.assertRaises(UsageError, contextlib.ExitStack().enter_context, manager)
            self.assertIn("write it as a function and decorate that", str(error))

    def test_a_decorator_without_its_brackets_is_refused_with_what_to_write(self):
        def rename(server):
            raise AssertionError("it was called")

        for manager in (self.db.writer, self.manager.writer):
            for decorator, written in (
                (manager.retrying, ".retrying()"),
                (manager.deadline, ".deadline(seconds)"),
                (manager.isolation, ".isolation(level)"),
            ):
                error = self.assertRaises(InvalidDecoration, decorator, rename)
                self.assertIn("rename was given to " + written, str(error))
                self.assertIn("with the brackets", str(error))

    def test_a_decorator_with_brackets_that_it_does_not_take_is_refused_with_what_to_write(self):
        def rename(server):
            raise AssertionError("it was called")

        for block in (self.db.writer(), self.db.writer.exactly_once(), self.manager.writer.using(fixtures.Fixture())):
            error = self.assertRaises(InvalidDecoration, block, rename)
            self.assertIn("cannot decorate", str(error))
            self.assertIn("rename; leave out the brackets: @db.writer, @db.writer.exactly_once", str(error))

    async def enter(self, manager):
        async with manager:
            raise AssertionError("a manager was entered")

    def test_an_unknown_modifier_is_refused_with_the_nearest(self):
        for manager in (self.db.writer, self.manager.reader):
            error = self.assertRaises(AttributeError, getattr, manager, "independant")
            self.assertIn("'independant'; did you mean 'independent'?", str(error))
            self.assertEqual("independant", error.name)

    def test_what_is_near_to_no_modifier_is_refused_with_the_list(self):
        error = self.assertRaises(AttributeError, getattr, self.db.reader, "zzz")
        self.assertIn(
            "there are connection, deadline, exactly_once, independent, isolation, replaying, replica, retrying, "
            "savepoint",
            str(error),
        )

    def test_protocols_that_ask_for_more_find_nothing(self):
        self.assertFalse(hasattr(self.db.writer, "__wrapped__"))
        self.assertEqual(self.db.writer.spec, copy.copy(self.db.writer).spec)


class TestConfiguring(testtools.TestCase):
    def setUp(self):
        super().setUp()
        for name in ("DATABASE_URL", "OS_DATABASE__CONNECTION"):
            self.useFixture(fixtures.EnvironmentVariable(name))

    def test_nothing_is_resolved_before_it_is_needed(self):
        database = dbkit.Database("nonsense")
        self.assertFalse(database.is_started)
        self.assertEqual("<Database, not used yet>", repr(database))

    def test_a_value_may_be_set_until_the_first_use(self):
        manager = enginefacade.transaction_context()
        manager.writer.configure(connection="sqlite://", max_retries=3)
        self.assertEqual(3, manager.factory.settings.max_retries)
        self.assertTrue(manager.is_started and manager.writer.is_started)
        for configure in (manager.configure, manager.reader.configure_defaults):
            error = self.assertRaises(AlreadyStartedError, configure, max_retries=4)
            self.assertIn("this TransactionFactory is already started", str(error))
            self.assertIsInstance(error, TypeError)

    def test_defaults_are_weaker_than_values(self):
        manager = enginefacade.transaction_context(connection="sqlite://", max_retries=2)
        manager.configure_defaults(max_retries=7, retry_interval=8)
        settings = manager.factory.settings
        self.assertEqual((2, 8), (settings.max_retries, settings.retry_interval))

    def test_an_unknown_setting_is_refused_with_the_nearest_name(self):
        manager = enginefacade.transaction_context()
        for configure in (manager.configure, manager.configure_defaults):
            error = self.assertRaises(UnknownSetting, configure, max_retires=3)
            self.assertIn("max_retries", str(error))
        error = self.assertRaises(UnknownSetting, dbkit.Database, "sqlite://", max_retires=3)
        self.assertIn("max_retries", str(error))

    def test_an_unknown_setting_sets_nothing(self):
        manager = enginefacade.transaction_context(connection="sqlite://")
        self.assertRaises(UnknownSetting, manager.configure, max_retries=3, max_retires=3)
        self.assertNotEqual(3, manager.factory.settings.max_retries)

    def test_without_a_url_the_error_says_where_to_put_one(self):
        conf = cfg.ConfigOpts()
        conf([], default_config_files=[])
        error = self.assertRaises(CantStartEngineError, getattr, dbkit.Database.from_config(conf), "settings")
        self.assertIn("connection", str(error))

    def test_a_start_that_failed_may_be_tried_again(self):
        manager = enginefacade.transaction_context()
        manager.configure(max_retries=1)
        self.assertRaises(CantStartEngineError, lambda: manager.factory.settings)
        manager.configure(connection="sqlite://")
        self.assertEqual("sqlite", manager.factory.settings.connection.get_backend_name())

    def test_the_handles_of_a_database_outside_a_block_say_how_to_open_one(self):
        database = dbkit.Database("sqlite://")
        for name in ("current", "session", "connection", "async_session", "async_connection"):
            error = self.assertRaises(NoTransaction, getattr, database, name)
            self.assertIn("db.writer", str(error))
        self.assertFalse(database.is_started)

    def test_a_used_database_shows_its_url_without_the_password(self):
        database = dbkit.Database("postgresql://app:hunter2@db.example/app")
        self.assertEqual("app", database.settings.connection.database)
        self.assertIn("db.example", repr(database))
        self.assertNotIn("hunter2", repr(database))
