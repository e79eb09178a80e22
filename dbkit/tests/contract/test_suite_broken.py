"""The suite for backends finds what it is there to find: each broken member fails a test that names it.

The backends here are SQLite's with one fault each, given to the suite directly.
"""

from __future__ import annotations

import itertools
import tempfile
import threading
import unittest
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import fixtures
import testtools

from dbkit.backends.base import Role, SessionFacts, Standing
from dbkit.backends.postgresql import PostgreSQL
from dbkit.backends.rules import RuleSet
from dbkit.backends.sqlite import SQLite, session
from dbkit.backends.sqlite.provision import SQLiteProvisioning, TemplateFile
from dbkit.exceptions import DBDuplicateEntry, DBReferenceError, Outcome, UsageError
from dbkit.spec import Colour
from dbkit.testing.servers.polling import wait_until
from dbkit.testing.suite import BackendUnderTest, Phrases, classes_for
from dbkit.testing.suite import Capability as Can
from dbkit.tests.contract.test_suite_postgresql import POSTGRESQL
from dbkit.tests.contract.test_suite_sqlite import FILE


class Autocommitting(SQLite):
    """Sound: its readers autocommit, as those of servers do."""

    keeps_facts = True

    def open_session(self, connection, driver, role, settings):
        super().open_session(connection, driver, role, settings)
        return SessionFacts(autocommits=role is Role.READER)

    def begin(self, driver, role, url, settings):
        return super().begin(driver, role, url, settings) if role is Role.WRITER else lambda connection: None

    def leave_autocommit(self, connection, dialect):
        connection.cursor().execute("BEGIN")
        return lambda: None


class Levelled(SQLite):
    """Sound: it sets a level, and sets it back."""

    def isolate(self, connection, dialect, level):
        dialect.set_isolation_level(connection, "READ UNCOMMITTED")
        return lambda: dialect.set_isolation_level(connection, "SERIALIZABLE")


# -- broken ones ------------------------------------------------------------------------------------------------------


class AlwaysOpen(SQLite):
    standing = staticmethod(lambda connection, driver: Standing.OPEN)

    def ask_standing(self, connection, driver):
        return Standing.OPEN


class NeverOpen(SQLite):
    standing = staticmethod(lambda connection, driver: Standing.NONE)


class KnowsNothing(SQLite):
    standing = staticmethod(lambda connection, driver: Standing.NOT_KNOWN)

    def ask_standing(self, connection, driver):
        return Standing.NOT_KNOWN


class WritingReaders(SQLite):
    def open_session(self, connection, driver, role, settings):
        return super().open_session(connection, driver, Role.WRITER, settings)


class WithoutForeignKeys(SQLite):
    def open_session(self, connection, driver, role, settings):
        return super().open_session(connection, driver, role, replace(settings, sqlite_fk=False))


class SecretFacts(SQLite):
    def open_session(self, connection, driver, role, settings):
        super().open_session(connection, driver, role, settings)
        return SessionFacts(lock_timeout_rolls_back=True)


def _changed(change):
    """Return SQLite's rules, each changed or left out."""
    own = SQLite.rules
    rules = [changed for rule in own.rules if (changed := change(rule)) is not None]
    return RuleSet(own.name, rules, signature=own.signature, clues=own.clues)


class WithoutDuplicates(SQLite):
    rules = _changed(lambda rule: None if rule.raises is DBDuplicateEntry else rule)


class WrongOutcome(SQLite):
    rules = _changed(
        lambda rule: replace(rule, outcome=Outcome.ROLLED_BACK) if rule.raises is DBDuplicateEntry else rule
    )


class TransientDuplicates(SQLite):
    rules = _changed(lambda rule: replace(rule, transient=True) if rule.raises is DBDuplicateEntry else rule)


class HiddenRule(SQLite):
    rules = RuleSet("sqlite", (*SQLite.rules.rules, SQLite.rules.rules[0]), signature=SQLite.rules.signature)


class NeverBegins(SQLite):
    def begin(self, driver, role, url, settings):
        return lambda connection: None


class BeginsLater(SQLite):
    begins_at_once = False


class ForgottenLevel(SQLite):
    def isolate(self, connection, dialect, level):
        dialect.set_isolation_level(connection, "READ UNCOMMITTED")
        return None


