"""What tests of settings have at hand."""

from __future__ import annotations

import logging
import tempfile

import fixtures
import testtools
from oslo_config import cfg

from dbkit.engines.settings import EngineSettings


class SettingsTestCase(testtools.TestCase):
    """A test with settings from files of its own; what is logged meanwhile stands in ``log``."""

    def setUp(self):
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger(level=logging.WARNING))

    def file(self, text):
        file = tempfile.NamedTemporaryFile("w", suffix=".conf")
        self.addCleanup(file.close)
        file.write(text)
        file.flush()
        return file.name

    def conf(self, text=""):
        """Return oslo.config's object, with one file read."""
        conf = cfg.ConfigOpts()
        conf(["--config-file", self.file(text)], project="app")
        return conf

    def resolve(self, conf=None, *, environ=None, defaults=None, url=None, **overrides):
        return EngineSettings.resolve(
            url=url, conf=conf, overrides=overrides, defaults=defaults or {}, environ=environ or {}
        )

    def set_environment(self, name, value):
        self.useFixture(fixtures.EnvironmentVariable(name, value))
