"""Databases kept for the next test, and resources that answer with an error."""

from __future__ import annotations

import unittest

import fixtures
import testtools

from dbkit.exceptions import BackendNotAvailable, DBConnectionError, UsageError
from dbkit.testing.fixtures.places import ADMIN_SETTING, Place, place_of
from dbkit.testing.fixtures.resources import Answer, ServerResource
from dbkit.testing.fixtures.scenarios import BACKENDS_SETTING, chosen_kinds
from dbkit.testing.fixtures.shelf import KEPT, SchemaResource, Shelf


class Database:
    """Stands for a database that may refuse to be cleared."""

    def __init__(self, refuses=False):
        self.refuses = refuses
        self.built = 0
        self.is_dropped = False

    def build(self):
        self.built += 1

    def clear(self):
        if self.refuses:
            raise DBConnectionError("the server is gone")

    def drop(self):
        self.is_dropped = True


class Source:
    def __init__(self, keeps_schema=False, **words):
        self.keeps_schema = keeps_schema
        self.words = words
        self.made = []

    def new_database(self):
        self.made.append(Database(**self.words))
        return self.made[-1]


def key(ident):
    return Source, "sqlite", str(ident)


class TestShelf(testtools.TestCase):
    def test_a_database_is_taken_once(self):
        shelf, database = Shelf(), Database()
        shelf.put(key(1), database)
        self.assertIs(database, shelf.take(key(1)))
        self.assertIsNone(shelf.take(key(1)))

    def test_the_longest_unused_are_dropped(self):
        shelf, databases = Shelf(), [Database() for _ in range(KEPT + 2)]
        for number, database in enumerate(databases):
            shelf.put(key(number), database)
        self.assertEqual([True, True] + [False] * KEPT, [each.is_dropped for each in databases])

    def test_one_of_the_same_key_takes_the_place_of_the_other(self):
        shelf, first, second = Shelf(), Database(), Database()
        shelf.put(key(1), first)
        shelf.put(key(1), second)
        self.assertEqual((True, False), (first.is_dropped, second.is_dropped))


class TestSchemaResource(testtools.TestCase):
    def resource(self, **words):
        source = Source(**words)
        return source, SchemaResource(key(f"{self.id()} {words}"), ServerResource("sqlite"), source)

    def use(self, resource):
        answer = resource.getResource()
        resource.finishedWith(answer)
        return answer.get()

    def test_the_database_is_kept_and_a_schema_that_is_not_is_built_again(self):
        source, resource = self.resource()
        first = self.use(resource)
        self.assertIs(first, self.use(resource))
        self.assertEqual((1, 2), (len(source.made), first.built))

    def test_one_that_refuses_is_given_up_and_the_run_goes_on(self):
        self.useFixture(fixtures.FakeLogger())
        source, resource = self.resource(refuses=True)
        self.use(resource)
        self.use(resource)
        self.assertEqual(2, len(source.made))

    def test_a_suite_that_holds_it_makes_it_dirty_test_by_test(self):
        for keeps, built in ((False, 3), (True, 1)):
            source, resource = self.resource(keeps_schema=keeps)
            held = resource.getResource()
            for _ in range(3):
                answer = resource.getResource()
                resource.finishedWith(answer)
            self.assertEqual(1, len(source.made))
            self.assertEqual(built, source.made[0].built)
            resource.finishedWith(held)


class TestAnswers(testtools.TestCase):
    def answer(self, error):
        def ask():
            raise error

        return Answer(ask)

    def test_an_error_is_raised_to_each_who_asks(self):
        answer = self.answer(UsageError("no"))
        self.assertIsNone(answer.value)
        for _ in range(2):
            self.assertEqual("no", str(self.assertRaises(UsageError, answer.get)))

    def test_a_reason_to_skip_skips_each(self):
        answer = self.answer(unittest.SkipTest("no server"))
        for _ in range(2):
            self.assertEqual("no server", str(self.assertRaises(unittest.SkipTest, answer.get)))


class TestPlaces(testtools.TestCase):
    urls = "mariadb+mysqldb://root@h/;postgresql://app:secret@h/postgres"

    def test_without_the_variable_it_is_the_server_of_the_run(self):
        self.assertEqual(Place("mysql"), place_of("mariadb", {}))
        self.assertEqual(Place("postgresql", "asyncpg"), place_of("postgresql+asyncpg", {ADMIN_SETTING: ""}))

    def test_the_variable_names_urls_by_their_product(self):
        place = place_of("mysql", {ADMIN_SETTING: self.urls})
        self.assertEqual(("mysql", "mysqldb", "h"), (place.kind, place.driver, place.url.host))
        self.assertIsNone(place_of("postgresql", {ADMIN_SETTING: self.urls}).driver)

    def test_what_it_does_not_name_is_not_there(self):
        missing = self.assertRaises(unittest.SkipTest, place_of, "sqlite", {ADMIN_SETTING: self.urls})
        self.assertIn("names no sqlite database", str(missing))
        self.assertNotIn("secret", str(missing))
        self.assertIsInstance(missing.__cause__, BackendNotAvailable)


class TestChosenKinds(testtools.TestCase):
    def test_what_a_test_is_for_and_what_the_run_is_told(self):
        for wanted, told, expected in (
            (None, "", ("sqlite",)),
            (None, "postgresql, mariadb", ("postgresql", "mysql")),
            (("mariadb", "sqlite"), "", ("mysql", "sqlite")),
            (("sqlite", "postgresql"), "postgresql", ("postgresql",)),
            ("mysql", "", ("mysql",)),
            (("sqlite",), "mysql", ()),
            (("mysql", "mariadb"), "", ("mysql",)),
        ):
            self.assertEqual(expected, chosen_kinds(wanted, {BACKENDS_SETTING: told}))

    def test_a_misspelt_one_is_refused(self):
        self.assertRaises(UsageError, chosen_kinds, ("sqllite",), {})
        error = self.assertRaises(UsageError, chosen_kinds, None, {BACKENDS_SETTING: "postgre"})
        self.assertIn("did you mean 'postgresql'?", str(error))
