"""Every rule has been seen, every sample is caught as it was when it was reviewed."""

from __future__ import annotations

import collections
import dataclasses

import testtools

from dbkit.backends.rules import Rule, RuleSet, Signature
from dbkit.exceptions import DBDeadlock, DBError, Outcome
from dbkit.tests.golden import rules as golden
from dbkit.tests.samples import document
from dbkit.tests.samples.rulesets import RULESETS
from dbkit.tests.samples.specimen import PRODUCTS, load, verdict_on

_POISON = (
    "Deadlock found when trying to get lock (1213, 'x') 2006 MySQL server has gone away 40001 deadlock detected "
    "database is locked server closed the connection unexpectedly no such table: x SAVEPOINT s does not exist read-only"
)


def _samples():
    return [(product, sample) for product in PRODUCTS for sample in load(product)]


class SamplesTest(testtools.TestCase):
    def test_every_sample_becomes_the_error_that_was_reviewed(self):
        for product, sample in _samples():
            self.assertEqual(sample.expected, verdict_on(RULESETS[product], sample), sample.label)

    def test_every_rule_has_a_sample_or_says_why_it_has_none(self):
        for product in PRODUCTS:
            caught = {sample.expected["rule"] for sample in load(product)}
            unseen = [rule.label for rule in RULESETS[product].rules if rule.label not in caught and not rule.untested]
            self.assertEqual([], unseen, product)

    def test_a_rule_that_has_a_sample_does_not_say_that_it_has_none(self):
        for product in PRODUCTS:
            caught = {sample.expected["rule"] for sample in load(product)}
            excused = [rule.label for rule in RULESETS[product].rules if rule.label in caught and rule.untested]
            self.assertEqual([], excused, product)

    def test_every_driver_was_recorded_for_nearly_everything(self):
        for product in PRODUCTS:
            names = {sample.provocation for sample in load(product)}
            for driver in {sample.driver for sample in load(product)}:
                own = {sample.provocation for sample in load(product) if sample.driver == driver}
                self.assertTrue(len(own) > 0.85 * len(names), f"{driver} lacks {sorted(names - own)}")

    def test_every_driver_says_the_same_of_what_the_server_said(self):
        # A lost connection, a refused one and a parameter that only some drivers look at themselves are told by codes
        # of the drivers' own. Of all else the product speaks, and the driver must not matter.
        said = collections.defaultdict(set)
        for product, sample in _samples():
            fields = sample.expected["fields"]
            if "parameter" not in sample.provocation and ("errno" in fields or "sqlstate" in fields):
                code = fields.get("errno") or fields.get("sqlstate")
                said[product, sample.provocation, code].add((sample.expected["raises"], sample.expected["outcome"]))
        self.assertEqual({}, {what: errors for what, errors in said.items() if len(errors) > 1})


class OutcomesTest(testtools.TestCase):
    """What an error says of the transaction is what the next statement saw."""

    def test_what_the_error_says_of_the_transaction_is_what_was_seen(self):
        for product, sample in _samples():
            if sample.phase == "statement" and sample.how == "real":
                self.assertIn(sample.aftermath, self._allowed(product, sample), sample.label)

    def _allowed(self, product, sample):
        outcome = Outcome[sample.expected["outcome"]]
        if sample.expected["rule"] and sample.expected["rule"].startswith("TransactionDoomed"):
            # The error that comes after; what it says of a savepoint that never was is a precaution.
            return ("kept", "lost", "refused", "unseen")
        if product == "sqlite" and sample.aftermath == "lost":
            # SQLite may roll back by itself, under the same code; the connection's in_transaction tells, and the
            # engine asks it.
            self.assertEqual(Outcome.STATEMENT_FAILED, outcome, sample.label)
            return ("lost",)
        return {
            Outcome.STATEMENT_FAILED: ("kept", "unseen"),
            Outcome.ABORTED: ("refused", "unseen"),
            # PostgreSQL keeps the session waiting for a ROLLBACK, and a lost connection answers nothing.
            Outcome.ROLLED_BACK: ("lost", "refused", "unseen"),
        }[outcome]

    def test_a_failed_commit_stored_nothing_unless_the_transaction_is_open_still(self):
        for _, sample in _samples():
            if sample.phase != "commit":
                continue
            outcome = Outcome[sample.expected["outcome"]]
            allowed = {
                Outcome.ROLLED_BACK: ("lost", "unseen"),
                Outcome.STATEMENT_FAILED: ("kept",),
                Outcome.UNKNOWN: ("refused",),
            }[outcome]
            self.assertIn(sample.aftermath, allowed, sample.label)

    def test_an_unknown_outcome_is_never_transient(self):
        for _, sample in _samples():
            if sample.expected["outcome"] == "UNKNOWN":
                self.assertFalse(sample.expected["transient"], sample.label)


