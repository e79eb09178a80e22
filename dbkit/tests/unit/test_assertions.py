"""What the assertions are made of: places, lists of statements, originals of errors, the relay, who follows whom."""

from __future__ import annotations

import socket

import testtools
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

import dbkit
from dbkit.backends.registry import backend_for
from dbkit.exceptions import (
    DBConstraintError,
    DBDataError,
    DBDeadlock,
    DBDuplicateEntry,
    DBExclusionError,
    DBLockTimeout,
    DBSerializationFailure,
    UsageError,
)
from dbkit.spec import Colour
from dbkit.testing.assertions import Sent, assert_statements, count_statements
from dbkit.testing.assertions.originals import original_of
from dbkit.testing.assertions.places import caller, callers
from dbkit.testing.assertions.relay import Relay
from dbkit.testing.assertions.statements import listed


def place_here():
    return caller()


class TestPlaces(testtools.TestCase):
    def test_the_nearest_line_of_the_application_is_named(self):
        place = place_here()
        self.assertEqual(("place_here", "return caller()"), (place.function, place.text))
        self.assertRegex(str(place), r"test_assertions\.py:\d+ in place_here: return caller\(\)$")

    def test_libraries_are_passed_over(self):
        engine = create_engine("sqlite://")
        with count_statements(engine) as recorder, engine.connect() as connection:
            connection.execute(text("SELECT 1"))  # through SQLAlchemy and dbkit
        self.assertEqual('connection.execute(text("SELECT 1"))', recorder.sent[0].place.text.split("  #")[0])
        engine.dispose()

    def test_the_lines_that_lead_there_follow(self):
        found = list(callers())
        self.assertEqual("test_the_lines_that_lead_there_follow", found[0].function)


class TestWrites(testtools.TestCase):
    def test_one_behind_a_setting_in_the_same_text_is_seen(self):
        engine = create_engine("sqlite://")
        for sql, is_write in (
            ("SET a = 1", False),
            ("SET a = 1; DELETE FROM items", True),
            ("SET a = 'it''s; DELETE FROM items';", False),
            ("LOCK TABLES items READ", False),
            ("UNLOCK TABLES", False),
        ):
            with count_statements(engine) as recorder, engine.connect() as connection:
                self.assertRaises(SQLAlchemyError, connection.execute, text(sql))  # SQLite knows none of them
            self.assertEqual([is_write], [each.is_write for each in recorder.sent], sql)


class TestLists(testtools.TestCase):
    def test_alike_statements_stand_together_in_the_order_of_the_first(self):
        here, there = place_here(), next(callers())
        sent = [Sent("B", here), Sent("A", there), Sent("B", here), Sent("B", there)]
        lines = listed(sent).splitlines()
        self.assertEqual(["  3 x B", f"      2 x {here}", f"      1 x {there}", "  1 x A", f"      {there}"], lines)

    def test_what_libraries_send_by_themselves_has_no_line(self):
        lines = listed([Sent("SELECT 1", None)]).splitlines()
        self.assertEqual(["  1 x SELECT 1", "      no line of the application is on the stack"], lines)

    def test_layout_and_length_are_tamed(self):
        lines = listed([Sent("SELECT\n   1", None), Sent("x" * 1000, None)]).splitlines()
        self.assertEqual("  1 x SELECT 1", lines[0])
        self.assertTrue(lines[2].endswith("xxx ..."))

    def test_nothing_sent_is_told_without_a_list(self):
        engine = create_engine("sqlite://")
        error = self.assertRaises(AssertionError, self.expect_one, engine)
        self.assertEqual("0 statements sent, 1 expected", str(error))

    @staticmethod
    def expect_one(engine):
        with assert_statements(engine, 1):
            pass


