"""An exception of a driver becomes the error for its phase: connecting, a statement, COMMIT."""

from __future__ import annotations

import sqlite3

import testtools
from sqlalchemy import exc

from dbkit.backends.build import Place, build_error
from dbkit.backends.rules import Rule, RuleSet, Signature, class_names, layers
from dbkit.exceptions import (
    DBAccessDenied,
    DBConnectionError,
    DBDataError,
    DBDeadlock,
    DBError,
    DBIntegrityError,
    DBInvalidUnicodeParameter,
    DBNonExistentDatabase,
    DBNotSupportedError,
    DBReadOnly,
    DBTooManyConnections,
    Outcome,
)
from dbkit.tests.samples.rulesets import RULESETS

_LOST, _CONFLICT, _SOME_LOSS, _WRONG, _FULL, _DENIED, _ABSENT, _READ_ONLY = 1, 2, 3, 4, 5, 6, 7, 8


def _signature(error):
    driver = layers(error)[-1]
    codes = tuple(arg for arg in driver.args[:1] if isinstance(arg, int))
    return Signature(codes, str(driver.args[-1]) if driver.args else "", {}, class_names(driver))


ACME = RuleSet(
    "acme",
    (
        Rule(DBConnectionError, codes=(_LOST,), disconnect=True),
        Rule(DBDeadlock, codes=(_CONFLICT,)),
        Rule(DBConnectionError, codes=(_SOME_LOSS,)),
        Rule(DBError, codes=(_WRONG,), means="the statement is wrong", quotable=True),
        Rule(DBTooManyConnections, codes=(_FULL,)),
        Rule(DBAccessDenied, codes=(_DENIED,), extract=r"user (?P<user>\w+)"),
        Rule(DBNonExistentDatabase, codes=(_ABSENT,), means="the file cannot be opened"),
        Rule(DBReadOnly, codes=(_READ_ONLY,)),
    ),
    signature=_signature,
    failed_statement=Outcome.ABORTED,
    failed_commit=Outcome.ROLLED_BACK,
)


class AcmeError(Exception):
    pass


def _named(name, base=AcmeError):
    return type(name, (base,), {})


def built(*args, cls=AcmeError, **phase):
    return build_error(ACME, cls(*args), **phase)


