"""Backends by the name of their dialect, dbkit's own and others', by one door."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import testtools

from dbkit.backends import registry
from dbkit.exceptions import BackendMissing


class Acme:
    """A backend as far as the registry looks."""

    def __init__(self, *schemes):
        self.name = schemes[0]
        self.schemes = schemes
        self.rules = None
        self.drivers = {}
        self.defaults = {}

    def vet(self, url):
        return url


class TestRegistry(testtools.TestCase):
    def gather(self, failures=(), **found):
        return registry.Registry.gather(found.items(), dict(failures))

    def test_a_backend_serves_each_of_its_schemes(self):
        acme = Acme("acme", "acmedb")
        known = self.gather(acme=acme)
        self.assertIs(acme, known.backend_for("acme"))
        self.assertIs(acme, known.backend_for("acmedb"))
        self.assertEqual(("acme", "acmedb"), known.schemes)

    def test_an_unknown_name_is_offered_the_nearest(self):
        error = self.assertRaises(BackendMissing, self.gather(postgresql=Acme("postgresql")).backend_for, "postgres")
        self.assertIn("did you mean 'postgresql'?", str(error))

    def test_a_name_that_is_not_near_is_offered_none(self):
        error = self.assertRaises(BackendMissing, self.gather(mysql=Acme("mysql")).backend_for, "mssql")
        self.assertNotIn("did you mean", str(error))
        self.assertIn("served are mysql", str(error))
        self.assertIn("entry point in 'dbkit.backends'", str(error))

    def test_the_failure_of_a_broken_one_is_said_when_it_is_asked_for(self):
        cause = ImportError("no module acme_native")
        known = self.gather({"acme": cause}, mysql=Acme("mysql"))
        self.assertEqual("mysql", known.backend_for("mysql").name)
        error = self.assertRaises(BackendMissing, known.backend_for, "acme")
        self.assertIn("could not be loaded: ImportError: no module acme_native", str(error))
        self.assertIs(cause, error.__cause__)

    def test_an_absent_scheme_tells_of_the_broken_ones_that_may_have_served_it(self):
        known = self.gather({"acme": ImportError("no module acme_native")}, mysql=Acme("mysql"))
        error = self.assertRaises(BackendMissing, known.backend_for, "acmedb")
        self.assertIn("the backend 'acme' could not be loaded: no module acme_native", str(error))

    def test_what_is_no_backend_is_a_failure_of_its_own(self):
        known = self.gather(acme=object(), mysql=Acme("mysql"))
        error = self.assertRaises(BackendMissing, known.backend_for, "acme")
        self.assertIn("it has no 'name'", str(error))
        self.assertEqual("mysql", known.backend_for("mysql").name)

    def test_two_backends_of_one_scheme_are_refused_when_it_is_asked_for(self):
        known = self.gather(one=Acme("acme", "one"), two=Acme("acme", "two"))
        error = self.assertRaises(BackendMissing, known.backend_for, "acme")
        self.assertIn("'one' and 'two' both serve it; uninstall one of them", str(error))
        self.assertEqual("two", known.backend_for("two").schemes[1])

    def test_files_that_were_never_installed_say_so(self):
        error = self.assertRaises(BackendMissing, self.gather().backend_for, "sqlite")
        self.assertIn("pip install -e .", str(error))


class TestInstalled(testtools.TestCase):
    def test_the_own_backends_come_in_by_the_entry_points(self):
        for scheme, name in {
            "sqlite": "sqlite",
            "postgresql": "postgresql",
            "mysql": "mysql",
            "mariadb": "mysql",
        }.items():
            self.assertEqual(name, registry.backend_for(scheme).name)

    def test_the_lookup_is_done_once(self):
        self.assertIs(registry.installed(), registry.installed())


class TestThirdParty(testtools.TestCase):
    """In a process of its own, with a distribution that has one sound backend and one broken one."""

    def ask(self, code):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        folder = Path(holder.name)
        info = folder / "acme-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[dbkit.backends]\nacme = acme:BACKEND\nbroken = acme_broken:BACKEND\n")
        (folder / "acme_broken.py").write_text("raise RuntimeError('acme_broken cannot start')\n")
        (folder / "acme.py").write_text(
            textwrap.dedent("""
            class BACKEND:
                name, schemes, rules, drivers, defaults = "acme", ("acme",), None, {}, {}
                def vet(url): return url
            """)
        )
        environ = {**os.environ, "PYTHONPATH": str(folder), "XDG_CACHE_HOME": str(folder)}
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)], env=environ, capture_output=True, text=True, check=False
        )
        self.assertEqual("", done.stderr)
        return done.stdout.strip()

    def test_it_serves_its_scheme_and_breaks_no_other(self):
        told = self.ask("""
            from dbkit.backends.registry import backend_for
            print(backend_for("acme").name, backend_for("sqlite").name, backend_for("mariadb").name)
        """)
        self.assertEqual("acme sqlite mysql", told)

    def test_the_broken_one_says_why_when_it_is_asked_for(self):
        told = self.ask("""
            from dbkit.backends.registry import backend_for
            try:
                backend_for("broken")
            except LookupError as error:
                print(type(error).__name__, error)
        """)
        self.assertIn("BackendMissing", told)
        self.assertIn("RuntimeError: acme_broken cannot start", told)