class TestOriginals(testtools.TestCase):
    def original(self, product, wanted, at_commit=False):
        return original_of(backend_for(product).rules, wanted, at_commit)

    def test_the_code_comes_from_the_rules(self):
        self.assertEqual("40P01", self.original("postgresql", DBDeadlock).code)
        self.assertEqual(1213, self.original("mysql", DBDeadlock).code)
        self.assertEqual("SQLITE_BUSY_SNAPSHOT", self.original("sqlite", DBSerializationFailure).code)

    def test_half_a_sqlstate_is_completed(self):
        self.assertEqual("22000", self.original("postgresql", DBDataError).code)

    def test_a_derived_class_stands_in_for_one_that_the_product_lacks(self):
        self.assertTrue(issubclass(self.original("sqlite", DBDeadlock).rule.raises, DBDeadlock))

    def test_an_instance_says_the_code_and_the_objects(self):
        wanted = DBLockTimeout(sqlstate="55P03")
        self.assertEqual("55P03", self.original("postgresql", wanted).code)
        duplicate = DBDuplicateEntry(columns=["name"], table="items")
        self.assertEqual("UNIQUE constraint failed: items.name", self.original("sqlite", duplicate).message)

    def test_at_commit_an_error_that_says_what_became_of_it_goes_first(self):
        self.assertEqual(1412, self.original("mysql", DBSerializationFailure).code)
        self.assertEqual(1020, self.original("mysql", DBSerializationFailure, at_commit=True).code)

    def test_what_the_product_does_not_have_is_refused(self):
        error = self.assertRaises(UsageError, self.original, "mysql", DBExclusionError)
        self.assertIn("mysql has no DBExclusionError that could be raised; it has DBAccessDenied", str(error))
        error = self.assertRaises(UsageError, self.original, "mysql", DBConstraintError(errno=1))
        self.assertIn("with the code 1", str(error))


class TestFollowing(testtools.TestCase):
    def test_engines_that_are_there_and_those_that_come_are_told(self):
        database = dbkit.Database("sqlite://")
        told = []
        stop = database.factory.follow(told.append)
        self.assertEqual([], told)
        engines = database.factory.engines(Colour.BLOCKING)
        self.assertEqual([engines], told)
        stop()
        database.reload()
        database.factory.engines(Colour.BLOCKING)
        self.assertEqual([engines], told)

    def test_one_that_refuses_an_engine_is_not_told_of_others(self):
        database = dbkit.Database("sqlite://")
        database.factory.engines(Colour.BLOCKING)
        told = []

        def refuse(engines):
            told.append(engines)
            raise UsageError("no")

        self.assertRaises(UsageError, database.factory.follow, refuse)
        database.reload()
        database.factory.engines(Colour.BLOCKING)
        self.assertEqual(1, len(told))

    def test_a_factory_that_a_test_puts_in_place_is_told(self):
        database, other = dbkit.Database("sqlite://"), dbkit.Database("sqlite://")
        told = []
        stop = database.follow_factory(told.append)
        reset = database.patch_factory(other)
        reset()
        stop()
        database.patch_factory(other)()
        self.assertEqual([database.factory, other.factory, database.factory], told)

    def test_of_several_who_take_hooks_the_last_one_has_them(self):
        factory = dbkit.Database("sqlite://").factory
        taken = []

        def take(name):
            return factory.take_hooks(lambda hook, waits_for_commit: taken.append((name, waits_for_commit)) or hook)

        stops = [take("first"), take("second")]
        self.assertIs(print, factory.admit(print, True))
        stops.pop()()
        factory.admit(print, False)
        stops.pop()()
        factory.admit(print, True)
        self.assertEqual([("second", True), ("first", False)], taken)


class TestRelay(testtools.TestCase):
    def test_a_trip_begins_when_the_client_speaks_after_the_server(self):
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        relay = Relay("127.0.0.1", server.getsockname()[1], once=True)
        relay.start()
        client = socket.create_connection((relay.host, relay.port))
        at_server, _ = server.accept()
        for exchange in range(3):
            client.sendall(b"ask")
            self.assertEqual(b"ask", at_server.recv(3))
            at_server.sendall(b"answer")
            self.assertEqual(b"answer", client.recv(6))
            self.assertEqual(exchange + 1, relay.counts.trips)
        client.close()
        self.assertEqual(b"", at_server.recv(1))
        at_server.close()
        relay.stop()  # it has ended with its connection; that makes no difference
