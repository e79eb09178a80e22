"""Settings: where each value comes from, which place goes first, and what an operator is told."""

from __future__ import annotations

import dataclasses
import itertools
import warnings

from oslo_config import cfg

from dbkit import options
from dbkit.engines.settings import Source
from dbkit.engines.settings_values import SETTINGS
from dbkit.exceptions import CantStartEngineError, InvalidSetting, InvalidURL
from dbkit.spec import Colour
from dbkit.tests.unit.settings_case import SettingsTestCase


class TestPrecedence(SettingsTestCase):
    """Every subset of the places: the first of them wins."""

    def test_the_first_place_that_has_a_url_gives_it(self):
        order = ("argument", "file", "DATABASE_URL", "library", "application")
        for size in range(1, len(order) + 1):
            for places in itertools.combinations(order, size):
                conf = cfg.ConfigOpts()
                if "application" in places:
                    options.set_defaults(conf, connection="sqlite:///application.db")
                text = "[database]\nconnection = sqlite:///file.db\n" if "file" in places else ""
                conf(["--config-file", self.file(text)], project="app")
                settings = self.resolve(
                    conf,
                    url="sqlite:///argument.db" if "argument" in places else None,
                    environ={"DATABASE_URL": "sqlite:///DATABASE_URL.db"} if "DATABASE_URL" in places else {},
                    defaults={"connection": "sqlite:///library.db"} if "library" in places else {},
                )
                self.assertEqual(f"{places[0]}.db", settings.connection.database, places)

    def test_a_number_follows_the_same_order(self):
        conf = self.conf("[database]\nmax_pool_size = 2\n")
        bare = self.conf()
        for expected, source, given in (
            (1, Source.ARGUMENT, {"conf": conf, "max_pool_size": 1, "defaults": {"max_pool_size": 4}}),
            (2, Source.CONFIGURATION, {"conf": conf, "defaults": {"max_pool_size": 4}}),
            (4, Source.LIBRARY_DEFAULT, {"conf": bare, "defaults": {"max_pool_size": 4}}),
            (5, Source.OPTION_DEFAULT, {"conf": bare}),
        ):
            settings = self.resolve(url="sqlite://", **given)
            self.assertEqual((expected, source), (settings.max_pool_size, settings.origins["max_pool_size"].source))

    def test_a_librarys_defaults_go_before_those_of_the_options(self):
        # oslo.db registers its options first and then ignores these
        defaults = {
            "connection": "sqlite:///library.db",
            "max_retries": 3,
            "mysql_sql_mode": "ANSI",
            "synchronous_reader": False,
            "expire_on_commit": True,
        }
        settings = self.resolve(self.conf(), defaults=defaults)
        self.assertEqual("library.db", settings.connection.database)
        self.assertEqual(
            (3, "ANSI", False, True),
            (settings.max_retries, settings.mysql_sql_mode, settings.synchronous_reader, settings.expire_on_commit),
        )

    def test_the_environment_goes_before_the_file(self):
        self.set_environment("OS_DATABASE__CONNECTION", "sqlite:///environment.db")
        settings = self.resolve(self.conf("[database]\nconnection = sqlite:///file.db\n"))
        self.assertEqual("environment.db", settings.connection.database)
        self.assertEqual("environment variable OS_DATABASE__CONNECTION", str(settings.origins["connection"]))

    def test_the_environment_is_read_without_a_configuration(self):
        environ = {"OS_DATABASE__CONNECTION": "sqlite:///environment.db", "OS_DATABASE__SQLITE_WAL": "false"}
        settings = self.resolve(environ=environ)
        self.assertEqual(("environment.db", False), (settings.connection.database, settings.sqlite_wal))

    def test_the_environment_is_read_for_a_configuration_that_was_never_called(self):
        settings = self.resolve(cfg.ConfigOpts(), environ={"OS_DATABASE__CONNECTION": "sqlite:///environment.db"})
        self.assertEqual("environment.db", settings.connection.database)

    def test_an_application_may_switch_the_environment_off(self):
        conf = cfg.ConfigOpts()
        conf([], project="app", use_env=False)
        environ = {"OS_DATABASE__MAX_POOL_SIZE": "7"}
        self.assertEqual(5, self.resolve(conf, url="sqlite://", environ=environ).max_pool_size)

    def test_an_override_of_the_configuration_counts_as_configuration(self):
        conf = self.conf("[database]\nmax_pool_size = 2\n")
        options.register(conf)
        conf.set_override("max_pool_size", 9, group="database")
        settings = self.resolve(conf, url="sqlite://")
        self.assertEqual(9, settings.max_pool_size)
        self.assertEqual("override of the option", str(settings.origins["max_pool_size"]))

    def test_none_as_a_keyword_means_not_given(self):
        settings = self.resolve(self.conf("[database]\nmax_pool_size = 2\n"), url="sqlite://", max_pool_size=None)
        self.assertEqual(2, settings.max_pool_size)

    def test_none_is_a_value_where_it_says_something(self):
        settings = self.resolve(
            self.conf("[database]\nmysql_wsrep_sync_wait = 1\n"),
            url="sqlite://",
            mysql_sql_mode=None,
            mysql_wsrep_sync_wait=None,
            connect_timeout=None,
        )
        self.assertEqual(
            (None, None, None), (settings.mysql_sql_mode, settings.mysql_wsrep_sync_wait, settings.connect_timeout)
        )

    def test_no_value_in_the_file_leaves_the_servers_sql_mode(self):
        settings = self.resolve(self.conf("[database]\nmysql_sql_mode =\n"), url="sqlite://")
        self.assertIsNone(settings.mysql_sql_mode)

    def test_an_empty_url_is_not_given(self):
        conf = self.conf("[database]\nconnection =\n")
        settings = self.resolve(conf, environ={"DATABASE_URL": "sqlite:///b.db"})
        self.assertEqual("b.db", settings.connection.database)

    def test_each_origin_names_its_place(self):
        path = self.file("[database]\nmax_pool_size = 2\n")
        conf = cfg.ConfigOpts()
        conf(["--config-file", path], project="app")
        origins = self.resolve(
            conf, environ={"DATABASE_URL": "sqlite://"}, defaults={"max_overflow": 1}, pool_timeout=1
        ).origins
        self.assertEqual(
            {
                "max_pool_size": f"config file {path}",
                "connection": "environment variable DATABASE_URL",
                "max_overflow": "library default",
                "pool_timeout": "explicit argument",
                "sqlite_fk": "option default",
            },
            {
                name: str(origins[name])
                for name in ("max_pool_size", "connection", "max_overflow", "pool_timeout", "sqlite_fk")
            },
        )


