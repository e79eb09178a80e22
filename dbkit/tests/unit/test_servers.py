"""What the servers of tests decide before anything is started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import testtools

from dbkit.exceptions import BackendNotAvailable, InvalidSetting, UsageError
from dbkit.testing import servers
from dbkit.testing.servers.client import GRACE_SETTING, grace_of
from dbkit.testing.servers.endpoint import Endpoint
from dbkit.testing.servers.kinds import provider_of
from dbkit.testing.servers.polling import wait_until, waiting
from dbkit.testing.servers.provider import Installation, Layout, as_settings
from dbkit.testing.servers.require import REQUIRE_SETTING


class LeapingClock:
    """A clock on which a pause passes at once."""

    def __init__(self):
        self.time = 0.0

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds

    async def asleep(self, seconds):
        self.time += seconds

    def uniform(self, low, high):
        return low


class TestRequiredKinds(testtools.TestCase):
    def test_nothing_is_required_by_default(self):
        self.assertEqual(frozenset(), servers.required_kinds({}))

    def test_names_are_joined_by_commas(self):
        required = servers.required_kinds({REQUIRE_SETTING: "postgresql, mysql,galera,"})
        self.assertEqual({"postgresql", "mysql", "galera"}, required)

    def test_an_unknown_name_is_an_error_that_lists_the_known_ones(self):
        error = self.assertRaises(InvalidSetting, servers.required_kinds, {REQUIRE_SETTING: "mysql,postgres"})
        self.assertIn("'postgres'", str(error))
        self.assertIn("postgresql", str(error))


class TestGrace(testtools.TestCase):
    def test_five_seconds_by_default(self):
        self.assertEqual(5.0, grace_of({}))

    def test_the_environment_sets_it(self):
        self.assertEqual(0.5, grace_of({GRACE_SETTING: "0.5"}))

    def test_what_is_no_number_of_seconds_is_refused(self):
        for text in ("soon", "-1", "inf", "nan"):
            error = self.assertRaises(InvalidSetting, grace_of, {GRACE_SETTING: text})
            self.assertIn(GRACE_SETTING, str(error))


class TestEndpoint(testtools.TestCase):
    postgresql = Endpoint("postgresql", "127.0.0.1", 12345, "dbkit", database="postgres")
    mysql = Endpoint("mysql", "127.0.0.1", 12345, "dbkit")

    def test_a_url_names_driver_and_database(self):
        self.assertEqual("postgresql+psycopg://dbkit@127.0.0.1:12345/x", str(self.postgresql.url("psycopg", "x", None)))

    def test_a_url_without_driver_leaves_the_choice_open(self):
        self.assertEqual("postgresql://dbkit@127.0.0.1:12345/postgres", str(self.postgresql.url(None, None, None)))

    def test_mysql_has_two_schemes(self):
        self.assertEqual("mysql+pymysql://dbkit@127.0.0.1:12345/x", str(self.mysql.url("pymysql", "x", None)))
        self.assertEqual("mariadb+asyncmy://dbkit@127.0.0.1:12345/x", str(self.mysql.url("asyncmy", "x", "mariadb")))

    def test_a_scheme_of_another_product_is_refused(self):
        error = self.assertRaises(UsageError, self.postgresql.url, None, None, "mysql")
        self.assertIn("'mysql'", str(error))

    def test_it_is_read_from_a_url_and_survives_the_wire(self):
        endpoint = Endpoint.from_url("mysql", "mariadb+pymysql://root:hush@db.example:3307/x?charset=utf8mb4", "A_URL")
        self.assertEqual(endpoint, Endpoint.from_wire(endpoint.to_wire()))
        url = endpoint.url("pymysql", "y", "mysql").render_as_string(hide_password=False)
        self.assertEqual("mysql+pymysql://root:hush@db.example:3307/y?charset=utf8mb4", url)

    def test_its_password_is_not_shown(self):
        endpoint = Endpoint.from_url("mysql", "mysql://root:hush@db.example/x", "A_URL")
        self.assertNotIn("hush", repr(endpoint))

    def test_a_url_of_another_product_is_refused_by_the_name_of_its_setting(self):
        error = self.assertRaises(BackendNotAvailable, Endpoint.from_url, "mysql", "postgresql://u:hush@h/d", "A_URL")
        self.assertIn("A_URL", str(error))
        self.assertNotIn("hush", str(error))

    def test_what_is_no_url_is_refused_without_being_quoted(self):
        error = self.assertRaises(BackendNotAvailable, Endpoint.from_url, "mysql", "root:hush@db.example", "A_URL")
        self.assertIn("A_URL", str(error))
        self.assertNotIn("hush", str(error))


class TestProviders(testtools.TestCase):
    layout = Layout(Path("/nowhere/server"))

    def command(self, kind, **settings):
        provider = provider_of(kind)
        programs = {"postgres": "/p/postgres", "initdb": "/p/initdb", "mariadbd": "/p/mariadbd"}
        return provider.server_command(Installation(kind, programs, {}), self.layout, 12345, as_settings(settings))

    def test_servers_listen_on_the_loopback_only(self):
        self.assertIn("listen_addresses=127.0.0.1", self.command("postgresql"))
        self.assertIn("--bind-address=127.0.0.1", self.command("mysql"))

    def test_a_setting_of_the_caller_replaces_the_usual_one(self):
        command = self.command("postgresql", max_connections=9, fsync=True)
        self.assertIn("max_connections=9", command)
        self.assertIn("fsync=on", command)
        self.assertNotIn("max_connections=500", command)

    def test_a_setting_may_be_written_in_either_way(self):
        self.assertIn("--innodb-lock-wait-timeout=1", self.command("mysql", **{"innodb-lock-wait-timeout": 1}))
        self.assertIn("--innodb-lock-wait-timeout=1", self.command("mysql", innodb_lock_wait_timeout=1))
        self.assertNotIn("--innodb-lock-wait-timeout=5", self.command("mysql", innodb_lock_wait_timeout=1))

    def test_missing_programs_are_named_with_their_package(self):
        nowhere = {"DBKIT_POSTGRESQL_BIN": "/nowhere", "DBKIT_MARIADB_HOME": "/nowhere"}
        for kind, package in (("postgresql", "postgresql"), ("mysql", "mariadb-server")):
            error = self.assertRaises(BackendNotAvailable, provider_of(kind).find, nowhere)
            self.assertIn("/nowhere", str(error))
            self.assertIn(f"install the package {package}", str(error))

    def test_mariadb_and_mysql_are_one_kind(self):
        self.assertIs(provider_of("mysql"), provider_of("mariadb"))

    def test_an_unknown_kind_is_refused_with_the_known_ones(self):
        error = self.assertRaises(UsageError, servers.obtain, "oracle")
        self.assertIn("'oracle'", str(error))
        self.assertIn("mysql", str(error))


class TestWaiting(testtools.TestCase):
    def test_the_event_ends_the_wait_with_its_value(self):
        seen = iter([None, None, "here"])
        self.assertEqual("here", wait_until(lambda: next(seen), 60, "it", LeapingClock()))

    def test_the_bound_ends_it_with_the_name_of_the_event(self):
        error = self.assertRaises(TimeoutError, wait_until, lambda: False, 60, "the second coming", LeapingClock())
        self.assertEqual("the second coming: not seen within 60 s", str(error))

    def test_an_event_that_is_there_needs_no_wait(self):
        self.assertRaises(StopIteration, next, waiting(lambda: True, 0, "it", LeapingClock()))


class TestPrograms(testtools.TestCase):
    def test_those_that_look_after_servers_do_not_import_sqlalchemy(self):
        # it takes most of a second, and a run has one of them for each process whose databases are dropped
        program = (
            "import sys, dbkit.testing.servers.drop, dbkit.testing.servers.supervisor; "
            "sys.exit('sqlalchemy' in sys.modules)"
        )
        self.assertEqual(0, subprocess.run([sys.executable, "-c", program], check=False).returncode)
