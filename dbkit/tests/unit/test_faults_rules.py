"""Which occurrence a fault chooses: decided without a server."""

from __future__ import annotations

import json
import re

import testtools

from dbkit.exceptions import UsageError
from dbkit.testing.faults import Action, Pattern, Rule, after, before, during
from dbkit.testing.faults.dialogue import named, statement
from dbkit.testing.faults.rules import Book
from dbkit.testing.faults.sql import Dialect


def sql(text):
    return statement(text, Dialect.POSTGRESQL)


class TestPoints(testtools.TestCase):
    def test_a_name_is_a_verb_in_any_case(self):
        for what in ("COMMIT", "commit", " Commit "):
            self.assertTrue(before(what).is_at(sql("COMMIT")))
            self.assertFalse(before(what).is_at(sql("COPY t FROM STDIN")))
        self.assertTrue(before("rollback  to").is_at(sql("ROLLBACK TO SAVEPOINT a")))
        self.assertFalse(before("ROLLBACK").is_at(sql("ROLLBACK TO SAVEPOINT a")))

    def test_a_commit_among_other_statements_is_one(self):
        self.assertTrue(after("COMMIT").is_at(sql("INSERT INTO t VALUES (1); COMMIT")))

    def test_any_statement(self):
        self.assertTrue(after("statement").is_at(sql("SHOW server_version")))
        self.assertFalse(after("statement").is_at(named("connect")))

    def test_what_is_no_sql(self):
        for name in ("connect", "ping", "quit", "cancel"):
            self.assertTrue(before(name.upper()).is_at(named(name)))
            self.assertFalse(before(name).is_at(sql("SELECT 2")))
        self.assertTrue(before("ping").is_at(sql("SELECT 1")))

    def test_an_expression_is_searched_for_in_the_text(self):
        point = before(re.compile(r"into\s+accounts", re.IGNORECASE))
        self.assertTrue(point.is_at(sql("INSERT INTO accounts VALUES (1)")))
        self.assertFalse(point.is_at(sql("INSERT INTO others VALUES (1)")))
        self.assertFalse(before(re.compile("")).is_at(named("ping")))

    def test_a_misspelt_verb_is_refused_with_the_nearest(self):
        error = self.assertRaises(UsageError, before, "COMIT")
        self.assertIn("'COMMIT'", str(error))
        self.assertIn("re.compile", str(self.assertRaises(UsageError, after, "UPDATE accounts")))
        self.assertIn("'connect'", str(self.assertRaises(UsageError, after, "conect")))

    def test_a_reply_is_torn_after_some_bytes(self):
        self.assertEqual("during COMMIT, 3 bytes", str(during("commit", 3)))
        self.assertRaises(UsageError, during, "COMMIT", -1)


class TestChoices(testtools.TestCase):
    def struck(self, rule, operations):
        """Return the numbers of the operations that the rule strikes at, counted from 1.

        :param operations: each with the number of its connection.
        """
        book = Book()
        book.add(rule)
        verdicts = [book.judge(operation, connection) for operation, connection in operations]
        return [number for number, verdict in enumerate(verdicts, 1) if verdict.before or verdict.after]

    def commits(self, count, connection=1):
        return [(sql("COMMIT"), connection)] * count

    def rule(self, **choice):
        return Rule(after("COMMIT"), Action.CUT, **choice)

    def test_the_first_occurrence_once_by_default(self):
        self.assertEqual([2], self.struck(self.rule(), [(sql("BEGIN"), 1), *self.commits(3)]))

    def test_the_nth(self):
        self.assertEqual([3], self.struck(self.rule(nth=3), self.commits(5)))

    def test_several_times_from_the_nth(self):
        self.assertEqual([2, 3, 4], self.struck(self.rule(nth=2, times=3), self.commits(9)))
        self.assertEqual([8, 9], self.struck(self.rule(nth=8, times=None), self.commits(9)))

    def test_one_connection(self):
        operations = [*self.commits(2, 1), *self.commits(2, 7)]
        self.assertEqual([4], self.struck(self.rule(connection=7, nth=2), operations))

    def test_the_connection_that_was_the_last_to_run_a_statement(self):
        rule = self.rule(last_ran=Pattern.of("insert into tokens"), times=None)
        token = sql("INSERT INTO tokens VALUES (1)")
        operations = [*self.commits(1), (token, 1), (token, 2), *self.commits(1, 1), *self.commits(1, 2)]
        self.assertEqual([5], self.struck(rule, operations))
        self.assertEqual([1], self.struck(rule, [(sql("INSERT INTO tokens VALUES (1); COMMIT"), 1)]))

    def test_chance_is_reproducible_by_its_seed(self):
        def struck(seed):
            return self.struck(self.rule(probability=0.3, seed=seed, times=None), self.commits(1000))

        self.assertEqual(struck(7), struck(7))
        self.assertNotEqual(struck(7), struck(8))
        self.assertTrue(200 < len(struck(7)) < 400)

    def test_chance_depends_on_the_number_of_the_occurrence_alone(self):
        always = self.struck(self.rule(probability=0.3, seed=7, times=None), self.commits(50))
        self.assertEqual(always[:2], self.struck(self.rule(probability=0.3, seed=7, times=2), self.commits(50)))
        self.assertEqual([], self.struck(self.rule(probability=0.0, times=None), self.commits(50)))
        self.assertEqual(50, len(self.struck(self.rule(probability=1.0, times=None), self.commits(50))))

    def test_without_a_seed_one_is_chosen_and_told(self):
        rule = self.rule(probability=0.5, times=None)
        self.assertIsInstance(rule.seed, int)
        self.assertEqual(self.struck(rule, self.commits(99)), self.struck(rule, self.commits(99)))
        self.assertIn(str(rule.seed), str(rule))

    def test_of_two_at_one_point_the_older_acts(self):
        book = Book()
        old, young = book.add(self.rule()), book.add(self.rule())
        self.assertIs(old, book.judge(sql("COMMIT"), 1).after)
        early = book.add(Rule(before("COMMIT"), Action.DELAY, seconds=1))
        verdict = book.judge(sql("COMMIT"), 1)
        self.assertEqual((early, None), (verdict.before, verdict.after))
        self.assertEqual((0, 0), (old.fired, young.fired))

    def test_a_removed_rule_strikes_no_more(self):
        book = Book()
        armed = book.add(self.rule())
        book.remove(armed.number)
        self.assertIsNone(book.judge(sql("COMMIT"), 1).after)
        self.assertRaises(UsageError, book.find, armed.number)

    def test_a_choice_that_cannot_be_is_refused(self):
        for wrong in ({"nth": 0}, {"times": 0}, {"probability": 1.5}, {"seconds": -1}, {"seed": 3}):
            self.assertRaises(UsageError, self.rule, **wrong)
        self.assertRaises(UsageError, Rule, after("COMMIT"), Action.ABANDON)
        self.assertRaises(UsageError, Pattern.of, "(")

    def test_a_rule_travels(self):
        for rule in (
            self.rule(nth=2, times=None, probability=0.5, seed=3, connection=4, last_ran=Pattern.of("x")),
            Rule(during(re.compile("a", re.IGNORECASE), 4), Action.FREEZE, everywhere=True),
            Rule(before("ping"), Action.DELAY, seconds=0.5),
            Rule(before("COMMIT"), Action.ABANDON, seconds=0.5, reset=False),
        ):
            self.assertEqual(rule, Rule.from_wire(json.loads(json.dumps(rule.to_wire()))))
