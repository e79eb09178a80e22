"""The plan of the first connection: how often, how long, and after which errors it is tried again."""

from __future__ import annotations

import logging

import fixtures
import testtools

from dbkit.deadline import Deadline
from dbkit.engines.probe import probing
from dbkit.exceptions import (
    DBAccessDenied,
    DBConnectionError,
    DBError,
    DBNonExistentDatabase,
    DBTooManyConnections,
    PoolTimeout,
)
from dbkit.plan import adrive, drive
from dbkit.tests.behaviours.colours import run_now
from dbkit.tests.steering import SteeredClock


class Server:
    """Answers each attempt to connect with the next of its answers, and with the last one from then on."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.attempts = 0

    def connect(self):
        self.attempts += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def aconnect(self):
        return self.connect()


def refused():
    return DBConnectionError(message="nobody listens at db:5432")


class TestProbing(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.clock = SteeredClock()
        self.log = self.useFixture(fixtures.FakeLogger("dbkit.engines.probe", level=logging.DEBUG))

    def probe(self, server, max_retries, interval=10.0):
        return drive(probing(server.connect, self.clock.sleep, max_retries, interval, "postgresql://db/app"))

    def test_the_first_success_ends_it(self):
        server = Server("a connection")
        self.assertEqual("a connection", self.probe(server, 10))
        self.assertEqual((1, []), (server.attempts, self.clock.slept))
        self.assertEqual("", self.log.output)

    def test_it_waits_between_attempts_until_one_succeeds(self):
        server = Server(refused(), refused(), "a connection")
        self.assertEqual("a connection", self.probe(server, 10, interval=7))
        self.assertEqual((3, [7, 7]), (server.attempts, self.clock.slept))

    def test_the_retries_are_counted_and_no_sleep_follows_the_last(self):
        server = Server(refused())
        self.assertRaises(DBConnectionError, self.probe, server, 3)
        self.assertEqual((4, [10.0] * 3), (server.attempts, self.clock.slept))

    def test_no_wait_begins_that_would_end_after_a_deadline(self):
        server = Server(refused())
        deadline = Deadline.after(25, self.clock)
        plan = probing(server.connect, self.clock.sleep, -1, 10.0, "postgresql://db/app", deadline)
        self.assertRaises(DBConnectionError, drive, plan)
        self.assertEqual((3, [10.0, 10.0]), (server.attempts, self.clock.slept))

    def test_none_is_made_when_none_is_wanted(self):
        server = Server(refused())
        self.assertRaises(DBConnectionError, self.probe, server, 0)
        self.assertEqual((1, []), (server.attempts, self.clock.slept))

    def test_minus_one_goes_on_until_it_works(self):
        server = Server(*[refused() for _ in range(500)], "a connection")
        self.assertEqual("a connection", self.probe(server, -1))
        self.assertEqual(500, len(self.clock.slept))

    def test_the_error_is_that_of_the_last_attempt(self):
        errors = [refused() for _ in range(3)]
        self.assertIs(errors[2], self.assertRaises(DBConnectionError, self.probe, Server(*errors), 2))

    def test_a_server_that_is_full_is_asked_again(self):
        server = Server(DBTooManyConnections(message="full"), "a connection")
        self.assertEqual("a connection", self.probe(server, 1))

    def test_what_waiting_cannot_mend_fails_at_once(self):
        for error in (
            DBAccessDenied(message="no"),
            DBNonExistentDatabase(message="no"),
            PoolTimeout(message="no"),
            DBError(message="no"),
            ValueError("no"),
            KeyboardInterrupt(),
        ):
            server = Server(error)
            self.assertIs(error, self.assertRaises(type(error), self.probe, server, 10))
            self.assertEqual((1, []), (server.attempts, self.clock.slept))

    def test_an_attempt_that_cannot_be_mended_ends_the_retries(self):
        server = Server(refused(), DBAccessDenied(message="a wrong password"))
        self.assertRaises(DBAccessDenied, self.probe, server, 10)
        self.assertEqual(2, server.attempts)

    def test_each_retry_is_announced_with_what_is_left(self):
        self.assertRaises(DBConnectionError, self.probe, Server(refused()), 2)
        lines = self.log.output.splitlines()
        self.assertEqual(2, len(lines), lines)
        self.assertIn("postgresql://db/app is out of reach", lines[0])
        self.assertIn("nobody listens at db:5432", lines[0])
        self.assertIn("trying again in 10 s, 1 more after it", lines[0])
        self.assertIn("0 more after it", lines[1])

    def test_without_a_bound_no_number_is_made_up(self):
        self.probe(Server(refused(), "a connection"), -1)
        self.assertNotIn("-1", self.log.output)
        self.assertIn("more will follow", self.log.output)

    def test_asyncio_drives_the_same_plan(self):
        server = Server(refused(), refused(), "a connection")
        plan = probing(server.aconnect, self.clock.asleep, 5, 1.0, "postgresql://db/app")
        self.assertEqual("a connection", run_now(adrive(plan)))
        self.assertEqual((3, [1.0, 1.0]), (server.attempts, self.clock.slept))

    def test_an_interrupted_sleep_ends_it(self):
        def interrupted(seconds):
            raise KeyboardInterrupt

        server = Server(refused())
        plan = probing(server.connect, interrupted, -1, 1.0, "postgresql://db/app")
        self.assertRaises(KeyboardInterrupt, drive, plan)
        self.assertEqual(1, server.attempts)
