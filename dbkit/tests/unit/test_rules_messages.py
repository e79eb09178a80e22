"""The text of an error: what happened, to which object, what to do; never a value."""

from __future__ import annotations

import testtools

from dbkit.backends.messages import describe, is_quotable, reason
from dbkit.exceptions import DBAccessDenied, DBDuplicateEntry, DBError, DBNonExistentDatabase, DBReferenceError


class DescribeTest(testtools.TestCase):
    def test_names_the_object_the_code_and_what_to_do(self):
        text = describe(
            DBDuplicateEntry, {"constraint": "uq", "table": "t", "columns": ["a", "b"], "value": "secret"}, code="23505"
        )
        self.assertEqual(
            "a unique key already holds this value: constraint uq, table t, columns a, b [23505]; "
            "use the row that is there, or another value",
            text,
        )

    def test_says_only_what_is_known(self):
        self.assertEqual(f"{DBError.summary}; {DBError.advice}", describe(DBError, {"table": None, "columns": []}))

    def test_names_one_column(self):
        self.assertIn(": column a;", describe(DBDuplicateEntry, {"columns": ["a"]}))

    def test_names_the_other_table(self):
        self.assertIn(
            "table child, other table parent", describe(DBReferenceError, {"table": "child", "key_table": "parent"})
        )

    def test_names_the_database(self):
        self.assertIn("database nowhere", describe(DBNonExistentDatabase, {"database": "nowhere"}))

    def test_rule_says_better_what_happened(self):
        self.assertTrue(describe(DBError, {}, happened="the disk is full").startswith("the disk is full;"))

    def test_who_knows_more_gives_the_advice(self):
        self.assertEqual(f"{DBError.summary}; ask Ann", describe(DBError, {}, advice="ask Ann"))

    def test_names_the_user(self):
        self.assertIn("user app", describe(DBAccessDenied, {"user": "app"}))


class ReasonTest(testtools.TestCase):
    def test_is_the_first_line(self):
        self.assertEqual("Connection refused", reason(" Connection refused\n\tIs the server running?", ()))
        self.assertEqual("", reason("", ()))

    def test_is_short(self):
        self.assertEqual("x" * 200 + "...", reason("x" * 300, ()))

    def test_holds_no_secret_that_is_known(self):
        for secrets in (("hunter2",), (("hunter2",), {"id": 5}), ((), {"name": "hunter2"})):
            self.assertEqual("", reason('no host "hunter2@db.example"', secrets))

    def test_holds_nothing_that_looks_like_a_secret(self):
        for text in ("bad dsn password=x host=h", "cannot read postgresql://u:x@h/d", "passwd: x", "token = x"):
            self.assertEqual("", reason(text, ()), text)
        self.assertEqual("no password supplied", reason("no password supplied", ()))


class QuotableTest(testtools.TestCase):
    def test_text_without_a_trace_of_the_parameters(self):
        for parameters in (None, {}, (), {"id": 5, "name": None, "on": True}, [{"id": 5}, {"id": 6}], ("other",)):
            self.assertTrue(is_quotable('column "nothing" does not exist', parameters), parameters)

    def test_value_in_the_text(self):
        for parameters in (
            {"name": "nothing"},
            ("NOTHING",),
            [{"name": "other"}, {"name": "nothing"}],
            {"name": b"nothing"},
            {"tags": ["x", ["nothing"]]},
            {"body": {"deep": "it was nothing"}},
        ):
            self.assertFalse(is_quotable('column "nothing" does not exist', parameters), parameters)

    def test_part_of_a_value_in_the_text(self):
        self.assertFalse(is_quotable("near 'hunter'", {"password": "hunter2"}))
        self.assertFalse(is_quotable("near 'xxhunterxx'", {"password": "hunter"}))
        self.assertFalse(is_quotable(r"near 'O\'Brien'", {"name": "O'Brien"}))

    def test_short_values_forbid_only_whole_words(self):
        self.assertTrue(is_quotable('column "nothing1" does not exist', {"id": 1}))
        self.assertFalse(is_quotable("near '1'", {"id": 1}))

    def test_too_many_values_to_look_at(self):
        self.assertFalse(is_quotable("near 'x'", [{"id": -number} for number in range(2000)]))
