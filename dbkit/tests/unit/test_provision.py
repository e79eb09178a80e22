"""What provisioning refuses, and where it keeps its files."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import testtools

from dbkit.backends.provisioning import provisioning_of
from dbkit.backends.registry import backend_for
from dbkit.exceptions import BackendNotAvailable, InvalidSetting, UsageError
from dbkit.testing.provision import Schema, template
from dbkit.testing.provision.folders import cache_folder, process_folder


class Foreign:
    """A backend that brings no test databases."""

    name = "foreign"


class TestWhatIsRefused(testtools.TestCase):
    def test_an_unknown_kind(self):
        error = self.assertRaises(UsageError, template, "oracle", Schema())
        self.assertIn("sqlite", str(error))

    def test_a_backend_without_provisioning(self):
        error = self.assertRaises(UsageError, provisioning_of, Foreign())
        self.assertIn("'foreign'", str(error))
        self.assertIn("provisioning()", str(error))

    def test_our_own_backends_have_it(self):
        for scheme in ("sqlite", "postgresql", "mysql", "mariadb"):
            self.assertIsNotNone(provisioning_of(backend_for(scheme)))


class TestFolders(testtools.TestCase):
    def folder(self):
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        return Path(made.name)

    def test_the_cache_is_where_the_setting_says(self):
        wanted = self.folder() / "here"
        self.assertEqual(wanted, cache_folder({"DBKIT_TEST_CACHE": str(wanted), "XDG_CACHE_HOME": "/nowhere"}))
        self.assertEqual(0o700, wanted.stat().st_mode & 0o777)

    def test_the_cache_is_in_the_users_cache_folder(self):
        base = self.folder()
        self.assertEqual(base / "dbkit", cache_folder({"XDG_CACHE_HOME": str(base)}))

    def test_a_cache_that_others_may_enter_is_refused(self):
        open_folder = self.folder()
        open_folder.chmod(0o755)
        error = self.assertRaises(BackendNotAvailable, cache_folder, {"DBKIT_TEST_CACHE": str(open_folder)})
        self.assertIn("DBKIT_TEST_CACHE", str(error))

    def test_a_cache_that_cannot_be_made_is_told_with_its_setting(self):
        file = self.folder() / "file"
        file.touch()
        for place in (file / "cache", "/dev/null/cache", "/proc/cache"):
            error = self.assertRaises(InvalidSetting, cache_folder, {"DBKIT_TEST_CACHE": str(place)})
            self.assertIn(f"DBKIT_TEST_CACHE names {str(place)!r}", str(error))

    def test_a_process_has_one_folder(self):
        self.assertEqual(process_folder(), process_folder())
        self.assertTrue(process_folder().name.startswith(f"{os.getpid()}-"))
