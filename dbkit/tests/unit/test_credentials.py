"""Credentials from a callable: when it is asked, what the driver is given, and where they never show."""

from __future__ import annotations

import testtools
from sqlalchemy import create_engine, event
from sqlalchemy.engine import make_url

from dbkit.engines.listeners import credentials
from dbkit.engines.settings import EngineSettings
from dbkit.exceptions import InvalidSetting
from dbkit.tests.behaviours.combinations import is_installed

_SECRET = "s3cr3t-of-the-hour"


class Intercepted(Exception):
    """Raised in place of a connection."""


class TestCredentials(testtools.TestCase):
    def settings(self, ask, url="postgresql+psycopg://app:old@db/shop"):
        return EngineSettings.resolve(url=url, overrides={"credentials": ask} if ask else {}, environ={})

    def given(self, ask, url="postgresql+psycopg://app:old@db/shop"):
        """Return the arguments of the driver, at each of two connections."""
        engine = create_engine(make_url(url))
        seen = []

        def intercept(dialect, record, arguments, parameters):
            seen.append(dict(parameters))
            raise Intercepted

        credentials.install(engine, self.settings(ask, url))
        event.listen(engine, "do_connect", intercept)
        for _ in range(2):
            self.assertRaises(Intercepted, engine.raw_connection)
        return seen

    def test_they_are_asked_for_before_each_connection(self):
        answers = iter([("first", "one"), ("second", "two")])
        seen = self.given(lambda: next(answers))
        self.assertEqual([("first", "one"), ("second", "two")], [(each["user"], each["password"]) for each in seen])

    def test_a_password_alone_leaves_the_user_of_the_url(self):
        seen = self.given(lambda: _SECRET)
        self.assertEqual([("app", _SECRET)] * 2, [(each["user"], each["password"]) for each in seen])

    def test_without_a_callable_the_url_has_them(self):
        seen = self.given(None)
        self.assertEqual([("app", "old")] * 2, [(each["user"], each["password"]) for each in seen])

    def test_each_driver_gets_the_password_under_its_own_name(self):
        for driver, name in (
            ("postgresql+psycopg", "password"),
            ("postgresql+psycopg2", "password"),
            ("mysql+pymysql", "password"),
            ("mariadb+pymysql", "password"),
        ):
            self.assert_given_as(name, driver)

    @testtools.skipUnless(is_installed("mysqldb"), "the driver mysqldb is not installed: pip install mysqlclient")
    def test_mysqlclient_gets_it_under_its_own_name_too(self):
        self.assert_given_as("passwd", "mysql+mysqldb")

    def assert_given_as(self, name, driver):
        seen = self.given(lambda: ("someone", _SECRET), f"{driver}://app:old@db/shop")
        self.assertEqual(_SECRET, seen[0][name], driver)
        self.assertEqual("someone", seen[0]["user"], driver)
        self.assertNotIn("old", seen[0].values(), driver)

    def test_they_show_in_no_text_of_the_settings(self):
        settings = self.settings(lambda: ("app", _SECRET))
        settings.credentials()
        shown = repr(settings) + str(settings) + "".join(str(each) for each in settings.described())
        self.assertNotIn(_SECRET, shown)
        self.assertNotIn("old", settings.masked_url)

    def test_a_wrong_answer_is_not_quoted(self):
        for answer in (None, 7, ("user", "word", _SECRET), ["app", _SECRET], {"password": _SECRET}, b"bytes"):
            settings = self.settings(lambda answer=answer: answer)
            error = self.assertRaises(InvalidSetting, settings.credentials)
            self.assertNotIn(_SECRET, str(error))
            self.assertIn("must return a password", str(error))
