"""URLs: what is refused and in which words, what is completed, and which driver each colour gets."""

from __future__ import annotations

import sys
import types
from unittest import mock

import testtools
from sqlalchemy.engine import URL, make_url

from dbkit.engines import url as urls
from dbkit.exceptions import BackendMissing, DriverMissing, DriverRefused, InvalidURL
from dbkit.spec import Colour

PASSWORD = "s3cret"

# What is wrong with it, and what the text must say. Each password is PASSWORD, in one form or another.
REFUSED = {
    "": "is empty; write sqlite:///app.db",
    "   ": "is empty",
    "app.db": "names no scheme",
    "u:s3cret@host/db": "names no scheme",
    "postgres://u:s3cret@host/db": "names no database product that is known; write postgresql://",
    "postgre://u:s3cret@host/db": "write postgresql://",
    "sqlite3:///app.db": "write sqlite://",
    "maria://u:s3cret@host/db": "write mariadb://",
    "postgresql://u:s3cret/db": "cannot be read",
    "postgresql://u:s3cret@host:port/db": "cannot be read",
    "postgresql://u:s3@s3cret@host/db": "write it as %40",
    "postgresql://u:s3cret@host": "names no database; write its name after the host",
    "mysql://u:s3cret@host/": "names no database",
    "mariadb://u:s3cret@host:3306": "names no database",
    "postgresql+pg8000://u:s3cret@host/db": "for postgresql there are asyncpg, psycopg, psycopg2, psycopg_async",
    "postgresql+psycopg3://u:s3cret@host/db": "did you mean 'psycopg'?",
    "mysql+mysqlconnector://u:s3cret@host/db": "the driver 'mysqlconnector' in mysql+mysqlconnector://u:***@host/db",
    "postgresql://u:s3cret@host/db?sslmod=require": "no argument 'sslmod', which",
    "postgresql+psycopg2://u:s3cret@host/db?aplication_name=x": "did you mean 'application_name'?",
    "postgresql+asyncpg://u:s3cret@host/db?sslmode=require": "did you mean 'ssl'?",
    "mysql://u:s3cret@host/db?charest=utf8": "did you mean 'charset'?",
    "mysql+asyncmy://u:s3cret@host/db?unix_sockt=x": "did you mean 'unix_socket'?",
    "mysql://u:s3cret@host/db?ssl_disabled=true&zzz=1": "connect_args",
    "sqlite:///app.db?tiemout=3": "did you mean 'timeout'?",
    "sqlite:///app.db?password=s3cret": "connect_args",
    "sqlite://app.db": "sqlite:///app.db",
    "sqlite://u:s3cret@/app.db": "three slashes",
}


class TestRefusal(testtools.TestCase):
    def test_each_bad_url_is_refused_in_words_that_help(self):
        for url, words in REFUSED.items():
            error = self.assertRaises(InvalidURL, urls.vet, url)
            self.assertIn(words, str(error), url)

    def test_no_refusal_shows_a_password(self):
        for url in REFUSED:
            error: BaseException | None = self.assertRaises(InvalidURL, urls.vet, url)
            while error is not None:
                self.assertNotIn(PASSWORD, str(error))
                error = error.__cause__ if error.__suppress_context__ else error.__context__

    def test_a_product_without_a_backend_is_another_error(self):
        for url in ("oracle://u:s3cret@host/db", "mssql+pyodbc://u:s3cret@host/db"):
            error = self.assertRaises(BackendMissing, urls.vet, url)
            self.assertIn("served are mariadb, mysql, postgresql, sqlite", str(error))
            self.assertNotIn(PASSWORD, str(error))

    def test_what_is_no_text_is_refused_by_its_type(self):
        error = self.assertRaises(InvalidURL, urls.vet, 42)
        self.assertIn("not int", str(error))