class TestURLs(SettingsTestCase):
    def test_no_url_at_all_says_where_one_can_be_put(self):
        error = self.assertRaises(CantStartEngineError, self.resolve, self.conf())
        for place in ("argument url", "[database]", "OS_DATABASE__CONNECTION", "DATABASE_URL", "sqlite:///app.db"):
            self.assertIn(place, str(error))

    def test_two_urls_are_refused(self):
        error = self.assertRaises(InvalidSetting, self.resolve, url="sqlite:///a.db", connection="sqlite:///b.db")
        self.assertIn("two URLs", str(error))
        self.resolve(url="sqlite:///a.db", connection="sqlite:///a.db")

    def test_a_bad_url_says_where_it_stands(self):
        error = self.assertRaises(InvalidURL, self.resolve, environ={"DATABASE_URL": "postgres://u:s3cret@host/db"})
        self.assertIn("write postgresql://", str(error))
        self.assertIn("(connection: environment variable DATABASE_URL)", str(error))

    def test_both_colours_come_from_one_url(self):
        settings = self.resolve(url="sqlite:///app.db")
        self.assertEqual("sqlite+pysqlite", settings.url_for(Colour.BLOCKING).drivername)
        self.assertEqual("sqlite+aiosqlite", settings.url_for(Colour.ASYNCIO).drivername)
        self.assertIsNone(settings.url_for(Colour.BLOCKING, replica=True))

    def test_a_url_of_its_own_goes_first_for_asyncio(self):
        settings = self.resolve(url="sqlite:///a.db", asyncio_connection="sqlite:///b.db")
        self.assertEqual("b.db", settings.url_for(Colour.ASYNCIO).database)
        self.assertEqual("a.db", settings.url_for(Colour.BLOCKING).database)

    def test_a_url_for_asyncio_alone_serves_both(self):
        settings = self.resolve(self.conf("[database]\nasyncio_connection = sqlite+aiosqlite:///a.db\n"))
        self.assertEqual("sqlite+pysqlite", settings.url_for(Colour.BLOCKING).drivername)
        self.assertEqual("a.db", settings.connection.database)

    def test_the_replica_has_its_url_in_both_colours(self):
        settings = self.resolve(url="sqlite:///a.db", replica_connection="sqlite:///r.db")
        self.assertEqual("r.db", settings.url_for(Colour.BLOCKING, replica=True).database)
        self.assertEqual("sqlite+aiosqlite", settings.url_for(Colour.ASYNCIO, replica=True).drivername)

    def test_the_replicas_old_name_works_from_every_place(self):
        url, own = "sqlite:///r.db", {"url": "sqlite:///a.db"}
        file = self.conf(f"[database]\nconnection = sqlite:///a.db\nslave_connection = {url}\n")
        environ = {"OS_DATABASE__SLAVE_CONNECTION": url, "DATABASE_URL": "sqlite:///a.db"}
        for settings in (
            self.resolve(file),
            self.resolve(environ=environ),
            self.resolve(slave_connection=url, **own),
            self.resolve(defaults={"slave_connection": url, "connection": "sqlite:///a.db"}),
        ):
            self.assertEqual("r.db", settings.replica_connection.database)

    def test_the_present_name_goes_before_the_old_one(self):
        file = "[database]\nconnection = sqlite://\nslave_connection = sqlite:///old.db\n"
        settings = self.resolve(self.conf(file + "replica_connection = sqlite:///new.db\n"))
        self.assertEqual("new.db", settings.replica_connection.database)

    def test_an_explicit_url_leaves_the_companions_of_the_one_it_replaces(self):
        # a test that gives its own URL must not read from the replica in the file
        conf = self.conf(
            "[database]\nconnection = mysql://prod/db\nslave_connection = mysql://replica/db\n"
            "asyncio_connection = mysql+aiomysql://prod/db\n"
        )
        settings = self.resolve(conf, url="sqlite://")
        self.assertIsNone(settings.replica_connection)
        self.assertIsNone(settings.asyncio_connection)
        self.assertEqual("replica", self.resolve(conf).replica_connection.host)

    def test_a_replica_of_another_product_is_refused(self):
        error = self.assertRaises(
            InvalidSetting, self.resolve, url="sqlite://", replica_connection="mysql://u:s3cret@host/db"
        )
        self.assertIn("replica_connection is of mysql (explicit argument), and connection of sqlite", str(error))
        self.assertNotIn("s3cret", str(error))

    def test_a_second_url_without_a_name_leads_to_the_first_ones_database_in_memory(self):
        settings = self.resolve(url="sqlite://", asyncio_connection="sqlite+aiosqlite://")
        self.assertEqual(settings.connection.database, settings.asyncio_connection.database)
        self.assertEqual("sqlite+aiosqlite", settings.asyncio_connection.drivername)

    def test_a_database_in_memory_is_not_the_same_as_a_file(self):
        error = self.assertRaises(
            InvalidSetting, self.resolve, url="sqlite:///a.db", asyncio_connection="sqlite+aiosqlite://"
        )
        self.assertIn("asyncio_connection is a database in memory", str(error))

    def test_connection_parameters_are_added_to_every_url(self):
        settings = self.resolve(
            url="mysql://host/db?plugin=a",
            replica_connection="mysql://replica/db",
            connection_parameters="plugin=b&read_timeout=3",
        )
        self.assertEqual(("a", "b"), settings.connection.query["plugin"])
        self.assertEqual("3", settings.replica_connection.query["read_timeout"])

    def test_unknown_connection_parameters_say_where_they_stand(self):
        path = self.file("[database]\nconnection = mysql://u:s3cret@h/db\nconnection_parameters = pasword=s3cret\n")
        conf = cfg.ConfigOpts()
        conf(["--config-file", path], project="app")
        error = self.assertRaises(InvalidURL, self.resolve, conf)
        self.assertIn("did you mean 'password'?", str(error))
        self.assertIn(f"connection_parameters: config file {path}", str(error))