class UsersTextTest(testtools.TestCase):
    """What a user wrote, in a value or in a trigger, is never taken for a code."""

    def test_text_around_a_code_changes_nothing(self):
        for product, sample in _samples():
            rules = RULESETS[product]
            signature = rules.signature(sample.exception())
            verdict = rules.judge(signature)
            if not signature.codes or verdict is None or verdict.rule.text:
                continue
            for message in (f"{_POISON} {signature.message}", f"{signature.message} {_POISON}"):
                poisoned = rules.judge(dataclasses.replace(signature, message=message))
                narrowed = poisoned.rule.text and set(poisoned.rule.codes) & set(signature.codes)
                self.assertTrue(poisoned.rule is verdict.rule or narrowed, f"{sample.label}: {poisoned.rule.label}")

    def test_values_that_read_like_errors_were_sent_to_every_server(self):
        for product in PRODUCTS:
            named = [sample for sample in load(product) if "with the text of an error" in sample.provocation]
            self.assertTrue(named, product)
            for sample in named:
                self.assertNotIn(sample.expected["raises"], ("DBDeadlock", "DBConnectionError", "DBLockTimeout"))

    def test_no_value_stands_in_the_text_of_an_error(self):
        for product, sample in _samples():
            value = sample.expected["fields"].get("value") or ""
            if len(value) > 2:
                self.assertNotIn(value, sample.expected["text"], f"{product}: {sample.label}")


class TablesTest(testtools.TestCase):
    def test_no_two_rules_have_the_same_label(self):
        for rules in RULESETS.values():
            labels = [rule.label for rule in rules.rules]
            self.assertEqual(sorted(set(labels)), sorted(labels))

    def test_every_rule_names_its_source(self):
        for rules in RULESETS.values():
            self.assertEqual([], [rule.label for rule in rules.rules if not rule.source])

    def test_no_rule_stands_behind_one_that_catches_all_of_it(self):
        for rules in RULESETS.values():
            taken = set()
            for rule in rules.rules:
                fresh = [code for code in rule.codes if code not in taken]
                self.assertTrue(fresh or not rule.codes, f"{rules.name}: {rule.label} is never reached")
                if not rule.text and not rule.classes:
                    taken.update(rule.codes)

    def test_rules_without_a_code_are_narrow(self):
        for rules in RULESETS.values():
            for rule in rules.rules:
                self.assertTrue(rule.codes or rule.classes, rule.label)

    def test_a_rule_that_would_catch_everything_is_refused(self):
        self.assertRaises(ValueError, Rule, DBError)

    def test_golden_list_of_rules_is_up_to_date(self):
        self.assertEqual(golden.GOLDEN.read_text(encoding="utf-8"), golden.render())

    def test_page_of_the_documentation_is_up_to_date(self):
        self.assertEqual(document.DOCUMENT.read_text(encoding="utf-8"), document.render())


class PrecedenceTest(testtools.TestCase):
    def rules(self, *rules, **options):
        return RuleSet("acme", rules, signature=lambda error: Signature(tuple(error.args), "text"), **options)

    def test_first_rule_wins(self):
        rules = self.rules(Rule(DBDeadlock, codes=(1,)), Rule(DBError, codes=(1,)))
        self.assertIs(DBDeadlock, rules.classify(Exception(1)).rule.raises)

    def test_most_specific_code_and_its_class_reach_the_same_rules(self):
        rules = self.rules(Rule(DBDeadlock, codes=("40001",)), Rule(DBError, codes=("40",)))
        self.assertIs(DBDeadlock, rules.classify(Exception("40001", "40")).rule.raises)
        self.assertIs(DBError, rules.classify(Exception("40002", "40")).rule.raises)

    def test_extract_reads_and_never_decides(self):
        rules = self.rules(Rule(DBError, codes=(1,), extract=r"(?P<table>no such thing)"))
        self.assertEqual({}, rules.classify(Exception(1)).fields)

    def test_rule_without_a_code_does_not_look_at_errors_that_have_one(self):
        rules = self.rules(Rule(DBError, text="text"))
        self.assertIsNone(rules.classify(Exception(1)))
        self.assertIsNotNone(rules.classify(Exception()))

    def test_product_says_once_what_a_failed_statement_does(self):
        rules = self.rules(Rule(DBError, codes=(1,)), Rule(DBDeadlock, codes=(2,)), failed_statement=Outcome.ABORTED)
        self.assertIs(Outcome.ABORTED, rules.classify(Exception(1)).outcome)
        self.assertIs(Outcome.ROLLED_BACK, rules.classify(Exception(2)).outcome)