class PhaseTest(testtools.TestCase):
    def test_connection_lost_in_a_transaction_stored_nothing(self):
        error = built(_LOST, statement="SELECT 1")
        self.assertIsInstance(error, DBConnectionError)
        self.assertIs(Outcome.ROLLED_BACK, error.outcome)
        self.assertTrue(error.transient)

    def test_connection_lost_at_commit_is_unknown_and_not_to_be_retried(self):
        error = built(_LOST, at_commit=True)
        self.assertIs(Outcome.UNKNOWN, error.outcome)
        self.assertFalse(error.transient)

    def test_connection_lost_under_a_statement_that_commits_itself_is_unknown(self):
        error = built(_LOST, statement="INSERT", in_transaction=False)
        self.assertIs(Outcome.UNKNOWN, error.outcome)
        self.assertFalse(error.transient)

    def test_connection_that_was_never_made_started_nothing(self):
        self.assertIs(Outcome.NOT_STARTED, built(_LOST, in_transaction=False).outcome)

    def test_any_network_error_while_connecting_is_a_connection_error(self):
        for refused in (ConnectionRefusedError(111, "refused"), TimeoutError(), OSError("no route")):
            error = build_error(ACME, refused, in_transaction=False)
            self.assertIsInstance(error, DBConnectionError)
            self.assertTrue(error.transient)

    def test_network_error_inside_a_transaction_needs_the_drivers_word(self):
        self.assertIs(DBError, type(built(cls=_named("OddError"), statement="SELECT 1")))
        self.assertIs(DBConnectionError, type(built(cls=_named("OddError"), statement="SELECT 1", is_disconnect=True)))

    def test_what_sqlalchemy_found_dead_is_dead_under_any_code(self):
        error = built(_CONFLICT, statement="SELECT 1", is_disconnect=True)
        self.assertIs(DBConnectionError, type(error))
        self.assertIs(Outcome.ROLLED_BACK, error.outcome)
        self.assertIs(Outcome.UNKNOWN, built(_CONFLICT, at_commit=True, is_disconnect=True).outcome)

    def test_conflict_at_commit_is_a_known_rollback(self):
        error = built(_CONFLICT, at_commit=True)
        self.assertIs(Outcome.ROLLED_BACK, error.outcome)
        self.assertTrue(error.transient)

    def test_loss_of_a_foreign_server_is_no_disconnect_of_ours(self):
        error = built(_SOME_LOSS, statement="SELECT * FROM abroad")
        self.assertIs(DBError, type(error))
        self.assertIs(Outcome.ABORTED, error.outcome)
        self.assertTrue(error.transient)

    def test_the_same_code_is_ours_where_the_driver_says_so_or_while_connecting(self):
        self.assertIs(DBConnectionError, type(built(_SOME_LOSS, statement="SELECT 1", is_disconnect=True)))
        self.assertIs(DBConnectionError, type(built(_SOME_LOSS, in_transaction=False)))
        self.assertIs(DBTooManyConnections, type(built(_FULL, in_transaction=False)))

    def test_failed_statement_does_what_the_product_does(self):
        self.assertIs(Outcome.ABORTED, built(_WRONG, statement="SELEC").outcome)
        self.assertIs(Outcome.ABORTED, built(99, statement="SELECT").outcome)
        self.assertIs(Outcome.NOT_STARTED, built(_WRONG, statement="SELEC", in_transaction=False).outcome)

    def test_commit_that_failed_under_an_unknown_code_does_what_the_product_does(self):
        self.assertIs(Outcome.ROLLED_BACK, built(99, at_commit=True).outcome)

    def test_commit_that_failed_without_any_code_is_unknown(self):
        self.assertIs(Outcome.UNKNOWN, built("socket closed", at_commit=True).outcome)

    def test_what_the_driver_refused_itself_did_nothing_to_the_transaction(self):
        self.assertIs(Outcome.STATEMENT_FAILED, built("no", cls=_named("DataError"), statement="SELECT ?").outcome)


class ClassTest(testtools.TestCase):
    def test_without_a_rule_the_class_of_the_exception_decides(self):
        for name, expected in (
            ("IntegrityError", DBIntegrityError),
            ("DataError", DBDataError),
            ("NotSupportedError", DBNotSupportedError),
            ("ProgrammingError", DBError),
        ):
            self.assertIs(expected, type(built(99, cls=_named(name), statement="SELECT 1")), name)

    def test_subclasses_count_as_their_class(self):
        self.assertIs(DBIntegrityError, type(built(99, cls=_named("Odd", _named("IntegrityError")), statement="S")))

    def test_text_that_cannot_be_encoded(self):
        orig = UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")
        self.assertIs(DBInvalidUnicodeParameter, type(build_error(ACME, orig, statement="SELECT ?")))

    def test_error_of_dbkit_is_returned_as_it_is(self):
        error = DBDeadlock()
        self.assertIs(error, build_error(ACME, error))

    def test_every_exception_that_sqlalchemy_wraps_is_read_through_the_wrapper(self):
        orig = sqlite3.connect(":memory:")
        try:
            orig.execute("SELECT * FROM nowhere")
        except sqlite3.Error as error:
            wrapped = exc.OperationalError("SELECT", {}, error)
        self.assertEqual("nowhere", build_error(RULESETS["sqlite"], wrapped, statement="SELECT").table)

    def test_drivers_exception_is_kept_as_orig_and_cause(self):
        orig = AcmeError(_CONFLICT)
        error = build_error(ACME, orig, statement="SELECT 1")
        self.assertIs(orig, error.orig)
        self.assertIs(orig, error.__cause__)
        self.assertEqual("SELECT 1", error.statement)

    def test_an_exception_that_no_rule_set_can_read_becomes_a_plain_error(self):
        silent = RuleSet("silent", (), signature=lambda error: None)
        self.assertIs(DBError, type(build_error(silent, AcmeError(), statement="SELECT 1")))
        self.assertIs(DBIntegrityError, type(build_error(silent, _named("IntegrityError")(), statement="SELECT 1")))