class TestUnchangedFile(SettingsTestCase):
    """A complete file of oslo.db, with every key, works as it is."""

    FILE = """
[database]
sqlite_synchronous = false
backend = sqlalchemy
connection = mysql+pymysql://nova:s3cret@primary/nova?charset=utf8
slave_connection = mysql+pymysql://nova:s3cret@replica/nova?charset=utf8
asyncio_connection = mysql+aiomysql://nova:s3cret@primary/nova
asyncio_slave_connection = mysql+aiomysql://nova:s3cret@replica/nova
synchronous_reader = false
mysql_sql_mode = STRICT_ALL_TABLES
mysql_wsrep_sync_wait = 1
connection_recycle_time = 600
max_pool_size = 11
max_retries = -1
retry_interval = 2
max_overflow = 12
connection_debug = 50
connection_trace = true
pool_timeout = 13
use_db_reconnect = true
db_retry_interval = 3
db_inc_retry_interval = false
db_max_retry_interval = 14
db_max_retries = -1
connection_parameters = read_default_group=nova
"""

    def test_every_value_arrives(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            settings = self.resolve(self.conf(self.FILE))
        expected = {
            "sqlite_synchronous": False,
            "synchronous_reader": False,
            "mysql_sql_mode": "STRICT_ALL_TABLES",
            "mysql_wsrep_sync_wait": 1,
            "connection_recycle_time": 600,
            "max_pool_size": 11,
            "max_retries": -1,
            "retry_interval": 2,
            "max_overflow": 12,
            "connection_debug": 50,
            "connection_trace": True,
            "pool_timeout": 13,
            "db_retry_interval": 3,
            "db_inc_retry_interval": False,
            "db_max_retry_interval": 14,
            "db_max_retries": -1,
        }
        self.assertEqual(expected, {name: getattr(settings, name) for name in expected})
        for name, driver, host in (
            ("connection", "mysql+pymysql", "primary"),
            ("replica_connection", "mysql+pymysql", "replica"),
            ("asyncio_connection", "mysql+aiomysql", "primary"),
            ("asyncio_replica_connection", "mysql+aiomysql", "replica"),
        ):
            url = getattr(settings, name)
            self.assertEqual((driver, host, "s3cret"), (url.drivername, url.host, url.password))
            self.assertEqual("nova", url.query["read_default_group"])
        self.assertEqual("utf8", settings.connection.query["charset"])
        self.assertNotIn("s3cret", repr(settings))

    def test_every_key_of_oslo_dbs_engine_and_facade_is_accepted(self):
        def hook(engine):
            return None

        settings = self.resolve(
            connection="sqlite://",
            slave_connection=None,
            sqlite_fk=False,
            mysql_sql_mode="TRADITIONAL",
            mysql_wsrep_sync_wait=None,
            connection_recycle_time=3600,
            connection_debug=0,
            max_pool_size=5,
            max_overflow=50,
            pool_timeout=30,
            sqlite_synchronous=True,
            connection_trace=False,
            max_retries=10,
            retry_interval=10,
            thread_checkin=True,
            json_serializer=repr,
            json_deserializer=eval,
            logging_name="nova",
            connection_parameters="",
            expire_on_commit=False,
            rollback_reader_sessions=False,
            flush_on_subtransaction=False,
            synchronous_reader=True,
            on_engine_create=[hook],
            db_max_retries=20,
            db_inc_retry_interval=True,
            use_db_reconnect=False,
            db_retry_interval=1,
            db_max_retry_interval=10,
            backend="sqlalchemy",
            idle_timeout=None,
        )
        self.assertEqual((hook,), settings.on_engine_create)
        self.assertEqual(("nova", False), (settings.logging_name, settings.sqlite_fk))


class TestResult(SettingsTestCase):
    def test_it_is_frozen(self):
        settings = self.resolve(url="sqlite://")
        self.assertRaises(dataclasses.FrozenInstanceError, setattr, settings, "max_pool_size", 3)
        self.assertEqual(3, dataclasses.replace(settings, max_pool_size=3).max_pool_size)

    def test_every_setting_that_is_not_ignored_is_a_field_and_has_an_origin(self):
        settings = self.resolve(url="sqlite://")
        names = {each.name for each in dataclasses.fields(settings)} - {"origins"}
        read = {name for name, setting in SETTINGS.items() if not setting.ignored} - {"connection_parameters"}
        self.assertEqual(read, names)
        self.assertLessEqual(names, set(settings.origins))

    def test_the_session_settings_are_a_part_of_it(self):
        session = self.resolve(url="sqlite://", sqlite_busy_timeout=1, transaction_pooling=True).session_settings()
        self.assertEqual(
            (1.0, True, True), (session.sqlite_busy_timeout, session.transaction_pooling, session.sqlite_fk)
        )

    def test_mappings_cannot_be_changed_from_outside(self):
        arguments = {"application_name": "a"}
        settings = self.resolve(url="sqlite://", connect_args=arguments)
        arguments["application_name"] = "b"
        self.assertEqual("a", settings.connect_args["application_name"])

    def test_its_text_shows_values_and_no_secret(self):
        settings = self.resolve(
            url="postgresql://u:s3@s3cret%40@host/db?sslpassword=s3cret".replace("s3@", "s3%40"),
            replica_connection="postgresql://u:s3cret@replica/db",
            connection_parameters="password=s3cret",
            connect_args={"password": "s3cret", "nested": {"token": "s3cret"}},
            credentials=lambda: "s3cret",
        )
        for text in (repr(settings), str(settings), settings.masked_url, *map(str, settings.described())):
            self.assertNotIn("s3cret", text)
        self.assertIn("postgresql://u:***@replica/db", repr(settings))
        self.assertIn("max_pool_size=5", repr(settings))