class StaysInAutocommit(Autocommitting):
    def leave_autocommit(self, connection, dialect):
        return lambda: None


class StaysOutOfAutocommit(PostgreSQL):
    def leave_autocommit(self, connection, dialect):
        super().leave_autocommit(connection, dialect)
        return lambda: None


class AloneInATransaction(PostgreSQL):
    def open_session(self, connection, driver, role, settings):
        facts = super().open_session(connection, driver, role, settings)
        connection.autocommit = False
        return replace(facts, autocommits=False, alone=role is Role.READER)


class KeepsLocks(SQLite):
    def before_close(self, connection):
        pass


class Abandoning(SQLite):
    def __init__(self):
        self.left = []

    def abandon(self, connection, driver):
        self.left.append(connection)


class ManyGates(SQLite):
    _numbers = itertools.count()

    def gate(self, url):
        return f"{next(self._numbers)}", frozenset({Role.WRITER})


class NeverTheSame(SQLite):
    def vet(self, url):
        return super().vet(url).update_query_dict({"timeout": url.query.get("timeout", "0.2") + "0"})


class OneConnection(SQLite):
    def one_connection(self, url):
        return True


class NothingHasAName(SQLite):
    def is_unnamed(self, url):
        return True


class WithoutAnchor(SQLite):
    def anchor(self, url):
        return None


class SharedArguments(SQLite):
    _shared = {"connect_args": {"isolation_level": None, "check_same_thread": False}}

    def engine_arguments(self, url, driver, role, settings):
        return self._shared


class StrangePartner(SQLite):
    drivers = {name: replace(driver, partner=name) for name, driver in SQLite.drivers.items()}


class WrongDefault(SQLite):
    defaults = {Colour.BLOCKING: "aiosqlite", Colour.ASYNCIO: "aiosqlite"}


class Halved:
    """A backend without ``before_close``."""

    def __init__(self):
        self._whole = SQLite()

    def __getattr__(self, name):
        if name == "before_close":
            raise AttributeError(name)
        return getattr(self._whole, name)


def _provisioned(provisioning):
    """Return a backend that provisions in another way."""
    return type(provisioning.__name__, (SQLite,), {"provisioning": lambda self: provisioning()})()


class _Remaining(SQLiteProvisioning):
    def drop(self, site, name):
        pass


class _Template(TemplateFile):
    def clone(self, name):
        original = super().clone(name)
        return SimpleNamespace(
            restore=lambda connection, restart_sequences: None,
            is_as_built=lambda connection: True,
            let_go=original.let_go,
        )


class _Unrestored(SQLiteProvisioning):
    def store(self, site, key):
        return _Template(self, site, site.cache / f"{key}.db")


class SuiteCase(testtools.TestCase):
    """Runs the suite on a backend in this process."""

    def setUp(self):
        super().setUp()
        self.folder = tempfile.TemporaryDirectory(prefix="dbkit-broken-")
        self.addCleanup(self.folder.cleanup)

    def subject(self, backend, **changes):
        """Return a subject like SQLite's own."""
        path = Path(self.folder.name) / "broken.db"
        given = {
            "database": f"sqlite:///{path}?timeout=0.2",
            "can": frozenset(FILE.can) - {Can.ENTRY_POINT},
            "phrases": FILE.phrases,
            "unnamed": FILE.unnamed,
            "settings": {"sqlite_busy_timeout": 0.2},
        }
        return BackendUnderTest(backend, **{**given, **changes})

    def run_suite(self, subject, *only):
        """Return the names of the tests that fail, ``Case.test_name``, and how many ran."""
        suite = unittest.TestSuite()
        for cls in classes_for(subject):
            if not only or cls.__name__.removeprefix("Test").partition("_on_")[0] in only:
                suite.addTests(unittest.defaultTestLoader.loadTestsFromTestCase(cls))
        result = unittest.TestResult()
        suite.run(result)
        failed = set()
        for test, _ in (*result.failures, *result.errors):
            template = type(test).__name__.removeprefix("Test").partition("_on_")[0]
            failed.add(f"{template}.{getattr(test, '_testMethodName', test)}")
        return failed, result.testsRun - len(result.skipped)

    def assert_caught(self, subject, *expected):
        """Each of these tests fails."""
        failed, _ = self.run_suite(subject, *(name.partition(".")[0] for name in expected))
        self.assertEqual(set(), set(expected) - failed, f"not caught; what failed is {sorted(failed)}")


