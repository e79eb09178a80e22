"""``dbkit purge``: what it reads, what it says, and how it ends."""

from __future__ import annotations

import io
import signal
import sqlite3
import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path

import fixtures

import dbkit
from dbkit.cmd.application import Application
from dbkit.cmd.purge import age
from dbkit.tests.unit.test_cmd import CommandTestCase

MODELS = """
    import sqlalchemy as sa
    from sqlalchemy.orm import Mapped, mapped_column
    from dbkit import models

    Base = models.new_base()
    Other = models.new_base()

    class Server(models.SoftDeleteMixin, Base):
        __tablename__ = "server"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Note(Base):
        __tablename__ = "note"
        id: Mapped[int] = mapped_column(primary_key=True)
        server_id: Mapped[int] = mapped_column(sa.ForeignKey("server.id"))
"""

KILLED = """
    import os, signal, sys
    from datetime import timedelta
    import dbkit
    from dbkit.queries.bulk.purges import purge
    from purged_models import Server

    def kill(state):
        if state.rows == 20:
            os.kill(os.getpid(), signal.SIGKILL)

    purge(dbkit.Database(sys.argv[1]), Server, older_than=timedelta(0), batch=10, archive=True, progress=kill)
"""


class TestPurgeCommand(CommandTestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.useFixture(fixtures.TempDir()).path)
        (self.folder / "purged_models.py").write_text(textwrap.dedent(MODELS), encoding="utf-8")
        self.useFixture(fixtures.MonkeyPatch("sys.path", [str(self.folder), *sys.path]))
        self.addCleanup(sys.modules.pop, "purged_models", None)
        self.url = f"sqlite:///{self.folder / 'app.db'}"
        import purged_models

        self.models = purged_models
        self.db = dbkit.Database(self.url)
        self.addCleanup(self.db.dispose)
        with self.db.writer.connection() as connection:
            purged_models.Base.metadata.create_all(connection)
        with self.db.writer() as session:
            session.add_all([purged_models.Server(id=each) for each in range(1, 101)])
            session.flush()
            session.add(purged_models.Note(id=1, server_id=1))
        with self.db.writer() as session:
            for each in range(1, 51):
                session.delete(session.get(purged_models.Server, each))

    def purge(self, *arguments, models="purged_models:Base"):
        return self.dbkit("purge", "--url", self.url, "--models", models, *arguments)

    def rows(self, table):
        connection = sqlite3.connect(self.folder / "app.db")
        try:
            return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        finally:
            connection.close()

    def test_it_counts_removes_and_keeps(self):
        code, written, complained = self.purge("--older-than", "0s", "--dry-run")
        self.assertEqual((0, ""), (code, complained))
        self.assertEqual(
            "server: 50 rows old enough, 1 held by rows that refer to them or by other transactions\n"
            "nothing was removed\n",
            written,
        )
        self.assertEqual(100, self.rows("server"))
        code, written, complained = self.purge("--older-than", "1d")
        self.assertEqual((0, "server: 0 rows removed\n", ""), (code, written, complained))
        code, written, complained = self.purge("--older-than", "0s", "--batch", "7", "--archive", "old_{}")
        self.assertIn("server: 49 rows removed, 1 held", written)
        self.assertEqual((51, 49), (self.rows("server"), self.rows("old_server")))
        code, written, complained = self.purge(
            "--older-than", "0s", "--along", "purged_models:Note", models="purged_models:Server"
        )
        self.assertEqual((0, "server: 1 rows removed\n", ""), (code, written, complained))
        self.assertEqual((50, 0), (self.rows("server"), self.rows("note")))

    def test_a_config_file_and_the_environment_name_the_database(self):
        file = self.folder / "app.conf"
        file.write_text(f"[database]\nconnection = {self.url}\n", encoding="utf-8")
        arguments = ("--models", "purged_models:Base", "--older-than", "0s", "--dry-run")
        code, written, _ = self.dbkit("purge", "--config-file", str(file), *arguments)
        self.assertEqual((0, True), (code, "50 rows" in written))
        self.useFixture(fixtures.EnvironmentVariable("DATABASE_URL", self.url))
        code, written, _ = self.dbkit("purge", *arguments)
        self.assertEqual((0, True), (code, "50 rows" in written))

    def test_what_is_not_understood_is_said(self):
        fine = ("--older-than", "0s")
        wrong = []
        for code, text, models, arguments in (
            (2, "is no age", "purged_models:Base", ("--older-than", "90")),
            (2, "from 1 to", "purged_models:Base", (*fine, "--batch", "0")),
            (1, "as MODULE:NAME", "purged_models", fine),
            (1, "there is no module nothing_here", "nothing_here:Base", fine),
            (1, "has no Bass", "purged_models:Bass", fine),
            (1, "none of the tables", "purged_models:Other", fine),
            (1, "neither a declarative base", "purged_models:sa", fine),
            (1, "not marked", "purged_models:Note", fine),
            (1, "in place of their table's name", "purged_models:Base", (*fine, "--archive", "old")),
        ):
            found, written, complained = self.purge(*arguments, models=models)
            if found != code or text not in complained:
                wrong.append((models, arguments, found, complained))
        self.assertEqual([], wrong)

    def test_on_a_terminal_it_shows_a_bar(self):
        class Terminal(io.StringIO):
            def isatty(self):
                return True

        screen = Terminal()
        application = Application()
        application.stdout = screen
        code = application.run(
            ["purge", "--url", self.url, "--models", "purged_models:Base", "--older-than", "0s", "--batch", "5"]
        )
        self.assertEqual(0, code)
        self.assertIn("49/50", screen.getvalue())
        self.assertIn("server: 49 rows removed", screen.getvalue())

    def test_interrupted_it_says_so_and_ends_with_130(self):
        class Impatient(io.StringIO):
            def isatty(self):
                raise KeyboardInterrupt

        application = Application()
        application.stdout, application.stderr = Impatient(), io.StringIO()
        code = application.run(["purge", "--url", self.url, "--models", "purged_models:Base", "--older-than", "0s"])
        self.assertEqual(130, code)
        self.assertIn("run it again for the rest", application.stderr.getvalue())

    def test_a_process_that_is_killed_between_two_batches_has_lost_nothing(self):
        self.db.dispose()
        (self.folder / "killed.py").write_text(textwrap.dedent(KILLED), encoding="utf-8")
        ended = subprocess.run(
            [sys.executable, str(self.folder / "killed.py"), self.url],
            env={"PYTHONPATH": f"{self.folder}:{Path(dbkit.__file__).parents[1]}"},
            check=False,
        )
        self.assertEqual(-signal.SIGKILL, ended.returncode)
        self.assertEqual((80, 20), (self.rows("server"), self.rows("shadow_server")))
        code, written, _ = self.purge("--older-than", "0s", "--archive")
        self.assertIn("server: 29 rows removed, 1 held", written)
        self.assertEqual((51, 49), (self.rows("server"), self.rows("shadow_server")))


class TestAge(CommandTestCase):
    def test_it_is_a_number_with_a_unit(self):
        ages = [age(each) for each in ("30s", "15m", "12h", "90d", "8w")]
        self.assertEqual([30, 900, 43200, 90 * 86400, 56 * 86400], [each.total_seconds() for each in ages])
        self.assertEqual(timedelta(0), age("0d"))
