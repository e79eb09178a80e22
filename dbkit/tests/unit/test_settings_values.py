"""What a setting refuses, in which words; and credentials from a function."""

from __future__ import annotations

import asyncio
import datetime

import testtools
from oslo_config import cfg

from dbkit.engines.settings import Credentials, EngineSettings
from dbkit.exceptions import InvalidSetting, UnknownSetting
from dbkit.tests.unit.settings_case import SettingsTestCase

REFUSED = (
    ("max_pool_size", -3, "a whole number of connections, at least 0; it is -3 (explicit argument)"),
    ("max_pool_size", "5", "a whole number of connections, at least 0; it is '5'"),
    ("max_pool_size", True, "it is True"),
    ("max_pool_size", 2.5, "it is 2.5"),
    ("max_overflow", -2, "at least -1"),
    ("max_retries", -2, "a whole number of attempts, at least -1"),
    ("pool_timeout", datetime.timedelta(seconds=3), "a whole number of seconds, at least 0"),
    ("pool_pre_ping_idle", float("nan"), "a number of seconds, at least -1; it is nan"),
    ("sqlite_busy_timeout", float("inf"), "it is inf"),
    ("connect_timeout", 0, "a whole number of seconds, at least 1; it is 0"),
    ("connection_debug", 101, "a whole number from 0 to 100; it is 101"),
    ("mysql_wsrep_sync_wait", 16, "from 0 to 15"),
    ("sqlite_fk", "yes", "True or False; it is 'yes'"),
    ("sqlite_wal", 1, "True or False; it is 1"),
    ("mysql_sql_mode", 3, "a text; it is 3"),
    ("logging_name", b"x", "a text"),
    ("connection", 3, "a database URL; it is 3"),
    ("connection_parameters", {"password": "s3cret"}, "a text; it is {'password': '***'}"),
    ("credentials", "s3cret", "a blocking function"),
    ("credentials", ("u", "s3cret"), "it is of type tuple"),
    ("on_engine_create", [3], "functions that take an engine; it is [3]"),
    ("on_retry", [3], "blocking functions that take a RetryEvent; it is [3]"),
    ("on_retry", asyncio.sleep, "blocking functions that take a RetryEvent; it is sleep"),
    ("json_serializer", "json.dumps", "a function"),
    ("connect_args", [("password", "s3")], "a mapping of the driver's arguments"),
    ("execution_options", "x", "a mapping"),
    ("schema_translate_map", "x", "a mapping"),
    ("expire_on_commit", 0, "True or False"),
    ("logging_name", 7, "a text; it is 7"),
)


class TestRefusal(SettingsTestCase):
    def test_each_bad_value_is_refused_in_words_that_help(self):
        for name, value, words in REFUSED:
            given = {} if name == "connection" else {"url": "sqlite://"}
            error = self.assertRaises(InvalidSetting, self.resolve, **given, **{name: value})
            self.assertIn(f"{name} must be ", str(error))
            self.assertIn(words, str(error))
            self.assertNotIn("s3cret", str(error))

    def test_a_librarys_default_is_checked_too(self):
        error = self.assertRaises(InvalidSetting, self.resolve, url="sqlite://", defaults={"max_overflow": -9})
        self.assertIn("(library default)", str(error))

    def test_a_long_value_is_cut(self):
        error = self.assertRaises(InvalidSetting, self.resolve, url="sqlite://", sqlite_fk="x" * 500)
        self.assertLess(len(str(error)), 200)

    def test_a_url_in_the_wrong_place_is_masked(self):
        error = self.assertRaises(InvalidSetting, self.resolve, url="sqlite://", sqlite_fk="mysql://u:s3cret@h/db")
        self.assertNotIn("s3cret", str(error))

    def test_a_value_of_a_file_is_refused_with_its_place(self):
        for text, words in (
            ("max_pool_size = many", "max_pool_size must be a whole number of connections, at least 0"),
            ("max_pool_size = -3", "max_pool_size must be"),
            ("sqlite_wal = perhaps", "sqlite_wal must be True or False"),
        ):
            path = self.file(f"[database]\n{text}\n")
            conf = cfg.ConfigOpts()
            conf(["--config-file", path], project="app")
            error = self.assertRaises(InvalidSetting, self.resolve, conf, url="sqlite://")
            self.assertIn(words, str(error))
            self.assertIn(path, str(error))

    def test_bounds_hold_also_where_oslo_db_registered_its_options_first(self):
        conf = cfg.ConfigOpts()
        conf.register_opt(cfg.IntOpt("max_pool_size", default=5), group="database")
        conf(["--config-file", self.file("[database]\nmax_pool_size = -3\n")], project="app")
        error = self.assertRaises(InvalidSetting, self.resolve, conf, url="sqlite://")
        self.assertIn("it is -3", str(error))

    def test_a_variable_of_the_environment_is_refused_by_its_name(self):
        environ = {"OS_DATABASE__MAX_POOL_SIZE": "many"}
        error = self.assertRaises(InvalidSetting, self.resolve, url="sqlite://", environ=environ)
        self.assertIn("environment variable OS_DATABASE__MAX_POOL_SIZE", str(error))
        self.set_environment("OS_DATABASE__MAX_OVERFLOW", "many")
        error = self.assertRaises(InvalidSetting, self.resolve, self.conf(), url="sqlite://")
        self.assertIn("environment variable OS_DATABASE__MAX_OVERFLOW", str(error))

    def test_a_dollar_in_a_password_is_explained_without_showing_it(self):
        conf = self.conf("[database]\nconnection = mysql://u:pa$s3cret@host/db\n")
        error: BaseException | None = self.assertRaises(InvalidSetting, self.resolve, conf)
        self.assertIn("write '$$'", str(error))
        self.assertNotIn("s3cret", str(error))
        self.assertIsNone(error.__cause__)
        self.assertTrue(error.__suppress_context__)

    def test_a_doubled_dollar_is_a_dollar(self):
        conf = self.conf("[database]\nconnection = mysql://u:pa$$word@host/db\n")
        self.assertEqual("pa$word", self.resolve(conf).connection.password)


