"""The log of a transaction: what it keeps cannot change, and it stays within its bounds."""

from __future__ import annotations

import testtools

from dbkit.engines.view import Sent
from dbkit.transaction.replay.conditions import STRANGE_VALUE, TOO_LARGE, TOO_OLD
from dbkit.transaction.replay.log import Log


class Clock:
    at = 100.0

    def now(self):
        return self.at


def sent(statement="SELECT 1", parameters=()):
    return Sent(print, None, statement, parameters, None)


class TestLog(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.clock = Clock()
        self.log = Log(10_000, 30.0, self.clock.now)

    def test_it_keeps_statements_in_their_order(self):
        for number in range(3):
            self.log.add(self.log.kept(sent(f"SELECT {number}")))
        self.assertEqual(["SELECT 0", "SELECT 1", "SELECT 2"], [each.statement for each in self.log.entries])

    def test_parameters_are_kept_as_they_were_when_they_were_sent(self):
        names, data = ["a"], bytearray(b"ab")
        parameters = {"names": names, "data": data, "view": memoryview(data), "deep": ({"x": names},)}
        entry = self.log.kept(sent(parameters=parameters))
        names.append("b")
        data[0] = 0
        parameters["more"] = 1
        self.assertEqual({"names": ["a"], "data": b"ab", "view": b"ab", "deep": ({"x": ["a"]},)}, entry.parameters)

    def test_no_parameters_stay_none(self):
        self.assertIs(None, self.log.kept(sent(parameters=None)).parameters)

    def test_a_parameter_that_cannot_be_kept_ends_it(self):
        self.assertIs(None, self.log.kept(sent(parameters=(open(__file__),))))
        self.assertIs(STRANGE_VALUE, self.log.why_not)

    def test_too_many_bytes_end_it_and_are_not_held(self):
        for kind in ("x" * 11_000, b"x" * 11_000, bytearray(11_000), ["x" * 6_000, "y" * 6_000], {"a": "x" * 11_000}):
            log = Log(10_000, 30.0, self.clock.now)
            log.add(log.kept(sent()))
            self.assertIs(None, log.kept(sent(parameters=(kind,))))
            self.assertEqual((TOO_LARGE, [], 0), (log.why_not, log.entries, log.size))

    def test_many_small_statements_end_it_too(self):
        for _ in range(1000):
            entry = self.log.kept(sent())
            if entry is None:
                break
            self.log.add(entry)
        self.assertIs(TOO_LARGE, self.log.reason)

    def test_it_is_too_old_when_its_time_is_over(self):
        self.log.kept(sent())
        self.clock.at += 29
        self.assertEqual((None, 1.0), (self.log.why_not, self.log.left_s))
        self.clock.at += 1
        self.assertIs(TOO_OLD, self.log.why_not)

    def test_its_time_begins_with_the_first_statement(self):
        self.clock.at += 1000
        self.assertIs(None, self.log.why_not)

    def test_the_first_reason_stays(self):
        self.log.disable(STRANGE_VALUE)
        self.log.disable(TOO_LARGE)
        self.assertIs(STRANGE_VALUE, self.log.reason)
