"""What an error means, asked by a code or by a line of a log."""

from __future__ import annotations

import testtools

from dbkit import exceptions
from dbkit.backends.explain import explain, explain_class
from dbkit.exceptions import Outcome
from dbkit.tests.samples.rulesets import RULESETS
from dbkit.tests.samples.specimen import PRODUCTS, load


def explained(text):
    return [
        (explanation.product, explanation.asked, explanation.raises.__name__)
        for explanation in explain(text, RULESETS.values())
        if explanation.rule
    ]


class ExplainTest(testtools.TestCase):
    def test_codes(self):
        for text, expected in (
            ("1213", ("mysql", "1213", "DBDeadlock")),
            (" 40P01 ", ("postgresql", "40P01", "DBDeadlock")),
            ("[40001]", ("postgresql", "40001", "DBSerializationFailure")),
            ("SQLITE_BUSY", ("sqlite", "SQLITE_BUSY", "DBLockTimeout")),
            ("517", ("sqlite", "SQLITE_BUSY_SNAPSHOT", "DBSerializationFailure")),
            ("22003", ("postgresql", "22003", "DBDataError")),
        ):
            self.assertEqual([expected], explained(text), text)

    def test_lines_of_logs(self):
        for text, expected in (
            ("(pymysql.err.OperationalError) (1213, 'Deadlock found')\n[SQL: SELECT 2006]", ("mysql", "1213")),
            ("ERROR 1062 (23000): Duplicate entry '2006' for key 'PRIMARY'", ("mysql", "1062")),
            ("1205 (HY000): Lock wait timeout exceeded", ("mysql", "1205")),
            ("ERROR: deadlock detected", ("postgresql", "40P01")),
            ("2024-01-01 ERROR:  40001: could not serialize access", ("postgresql", "40001")),
            ("SQLSTATE[40001]: Serialization failure", ("postgresql", "40001")),
            ("(psycopg.errors.UniqueViolation) duplicate key value", ("postgresql", "23505")),
            ("asyncpg.exceptions.UniqueViolationError: duplicate key", ("postgresql", "23505")),
            ("(sqlite3.OperationalError) database is locked", ("sqlite", "SQLITE_BUSY")),
            ("(sqlite3.OperationalError) no such table: servers\n[SQL: SELECT]", ("sqlite", "SQLITE_ERROR")),
        ):
            self.assertEqual([expected], [found[:2] for found in explained(text)], text)

    def test_a_code_that_several_rules_catch_names_all_of_them(self):
        self.assertEqual(["DBReadOnly", "DBError"], [found[2] for found in explained("MY-001290")])

    def test_a_value_is_no_code(self):
        self.assertEqual(
            [("mysql", "1062", "DBDuplicateEntry")],
            explained("(pymysql.err.IntegrityError) (1062, \"Duplicate entry '1213' for key 'PRIMARY'\")"),
        )

    def test_codes_in_small_letters(self):
        for text in ("40p01", " [40p01] ", "sqlite_busy", "Sqlite_Constraint_Unique"):
            self.assertEqual(1, len(explained(text)), text)
        self.assertEqual([("postgresql", "40P01", "DBDeadlock")], explained("40p01"))

    def test_our_own_texts_lead_to_the_rule(self):
        self.assertEqual(
            [("mysql", "2003", "DBConnectionError")],
            explained("DBConnectionError: could not connect to the database: no route [2003]; check that it runs"),
        )

    def test_says_what_becomes_of_the_transaction(self):
        (deadlock,) = explain("40P01", RULESETS.values())
        self.assertIs(Outcome.ABORTED, deadlock.outcome)
        self.assertTrue(deadlock.transient)
        for words in ("postgresql 40P01", "DBDeadlock", "rolled back", "errors/DBDeadlock", deadlock.source):
            self.assertIn(words, str(deadlock))

    def test_what_is_unknown_is_told_what_was_looked_for_and_what_to_try(self):
        (unknown,) = explain("a b c", RULESETS.values())
        for words in ("SQLSTATE", "MySQL or MariaDB", "SQLITE_", "dbkit.exceptions", "40P01", "DBDeadlock"):
            self.assertIn(words, str(unknown))

    def test_a_class_that_is_nearly_right_is_a_hint(self):
        (unknown,) = explain("DBDeadlok", RULESETS.values())
        self.assertIn("DBDeadlock", unknown.hints)

    def test_unknown_code_gets_an_answer_with_what_is_near(self):
        (unknown,) = explain("12134", RULESETS.values())
        self.assertIsNone(unknown.rule)
        self.assertIn("no rule", str(unknown))
        self.assertIn("1213 (mysql)", str(unknown))

    def test_words_without_a_code_get_an_answer(self):
        for text in ("hello world", "", "SELECT", "the ERROR"):
            (unknown,) = explain(text, RULESETS.values())
            self.assertIn("no rule", str(unknown), text)

    def test_without_rule_sets_the_installed_backends_are_asked(self):
        self.assertTrue(explain("1213"))

    def test_the_text_of_every_recorded_error_with_a_code_leads_to_its_rule(self):
        for product in PRODUCTS:
            for sample in load(product):
                code = (
                    sample.expected["fields"].get("errname")
                    or (sample.expected["fields"].get("errno") if product == "mysql" else None)
                    or sample.expected["fields"].get("sqlstate")
                )
                if code and sample.expected["rule"] and code != "unknown":
                    labels = [each.rule.label for each in explain(str(code), [RULESETS[product]]) if each.rule]
                    self.assertIn(sample.expected["rule"], labels, sample.label)


class ExplainClassTest(testtools.TestCase):
    def explained(self, text):
        return explain_class(text, RULESETS.values())

    def test_a_class_says_what_it_means_and_which_rules_raise_it(self):
        found = self.explained("DBDeadlock")
        self.assertIs(exceptions.DBDeadlock, found.raises)
        self.assertIn(("mysql", "1213"), [(each.product, each.asked) for each in found.rules])
        self.assertEqual({"DBDeadlock"}, {each.raises.__name__ for each in found.rules})
        self.assertIn("DBSerializationFailure", found.narrower)
        for words in (found.means, "yes", "rolled back", "errors/DBDeadlock", "raised for  postgresql 40P01: "):
            self.assertIn(words, str(found))

    def test_it_is_found_by_its_place_in_small_letters_and_in_a_line_of_a_log(self):
        for text in ("dbkit.exceptions.DBDeadlock", "dbdeadlock", "dbkit.exceptions.DBDeadlock: the transaction was"):
            self.assertIs(exceptions.DBDeadlock, self.explained(text).raises, text)

    def test_every_class_is_explained(self):
        for name in set(exceptions.__all__) - {"Outcome", "Staleness"}:
            found = self.explained(name)
            self.assertIs(getattr(exceptions, name), found.raises)
            self.assertIn(found.means, str(found))

    def test_a_class_that_no_rule_raises_says_so_by_its_silence(self):
        found = self.explained("InvalidURL")
        self.assertEqual((), found.rules)
        self.assertNotIn("rule", str(found))

    def test_what_is_no_class_is_none(self):
        for text in ("", "Outcome", "DBDeadlok", "1213"):
            self.assertIsNone(self.explained(text))