class TestUnknown(SettingsTestCase):
    def test_an_unknown_keyword_is_offered_the_nearest(self):
        for name, near in {
            "max_pool_sise": "max_pool_size",
            "Max_Pool_Size": "max_pool_size",
            "sqlite_foreign_keys": "sqlite_fk",
            "pool_size": "max_pool_size",
            "pool_recycle": "connection_recycle_time",
            "pool_pre_ping": "pool_pre_ping_idle",
            "echo": "connection_debug",
            "password": "credentials",
            "expire_on_comit": "expire_on_commit",
        }.items():
            error = self.assertRaises(UnknownSetting, self.resolve, url="sqlite://", **{name: 1})
            self.assertIn(f"no setting {name!r}; did you mean {near!r}?", str(error))

    def test_what_each_block_says_is_offered_as_a_block_says_it(self):
        for name, written in {"deadline": ".deadline(seconds)", "isolation_level": ".isolation(level)"}.items():
            error = self.assertRaises(UnknownSetting, self.resolve, url="sqlite://", **{name: 1})
            self.assertIn(f"no setting {name!r}; each block says it: {written}", str(error))

    def test_a_keyword_that_is_near_to_nothing_is_told_of_connect_args(self):
        error = self.assertRaises(UnknownSetting, self.resolve, url="sqlite://", zzz=1)
        self.assertIn("connect_args", str(error))

    def test_an_unknown_default_of_a_library_is_an_error_too(self):
        self.assertRaises(UnknownSetting, self.resolve, url="sqlite://", defaults={"max_pool_sise": 3})

    def test_one_setting_under_two_names_is_refused(self):
        error = self.assertRaises(
            InvalidSetting,
            self.resolve,
            url="sqlite:///a.db",
            slave_connection="sqlite:///r.db",
            replica_connection="sqlite:///r.db",
        )
        self.assertIn("replica_connection is given twice", str(error))


class TestCredentials(testtools.TestCase):
    def ask(self, answer):
        settings = EngineSettings.resolve(
            url="postgresql://u@host/db", overrides={"credentials": lambda: answer}, environ={}
        )
        return settings.credentials()

    def test_a_password_alone_keeps_the_urls_user(self):
        self.assertEqual((None, "s3cret"), self.ask("s3cret"))

    def test_a_user_and_a_password(self):
        self.assertEqual(("u", "s3cret"), self.ask(("u", "s3cret")))
        self.assertEqual(("u", "s3cret"), self.ask(Credentials("u", "s3cret")))

    def test_another_answer_is_refused_and_not_shown(self):
        for answer in (None, 3, ("u",), ("s3cret", 3), {"password": "s3cret"}):
            error = self.assertRaises(InvalidSetting, self.ask, answer)
            self.assertIn("must return a password, or a user and a password", str(error))
            self.assertNotIn("s3cret", str(error))

    def test_each_call_asks_again(self):
        passwords = iter(("first", "second"))
        settings = EngineSettings.resolve(
            url="mysql://u@host/db", overrides={"credentials": lambda: next(passwords)}, environ={}
        )
        self.assertEqual(["first", "second"], [settings.credentials().password for _ in range(2)])

    def test_their_text_hides_the_password(self):
        self.assertNotIn("s3cret", f"{Credentials('u', 's3cret')} {Credentials('u', 's3cret')!r}")

    def test_a_coroutine_function_is_refused(self):
        async def rotating():
            return "s3cret"

        error = self.assertRaises(
            InvalidSetting, EngineSettings.resolve, url="mysql://u@h/d", overrides={"credentials": rotating}
        )
        self.assertIn("a blocking function", str(error))

    def test_a_database_without_users_takes_none(self):
        error = self.assertRaises(
            InvalidSetting, EngineSettings.resolve, url="sqlite:///a.db", overrides={"credentials": lambda: "x"}
        )
        self.assertIn("has no users", str(error))