class TestAcceptance(testtools.TestCase):
    def test_space_around_a_url_is_no_part_of_it(self):
        for url in ("sqlite:///app.db", "postgresql://u:p@host/db", "mysql://u:p@host/db?charset=latin1"):
            for text in (f" {url}", f"{url} ", f"\t{url}\r\n"):
                self.assertEqual(urls.vet(url), urls.vet(text))

    def test_a_url_object_is_taken_as_it_is(self):
        url = URL.create("postgresql+psycopg", "u", "p@ss/word", "host", 5432, "db")
        self.assertEqual(url, urls.vet(url))

    def test_a_database_may_be_named_by_an_argument_or_a_service(self):
        for url in ("postgresql://host?dbname=app", "postgresql://?service=app", "mysql://?read_default_file=/etc/my"):
            urls.vet(url)

    def test_several_hosts_are_accepted(self):
        urls.vet("postgresql://u:p@/db?host=one:5432&host=two:5432&target_session_attrs=read-write")

    def test_engine_plugins_are_accepted_with_every_driver(self):
        for url in (
            "sqlite:///app.db?plugin=a&plugin=b",
            "mysql://u@host/db?plugin=a",
            "postgresql://host/db?plugin=a",
        ):
            self.assertIn("plugin", urls.vet(url).query)

    def test_an_sqlite_url_without_a_path_is_a_database_in_memory(self):
        for url in ("sqlite://", "sqlite:///:memory:", "sqlite+aiosqlite://"):
            urls.vet(url)

    def test_mysql_speaks_all_of_unicode(self):
        self.assertEqual("utf8mb4", urls.vet("mariadb://u@host/db").query["charset"])

    def test_vetting_twice_changes_nothing(self):
        for url in ("sqlite://", "sqlite:///app.db", "mysql://u@host/db", "postgresql://u@host/db"):
            once = urls.vet(url)
            self.assertEqual(once, urls.vet(once))

    def test_only_what_has_users_and_hosts_is_a_server(self):
        self.assertFalse(urls.has_server(make_url("sqlite:///app.db")))
        for url in ("postgresql+asyncpg://host/db", "mysql+mysqldb://host/db", "mariadb://host/db"):
            self.assertTrue(urls.has_server(make_url(url)))

    def test_parameters_are_added_and_repeated_names_keep_both_values(self):
        url = urls.with_parameters(make_url("mysql://host/db?plugin=a"), "plugin=b&charset=latin1")
        self.assertEqual({"plugin": ("a", "b"), "charset": "latin1"}, dict(url.query))
        self.assertIs(url, urls.with_parameters(url, ""))


