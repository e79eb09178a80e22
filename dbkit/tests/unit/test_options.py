"""The options of ``[database]``: oslo.db's are all there, and the sample file tells the truth."""

from __future__ import annotations

import tempfile
from pathlib import Path

import testtools
from oslo_config import cfg, generator

from dbkit import options

CHECKOUT = Path(__file__).parents[3]

# Name, type, default, least and greatest value. Source: oslo.db 18.1, "Configuration Options".
OSLO_DB = {
    "sqlite_synchronous": (cfg.BoolOpt, True),
    "backend": (cfg.StrOpt, "sqlalchemy"),
    "connection": (cfg.StrOpt, None),
    "slave_connection": (cfg.StrOpt, None),
    "asyncio_connection": (cfg.StrOpt, None),
    "asyncio_slave_connection": (cfg.StrOpt, None),
    "synchronous_reader": (cfg.BoolOpt, True),
    "mysql_sql_mode": (cfg.StrOpt, "TRADITIONAL"),
    "mysql_wsrep_sync_wait": (cfg.IntOpt, None),
    "connection_recycle_time": (cfg.IntOpt, 3600),
    "max_pool_size": (cfg.IntOpt, 5),
    "max_retries": (cfg.IntOpt, 10),
    "retry_interval": (cfg.IntOpt, 10),
    "max_overflow": (cfg.IntOpt, 50),
    "connection_debug": (cfg.IntOpt, 0),
    "connection_trace": (cfg.BoolOpt, False),
    "pool_timeout": (cfg.IntOpt, None),
    "use_db_reconnect": (cfg.BoolOpt, False),
    "db_retry_interval": (cfg.IntOpt, 1),
    "db_inc_retry_interval": (cfg.BoolOpt, True),
    "db_max_retry_interval": (cfg.IntOpt, 10),
    "db_max_retries": (cfg.IntOpt, 20),
    "connection_parameters": (cfg.StrOpt, ""),
}


class TestOptions(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.rows = {option.name: option for option in options.OPTIONS}

    def test_every_option_of_oslo_db_is_there_with_its_type_and_default(self):
        for name, (kind, default) in OSLO_DB.items():
            opt = self.rows[name].opt
            self.assertIsInstance(opt, kind, name)
            self.assertEqual(default, opt.default, name)

    def test_what_can_hold_a_password_is_secret(self):
        secret = {name for name, option in self.rows.items() if option.opt.secret}
        urls = {name for name in self.rows if name.endswith("connection")}
        self.assertEqual(urls | {"connection_parameters"}, secret)

    def test_every_option_has_help_and_every_quantity_its_unit(self):
        no_quantity = {"connection_debug", "mysql_wsrep_sync_wait"}
        for name, option in self.rows.items():
            self.assertTrue(option.opt.help, name)
            if isinstance(option.opt, cfg.IntOpt | cfg.FloatOpt) and name not in no_quantity:
                self.assertTrue(option.unit, name)
                self.assertIn(option.unit, option.opt.help)

    def test_every_number_has_a_lower_bound(self):
        for name, option in self.rows.items():
            if isinstance(option.opt, cfg.IntOpt | cfg.FloatOpt):
                self.assertIsNotNone(option.opt.type.min, name)

    def test_list_opts_gives_the_group_and_all_options(self):
        ((group, opts),) = options.list_opts()
        self.assertEqual("database", group)
        self.assertEqual(list(self.rows), [opt.name for opt in opts])

    def test_registering_twice_is_allowed(self):
        conf = cfg.ConfigOpts()
        options.register(conf)
        options.register(conf)
        self.assertEqual(set(self.rows), set(conf.database))

    def test_an_option_of_another_type_under_the_same_name_is_still_a_conflict(self):
        conf = cfg.ConfigOpts()
        conf.register_opt(cfg.StrOpt("max_pool_size"), group="database")
        self.assertRaises(cfg.DuplicateOptError, options.register, conf)

    def test_set_defaults_gives_way_to_a_file(self):
        conf = cfg.ConfigOpts()
        options.set_defaults(conf, connection="sqlite:///a.db", max_pool_size=7, max_overflow=8, pool_timeout=9)
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            file.write("[database]\nmax_pool_size = 3\n")
            file.flush()
            conf(["--config-file", file.name])
            database = conf.database
            self.assertEqual(
                ("sqlite:///a.db", 3, 8, 9),
                (database.connection, database.max_pool_size, database.max_overflow, database.pool_timeout),
            )

    def test_set_defaults_leaves_what_it_is_not_given(self):
        conf = cfg.ConfigOpts()
        options.set_defaults(conf)
        conf([])
        self.assertEqual((None, 5), (conf.database.connection, conf.database.max_pool_size))


class TestBesideOsloDb(testtools.TestCase):
    """A process in the middle of its move from oslo.db has both libraries' options in one group."""

    def setUp(self):
        super().setUp()
        try:
            from oslo_db import options as oslo_db
        except ImportError:
            self.skipTest("oslo.db is not installed")
        self.oslo_db = oslo_db

    def test_both_can_be_registered_in_either_order(self):
        def register_oslo_db(conf):
            conf.register_opts(self.oslo_db.database_opts, group="database")

        for first, second in ((options.register, register_oslo_db), (register_oslo_db, options.register)):
            conf = cfg.ConfigOpts()
            first(conf)
            second(conf)
            conf([])
            self.assertEqual(5, conf.database.max_pool_size)
            self.assertEqual(30.0, conf.database.pool_pre_ping_idle)

    def test_the_recorded_list_is_that_of_the_installed_version(self):
        self.assertEqual(
            {opt.name: (type(opt), opt.default) for opt in self.oslo_db.database_opts},
            OSLO_DB,
        )


class TestSampleFile(testtools.TestCase):
    def test_the_sample_file_is_what_the_generator_writes(self):
        conf = cfg.ConfigOpts()
        generator.register_cli_opts(conf)
        written = Path(self.folder()) / "dbkit.conf.sample"
        conf(
            ["--config-file", str(CHECKOUT / "etc/dbkit/config-generator.conf"), "--output-file", str(written)],
            project="oslo-config-generator",
        )
        generator.generate(conf)
        self.assertEqual(
            written.read_text(),
            (CHECKOUT / "etc/dbkit/dbkit.conf.sample").read_text(),
            "regenerate it: oslo-config-generator --config-file etc/dbkit/config-generator.conf",
        )

    def folder(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return folder.name