class TextTest(testtools.TestCase):
    def test_quotes_the_server_where_the_rule_allows_and_no_parameter_shows(self):
        text = 'relation "servers" does not exist'
        self.assertIn(text, str(built(_WRONG, text, statement="SELECT", parameters={"id": 5})))
        self.assertNotIn(text, str(built(_WRONG, text, statement="SELECT", parameters={"id": "servers"})))
        self.assertNotIn(text, str(built(99, text, statement="SELECT")))

    def test_does_not_quote_where_there_is_no_statement_to_compare_with(self):
        self.assertNotIn("secret", str(built(_WRONG, "secret", at_commit=True)))


class ConnectionTextTest(testtools.TestCase):
    """A connection that was never made and one that was lost are told apart, with the driver's reason."""

    def test_a_connection_that_was_never_made(self):
        text = str(built(_LOST, "Connection refused", in_transaction=False))
        self.assertTrue(text.startswith("could not connect to the database: Connection refused;"), text)
        self.assertIn("check that the server runs", text)

    def test_a_connection_that_was_lost(self):
        for phase in ({"statement": "SELECT 1"}, {"statement": "INSERT", "in_transaction": False}):
            text = str(built(_LOST, "server has gone", **phase))
            self.assertTrue(text.startswith("the connection to the database was lost: server has gone;"), text)
            self.assertIn("run the transaction again", text)

    def test_without_a_reason_the_rule_says_what_it_means(self):
        rules = RuleSet(
            "x", (Rule(DBConnectionError, codes=(1,), disconnect=True, means="it stops"),), signature=_signature
        )
        error = build_error(rules, AcmeError(1, ""), in_transaction=False)
        self.assertTrue(str(error).startswith("could not connect to the database: it stops;"), str(error))

    def test_a_server_that_is_full_keeps_its_own_words(self):
        text = str(built(_FULL, "too many clients", in_transaction=False))
        self.assertTrue(text.startswith(f"{DBTooManyConnections.summary}: too many clients;"), text)

    def test_no_reason_shows_a_password_or_a_parameter(self):
        place = Place(secrets=("hunter2",))
        self.assertNotIn("hunter2", str(built(_LOST, "no host hunter2@h", in_transaction=False, place=place)))
        self.assertNotIn("hunter2", repr(place))
        self.assertNotIn("Ann", str(built(_LOST, "lost at Ann", statement="S", parameters={"name": "Ann"})))


class PlaceTest(testtools.TestCase):
    place = Place({"database": "/var/lib/app.db", "user": "app"})

    def test_the_url_names_what_the_driver_does_not(self):
        error = built(_ABSENT, "unable to open", in_transaction=False, place=self.place)
        self.assertEqual("/var/lib/app.db", error.database)
        self.assertIn("the file cannot be opened: database /var/lib/app.db", str(error))
        error = built(_DENIED, "no", in_transaction=False, place=self.place)
        self.assertEqual("app", error.user)
        self.assertIn("user app", str(error))

    def test_the_drivers_own_word_is_stronger(self):
        self.assertEqual("ann", built(_DENIED, "no user ann", in_transaction=False, place=self.place).user)

    def test_errors_about_something_else_name_neither(self):
        text = str(built(_CONFLICT, statement="S", place=self.place))
        self.assertNotIn("app", text)

    def test_a_reader_is_told_to_become_a_writer_and_a_writer_to_look_at_its_server(self):
        text = str(built(_READ_ONLY, statement="INSERT", place=Place(is_reader=True)))
        self.assertIn("make it a writer", text)
        self.assertNotIn("URL", text)
        self.assertIn("check which server or file the URL points to", str(built(_READ_ONLY, statement="INSERT")))