class TestColours(testtools.TestCase):
    """URL, the scheme of blocking code, the scheme of asyncio code."""

    SCHEMES = (
        ("sqlite:///app.db", "sqlite+pysqlite", "sqlite+aiosqlite"),
        ("sqlite+pysqlite:///app.db", "sqlite+pysqlite", "sqlite+aiosqlite"),
        ("sqlite+aiosqlite:///app.db", "sqlite+pysqlite", "sqlite+aiosqlite"),
        ("postgresql://host/db", "postgresql+psycopg", "postgresql+psycopg"),
        ("postgresql+psycopg://host/db", "postgresql+psycopg", "postgresql+psycopg"),
        ("postgresql+psycopg_async://host/db", "postgresql+psycopg", "postgresql+psycopg_async"),
        ("postgresql+psycopg2://host/db", "postgresql+psycopg2", "postgresql+asyncpg"),
        ("postgresql+asyncpg://host/db", "postgresql+psycopg2", "postgresql+asyncpg"),
        ("mysql://host/db", "mysql+pymysql", "mysql+asyncmy"),
        ("mysql+pymysql://host/db", "mysql+pymysql", "mysql+asyncmy"),
        ("mysql+asyncmy://host/db", "mysql+pymysql", "mysql+asyncmy"),
        ("mysql+aiomysql://host/db", "mysql+pymysql", "mysql+aiomysql"),
        ("mysql+mysqldb://host/db", "mysql+mysqldb", "mysql+asyncmy"),
        ("mariadb://host/db", "mariadb+pymysql", "mariadb+asyncmy"),
        ("mariadb+mysqldb://host/db", "mariadb+mysqldb", "mariadb+asyncmy"),
    )

    def setUp(self):
        super().setUp()
        for module in ("psycopg", "psycopg2", "asyncpg", "pymysql", "MySQLdb", "asyncmy", "aiomysql", "aiosqlite"):
            try:
                __import__(module)
            except ImportError as error:
                self.skipTest(f"a driver is not installed: {error}")

    def test_one_url_serves_both_colours(self):
        for url, blocking, asyncio in self.SCHEMES:
            self.assertEqual(blocking, urls.for_colour(url, Colour.BLOCKING).drivername, url)
            self.assertEqual(asyncio, urls.for_colour(url, Colour.ASYNCIO).drivername, url)

    def test_the_driver_is_always_written(self):
        for url, _, _ in self.SCHEMES:
            for colour in Colour:
                self.assertIn("+", urls.for_colour(url, colour).drivername)

    def test_both_colours_of_a_database_in_memory_meet_in_one(self):
        url = urls.vet("sqlite://")
        self.assertEqual(urls.for_colour(url, Colour.BLOCKING).database, urls.for_colour(url, Colour.ASYNCIO).database)

    def test_an_argument_of_the_same_meaning_is_renamed(self):
        for url, colour, query in (
            ("postgresql+psycopg2://host/db?sslmode=require", Colour.ASYNCIO, {"ssl": "require"}),
            ("postgresql+asyncpg://host/db?ssl=verify-full", Colour.BLOCKING, {"sslmode": "verify-full"}),
            ("postgresql+psycopg2://host?dbname=db", Colour.ASYNCIO, {"database": "db"}),
        ):
            self.assertEqual(query, dict(urls.for_colour(url, colour).query))

    def test_the_named_driver_keeps_its_arguments(self):
        url = urls.for_colour("postgresql+psycopg2://host/db?sslmode=require", Colour.BLOCKING)
        self.assertEqual({"sslmode": "require"}, dict(url.query))

    def test_plugins_stay_in_both_colours(self):
        url = urls.for_colour("postgresql+psycopg2://host/db?plugin=a", Colour.ASYNCIO)
        self.assertEqual({"plugin": "a"}, dict(url.query))

    def test_an_argument_without_a_counterpart_is_refused_and_never_dropped(self):
        for url, name, colour, setting in (
            ("postgresql+psycopg2://u:s3cret@h/db?sslrootcert=ca.pem", "sslrootcert", Colour.ASYNCIO, "asyncio_conn"),
            ("postgresql+asyncpg://u:s3cret@h/db?command_timeout=3", "command_timeout", Colour.BLOCKING, "connection"),
            ("mysql://u:s3cret@h/db?collation=utf8mb4_bin", "collation", Colour.ASYNCIO, "asyncio_connection"),
        ):
            error = self.assertRaises(InvalidURL, urls.for_colour, url, colour)
            self.assertIn(f"the argument {name!r} in", str(error))
            self.assertIn(setting, str(error))
            self.assertNotIn(PASSWORD, str(error))

    def test_a_colour_whose_driver_is_missing_names_the_package_and_the_other_still_works(self):
        with mock.patch.dict(sys.modules, {"asyncmy": None}):
            error = self.assertRaises(DriverMissing, urls.for_colour, "mysql://host/db", Colour.ASYNCIO)
            self.assertIn("pip install 'dbkit[asyncmy]'", str(error))
            urls.for_colour("mysql://host/db", Colour.BLOCKING)

    def test_a_missing_stand_in_says_why_it_is_needed_and_what_else_can_be_done(self):
        for url, module, colour, words in (
            ("postgresql+asyncpg://host/db", "psycopg2", Colour.BLOCKING, "'asyncpg', which serves asyncio code only"),
            ("postgresql+psycopg2://host/db", "asyncpg", Colour.ASYNCIO, "'psycopg2', which serves blocking code only"),
        ):
            with mock.patch.dict(sys.modules, {module: None}):
                error = self.assertRaises(DriverMissing, urls.for_colour, url, colour)
            self.assertIn(f"pip install 'dbkit[{module}]'", str(error))
            self.assertIn(words, str(error))
            self.assertIn("leave the driver out of the URL", str(error))

    def test_a_missing_driver_that_the_url_names_needs_no_reason(self):
        for url, module in (("postgresql+psycopg2://host/db", "psycopg2"), ("mysql://host/db", "pymysql")):
            with mock.patch.dict(sys.modules, {module: None}):
                error = self.assertRaises(DriverMissing, urls.for_colour, url, Colour.BLOCKING)
            self.assertNotIn("stands in", str(error))

    def test_a_driver_that_would_stop_all_green_threads_is_refused(self):
        patcher = types.ModuleType("eventlet.patcher")
        patcher.is_monkey_patched = lambda name: name == "socket"
        with mock.patch.dict(sys.modules, {"eventlet.patcher": patcher}):
            self.assertRaises(DriverRefused, urls.for_colour, "mysql+mysqldb://host/db", Colour.BLOCKING)
