"""Unknown names in ``[database]``: a warning, because an application may share the group."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

from oslo_config import cfg

from dbkit.engines.settings import SettingWarning
from dbkit.tests.unit.settings_case import SettingsTestCase


class TestUnknownNames(SettingsTestCase):
    def warned(self, conf=None, **environ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.resolve(conf, url="sqlite://", environ=environ)
        return [str(each.message) for each in caught if issubclass(each.category, SettingWarning)]

    def test_a_name_that_nobody_knows_is_offered_the_nearest(self):
        (text,) = self.warned(self.conf("[database]\nmax_pool_sise = 3\n"))
        self.assertIn("'max_pool_sise' in [database] (config file ", text)
        self.assertIn("did you mean 'max_pool_size'?", text)

    def test_what_each_block_says_is_offered_as_a_block_says_it(self):
        (text,) = self.warned(self.conf("[database]\nretrying = 3\n"))
        self.assertIn("each block says it: .retrying(); how often is db_max_retries", text)

    def test_a_name_that_is_near_to_nothing_is_said_to_be_unregistered(self):
        (text,) = self.warned(self.conf("[database]\nzzz = 3\n"))
        self.assertIn("nobody has registered it", text)

    def test_an_option_of_the_application_in_the_same_group_is_no_surprise(self):
        conf = self.conf("[database]\nenable_soft_delete = true\n")
        conf.register_opt(cfg.BoolOpt("enable_soft_delete"), group="database")
        self.assertEqual([], self.warned(conf))

    def test_known_and_old_names_are_no_surprise(self):
        conf = self.conf("[database]\nmax_pool_size = 3\nslave_connection =\nidle_timeout = 3\nbackend = sqlalchemy\n")
        self.assertEqual([], self.warned(conf))

    def test_a_name_with_dashes_is_not_read_and_so_warned_of(self):
        conf = self.conf("[database]\nmax-pool-size = 3\n")
        (text,) = self.warned(conf)
        self.assertIn("did you mean 'max_pool_size'?", text)
        self.assertEqual(5, conf.database.max_pool_size)

    def test_other_groups_are_not_looked_at(self):
        self.assertEqual([], self.warned(self.conf("[api_database]\nmax_pool_sise = 3\n")))

    def test_the_group_is_found_in_capitals_too(self):
        self.assertEqual(1, len(self.warned(self.conf("[DATABASE]\nmax_pool_sise = 3\n"))))

    def test_a_keyword_in_a_file_is_said_to_have_no_effect_there(self):
        (text,) = self.warned(self.conf("[database]\nexpire_on_commit = true\n"))
        self.assertIn("only an argument in the code can give it", text)

    def test_what_oslo_db_had_once_is_said_to_be_gone(self):
        (text,) = self.warned(self.conf("[database]\nmin_pool_size = 1\n"))
        self.assertIn("oslo.db had it once", text)

    def test_files_of_a_folder_are_read_too(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        Path(folder.name, "a.conf").write_text("[database]\nmax_pool_sise = 3\n")
        conf = cfg.ConfigOpts()
        conf(["--config-dir", folder.name], project="app", default_config_files=[])
        (text,) = self.warned(conf)
        self.assertIn("a.conf", text)

    def test_variables_of_the_environment_are_looked_at_too(self):
        (text,) = self.warned(OS_DATABASE__MAX_POOL_SISE="3", OS_DATABASE__MAX_POOL_SIZE="3", OS_OTHER__X="1")
        self.assertIn("environment variable OS_DATABASE__MAX_POOL_SISE", text)

    def test_no_value_is_ever_shown(self):
        texts = self.warned(self.conf("[database]\nconection = mysql://u:s3cret@h/db\npassword = s3cret\n"))
        self.assertEqual(2, len(texts))
        self.assertNotIn("s3cret", "".join(texts))