class TestSoundBackends(SuiteCase):
    """The controls of the controls."""

    def assert_sound(self, backend, **changes):
        failed, count = self.run_suite(self.subject(backend, **changes))
        self.assertEqual(set(), failed)
        self.assertGreater(count, 100)

    def test_sqlite_itself_passes(self):
        self.assert_sound(SQLite())

    def test_one_with_autocommitting_readers_passes(self):
        can = frozenset(FILE.can) - {Can.ENTRY_POINT, Can.UNNAMED_DATABASES}  # in memory, both roles share a connection
        self.assert_sound(Autocommitting(), can=can)

    def test_one_that_sets_levels_passes(self):
        self.assert_sound(Levelled())


_BROKEN = {
    AlwaysOpen: (
        "Standings.test_a_committed_transaction_is_over",
        "Endings.test_a_rollback_behind_the_back_is_no_success",
    ),
    NeverOpen: ("Standings.test_a_transaction_that_has_written_is_open",),
    KnowsNothing: ("Standings.test_an_open_transaction_is_known_to_be_open_when_it_is_asked",),
    WritingReaders: (
        "Reading.test_a_readers_statement_is_refused",
        "Reading.test_a_readers_flush_is_refused",
        "Reading.test_the_database_itself_refuses_and_not_dbkit",
    ),
    WithoutForeignKeys: (
        "Errors.test_a_row_that_points_to_none_is_a_reference_error",
        "Endings.test_a_constraint_that_commit_checks_is_the_blocks_error",
    ),
    SecretFacts: ("Standings.test_a_session_without_facts_has_none_worth_remembering",),
    WithoutDuplicates: (
        "Errors.test_a_duplicate_key_is_told_with_its_name",
        "Errors.test_a_duplicate_in_a_flush_is_the_same_error",
    ),
    WrongOutcome: ("Errors.test_the_outcome_of_a_duplicate_is_true",),
    TransientDuplicates: ("Errors.test_a_duplicate_key_is_told_with_its_name",),
    HiddenRule: ("Members.test_no_rule_hides_behind_one_before_it",),
    NeverBegins: (
        "Standings.test_begin_reaches_the_database_when_the_backend_says_so",
        "Endings.test_a_block_that_fails_is_rolled_back",
    ),
    BeginsLater: ("Standings.test_begin_reaches_the_database_when_the_backend_says_so",),
    ForgottenLevel: ("Levels.test_the_level_of_one_transaction_is_not_the_sessions",),
    StaysInAutocommit: (
        "Reading.test_an_autocommitting_reader_opens_a_transaction_where_it_needs_one_and_leaves_none",
    ),
    KeepsLocks: ("Connections.test_a_connection_that_is_dropped_in_its_work_keeps_no_lock",),
    ManyGates: ("Urls.test_what_blocks_queue_for_has_one_name_in_the_process",),
    NeverTheSame: ("Urls.test_a_vetted_url_is_complete",),
    OneConnection: ("Urls.test_one_connection_serves_both_roles_or_each_has_its_own",),
    NothingHasAName: ("Urls.test_a_named_database_is_not_unnamed",),
    WithoutAnchor: ("Urls.test_an_unnamed_database_lives_while_no_connection_is_open",),
    SharedArguments: ("Members.test_the_arguments_of_an_engine_are_made_anew_for_each",),
    StrangePartner: ("Members.test_each_drivers_partner_is_known_and_serves_the_other_colour",),
    WrongDefault: ("Members.test_the_driver_of_each_colour_is_known_and_serves_it",),
    Halved: ("Members.test_every_member_of_the_protocol_is_there",),
}


