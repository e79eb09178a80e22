"""The tables of drivers, and whether a driver can be used in this process."""

from __future__ import annotations

import sys
import types
from importlib.util import find_spec
from unittest import mock

import testtools

from dbkit.backends.mysql import drivers as mysql
from dbkit.backends.postgresql import drivers as postgresql
from dbkit.backends.sqlite import drivers as sqlite
from dbkit.engines.url_drivers import load_driver, refuse_blocking_driver
from dbkit.exceptions import DriverMissing, DriverRefused
from dbkit.spec import Colour

PRODUCTS = (sqlite, postgresql, mysql)
DRIVERS = [driver for product in PRODUCTS for driver in product.DRIVERS.values()]


class TestTables(testtools.TestCase):
    def test_each_driver_has_its_name_as_key(self):
        for product in PRODUCTS:
            for name, driver in product.DRIVERS.items():
                self.assertEqual(name, driver.name)

    def test_driver_and_partner_serve_both_colours_together(self):
        for product in PRODUCTS:
            for driver in product.DRIVERS.values():
                partner = product.DRIVERS[driver.partner]
                self.assertEqual(set(Colour), driver.colours | partner.colours, driver.name)

    def test_each_default_serves_its_colour(self):
        for product in PRODUCTS:
            self.assertEqual(set(Colour), set(product.DEFAULTS))
            for colour, name in product.DEFAULTS.items():
                self.assertIn(colour, product.DRIVERS[name].colours)

    def test_translations_lead_to_arguments_that_the_driver_has(self):
        for driver in postgresql.DRIVERS.values():
            for own in driver.translations.values():
                self.assertIn(own, driver.arguments(), driver.name)

    def test_arguments_hold_what_users_write_in_urls(self):
        expected = {
            "pysqlite": {"uri", "mode", "timeout"},
            "aiosqlite": {"uri", "mode", "timeout"},
            "psycopg": {"host", "sslmode", "application_name", "options", "target_session_attrs"},
            "psycopg_async": {"host", "sslmode"},
            "psycopg2": {"host", "sslmode", "application_name"},
            "asyncpg": {"host", "ssl", "prepared_statement_cache_size", "target_session_attrs"},
            "pymysql": {"host", "charset", "unix_socket", "ssl_ca", "read_timeout"},
            "mysqldb": {"host", "charset", "unix_socket", "ssl_ca", "read_default_file"},
            "asyncmy": {"host", "charset", "unix_socket", "ssl_ca"},
            "aiomysql": {"host", "charset", "unix_socket", "ssl_ca"},
        }
        for driver in DRIVERS:
            self.assertEqual(set(), expected[driver.name] - driver.arguments(), driver.name)

    def test_what_a_text_would_turn_round_is_not_an_argument(self):
        for name in ("ssl", "ssl_disabled", "autocommit", "cursorclass", "conv"):
            self.assertNotIn(name, mysql.DRIVERS["pymysql"].arguments())

    def test_arguments_are_known_before_the_driver_is_installed(self):
        for driver in DRIVERS:
            installed = driver.arguments()
            with mock.patch.dict(sys.modules, {driver.module: None, "pymysql.connections": None}):
                self.assertLessEqual(installed & frozenset({"host", "charset", "mode"}), driver.arguments())


class TestLoading(testtools.TestCase):
    def absent(self, *modules):
        patch = mock.patch.dict(sys.modules, dict.fromkeys(modules))
        patch.start()
        self.addCleanup(patch.stop)

    def test_each_absent_driver_names_what_to_install(self):
        expected = {
            "aiosqlite": "pip install 'dbkit[aiosqlite]'",
            "psycopg": "pip install 'dbkit[postgresql]'",
            "psycopg_async": "pip install 'dbkit[postgresql]'",
            "psycopg2": "pip install 'dbkit[psycopg2]'",
            "asyncpg": "pip install 'dbkit[asyncpg]'",
            "pymysql": "pip install 'dbkit[mysql]'",
            "mysqldb": "pip install 'dbkit[mysqlclient]'",
            "asyncmy": "pip install 'dbkit[asyncmy]'",
            "aiomysql": "pip install 'dbkit[aiomysql]'",
        }
        self.absent(*(driver.module for driver in DRIVERS))
        for driver in DRIVERS:
            error = self.assertRaises(DriverMissing, load_driver, driver, next(iter(driver.colours)))
            self.assertIn(expected.get(driver.name, "a part of Python"), str(error))
            self.assertIsInstance(error.__cause__, ImportError)

    def test_a_driver_whose_own_import_fails_is_told_apart(self):
        if find_spec("pymysql") is None:
            self.skipTest("PyMySQL is not installed")
        for name in [name for name in sys.modules if name.partition(".")[0] == "pymysql"]:
            module = sys.modules.pop(name)
            self.addCleanup(sys.modules.__setitem__, name, module)
        self.absent("pymysql.connections")
        error = self.assertRaises(DriverMissing, load_driver, mysql.DRIVERS["pymysql"], Colour.BLOCKING)
        self.assertIn("is installed and cannot be imported", str(error))

    def test_asyncio_without_greenlet_names_the_extra(self):
        self.absent("greenlet")
        error = self.assertRaises(DriverMissing, load_driver, sqlite.DRIVERS["aiosqlite"], Colour.ASYNCIO)
        self.assertIn("pip install 'dbkit[asyncio]'", str(error))

    def test_blocking_code_needs_no_greenlet(self):
        self.absent("greenlet")
        load_driver(sqlite.DRIVERS["pysqlite"], Colour.BLOCKING)


class TestRefusal(testtools.TestCase):
    def patched(self, module, predicate, answer):
        fake = types.ModuleType(module)
        setattr(fake, predicate, lambda name: name == "socket" and answer)
        patch = mock.patch.dict(sys.modules, {module: fake})
        patch.start()
        self.addCleanup(patch.stop)

    def test_mysqlclient_is_refused_where_eventlet_patched_the_sockets(self):
        self.patched("eventlet.patcher", "is_monkey_patched", True)
        error = self.assertRaises(DriverRefused, refuse_blocking_driver, mysql.DRIVERS["mysqldb"])
        self.assertIn("eventlet", str(error))
        self.assertIn("mysql+pymysql://", str(error))

    def test_mysqlclient_is_refused_where_gevent_patched_the_sockets(self):
        self.patched("gevent.monkey", "is_module_patched", True)
        error = self.assertRaises(DriverRefused, refuse_blocking_driver, mysql.DRIVERS["mysqldb"])
        self.assertIn("gevent", str(error))

    def test_mysqlclient_is_served_where_nothing_is_patched(self):
        self.patched("eventlet.patcher", "is_monkey_patched", False)
        self.patched("gevent.monkey", "is_module_patched", False)
        refuse_blocking_driver(mysql.DRIVERS["mysqldb"])

    def test_other_drivers_are_served_under_patched_sockets(self):
        self.patched("eventlet.patcher", "is_monkey_patched", True)
        for driver in DRIVERS:
            if driver.name != "mysqldb":
                refuse_blocking_driver(driver)

    def test_asking_imports_neither_library(self):
        before = set(sys.modules)
        refuse_blocking_driver(mysql.DRIVERS["mysqldb"])
        self.assertEqual(set(), {name for name in set(sys.modules) - before if name.startswith(("eventlet", "gevent"))})