class TestBrokenBackends(SuiteCase):
    """One test for each fault, made from the table above."""

    def test_readers_that_stay_out_of_autocommit_are_caught(self):
        subject = replace(POSTGRESQL, backend=StaysOutOfAutocommit(), can=set(POSTGRESQL.can) - {Can.ENTRY_POINT})
        self.assert_caught(
            subject, "Reading.test_an_autocommitting_reader_opens_a_transaction_where_it_needs_one_and_leaves_none"
        )

    def test_a_statement_by_itself_that_leaves_a_transaction_is_caught(self):
        subject = replace(POSTGRESQL, backend=AloneInATransaction(), can=set(POSTGRESQL.can) - {Can.ENTRY_POINT})
        self.assert_caught(
            subject, "Reading.test_a_statement_by_itself_leaves_no_transaction_and_blocks_are_as_they_were"
        )

    def test_an_abandoned_connection_whose_thread_goes_on_is_caught(self):
        # what is stopped in the end finds its event loop closed
        self.useFixture(fixtures.MonkeyPatch("threading.excepthook", lambda told: None))
        backend, before = Abandoning(), threading.active_count()
        try:
            self.assert_caught(
                self.subject(backend), "Connections.test_an_event_loop_that_is_closed_leaves_nothing_behind"
            )
        finally:
            for connection in backend.left:
                session.stop_worker(connection)
            wait_until(lambda: threading.active_count() <= before, 20.0, "the end of the drivers' threads")

    def test_a_drop_that_does_nothing_is_caught(self):
        self.assert_caught(
            self.subject(_provisioned(_Remaining)),
            "Provisioned.test_a_clone_that_is_dropped_is_gone_and_a_second_time_is_no_error",
        )

    def test_a_copy_that_is_not_restored_is_caught(self):
        self.assert_caught(
            self.subject(_provisioned(_Unrestored)),
            "Provisioned.test_a_clone_that_is_emptied_has_the_templates_rows_and_no_others",
            "Provisioned.test_a_changed_schema_is_noticed_and_a_reset_makes_it_new",
        )

    def test_a_field_that_is_promised_and_not_filled_is_caught(self):
        self.assert_caught(
            self.subject(SQLite(), fills={DBReferenceError: {"constraint"}}),
            "Errors.test_a_row_that_points_to_none_is_a_reference_error",
        )

    def test_a_capability_that_is_declared_and_does_not_hold_is_caught(self):
        can = frozenset(FILE.can) | {Can.STRICT_COLUMNS, Can.INDEPENDENT_WRITERS}
        self.assert_caught(
            self.subject(SQLite(), can=can),
            "Members.test_the_entry_point_serves_each_of_its_schemes",
            "Errors.test_a_text_that_does_not_fit_is_a_data_error",
            "Urls.test_writers_that_may_run_at_once_do_not_queue",
        )


def _test_of(backend, expected):
    def test(self):
        self.assert_caught(self.subject(backend()), *expected)

    return test


for _backend, _expected in _BROKEN.items():
    setattr(TestBrokenBackends, f"test_{_backend.__name__}_is_caught", _test_of(_backend, _expected))


class TestDeclarations(SuiteCase):
    def test_what_is_not_declared_is_skipped_and_says_so(self):
        subject = self.subject(SQLite(), can={Can.BLOCKING})
        result = unittest.TestResult()
        for cls in classes_for(subject):
            unittest.defaultTestLoader.loadTestsFromTestCase(cls).run(result)
        self.assertEqual(([], []), (result.failures, result.errors))
        reasons = {reason for _, reason in result.skipped}
        self.assertIn("sqlite does not declare SAVEPOINTS: a savepoint undoes a part of a transaction", reasons)
        self.assertIn("sqlite does not declare ASYNCIO: one of the drivers serves asyncio", reasons)

    def test_a_capability_without_its_phrase_is_refused(self):
        error = self.assertRaises(
            UsageError, self.subject, SQLite(), can={Can.LOCK_TIMEOUT}, phrases=Phrases(hasten_deadlock="SELECT 1")
        )
        self.assertIn("LOCK_TIMEOUT", str(error))
        self.assertIn("Phrases(short_lock_timeout=...)", str(error))

    def test_a_url_of_another_product_is_refused(self):
        failed, _ = self.run_suite(self.subject(SQLite(), database="mysql://localhost/test"), "Urls")
        self.assertTrue(all("setUpClass" in name for name in failed), failed)
        self.assertTrue(failed)
