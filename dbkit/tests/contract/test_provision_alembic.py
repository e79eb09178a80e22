"""Schemas that Alembic's revisions build."""

from __future__ import annotations

import shutil
import tempfile
import textwrap
from pathlib import Path

import sqlalchemy as sa
from alembic.config import Config
from sqlalchemy.dialects import sqlite

from dbkit.exceptions import UsageError
from dbkit.testing.provision import Schema
from dbkit.tests.contract.provision_cases import on_every_product

BY_CONNECTION = """
from alembic import context
connection = context.config.attributes["connection"]
context.configure(connection=connection)
with context.begin_transaction():
    context.run_migrations()
"""

BY_URL = """
from alembic import context
from sqlalchemy import create_engine
engine = create_engine(context.config.get_main_option("sqlalchemy.url"))
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
"""

ELSEWHERE = """
from alembic import context
from sqlalchemy import create_engine
engine = create_engine("sqlite://")
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
"""

REVISION = '''
"""{name}"""
import sqlalchemy as sa
from alembic import op
revision = {name!r}
down_revision = {down!r}
def upgrade():
    {body}
'''


class Environment:
    """An Alembic environment in a folder."""

    def __init__(self, env=BY_CONNECTION):
        self.folder = Path(tempfile.mkdtemp(prefix="dbkit-alembic-"))
        (self.folder / "scripts/versions").mkdir(parents=True)
        (self.folder / "scripts/env.py").write_text(env)
        (self.folder / "scripts/script.py.mako").write_text("")
        self.ini = self.folder / "alembic.ini"
        self.ini.write_text(
            f"[alembic]\nscript_location = {self.folder}/scripts\npath_separator = os\nsqlalchemy.url = sqlite:///no.db\n"
        )
        self.add("one", None, 'op.create_table("one", sa.Column("id", sa.Integer, primary_key=True))')
        self.add("two", "one", 'op.add_column("one", sa.Column("name", sa.String(20)))')

    def add(self, name, down, body):
        """Write a revision."""
        text = textwrap.dedent(REVISION).format(name=name, down=down, body=body)
        (self.folder / f"scripts/versions/{name}.py").write_text(text)


class Revisions:
    def environment(self, *arguments):
        made = Environment(*arguments)
        self.addCleanup(shutil.rmtree, made.folder)
        return made

    def test_they_are_run_on_the_connection(self):
        def seed(connection):
            connection.execute(sa.text("INSERT INTO one (name) VALUES ('first')"))

        database = self.clone(self.template(Schema.from_alembic(self.environment().ini, seed=seed)))
        self.assertEqual([(1, "first")], self.ask(database, "SELECT id, name FROM one"))
        self.do(database, "DELETE FROM alembic_version", "DELETE FROM one")
        database.empty()
        self.assertEqual([("two",)], self.ask(database, "SELECT version_num FROM alembic_version"))
        self.assertEqual([(1, "first")], self.ask(database, "SELECT id, name FROM one"))

    def test_they_are_run_by_the_url(self):
        config = Config(str(self.environment(BY_URL).ini))
        database = self.clone(self.template(Schema.from_alembic(config)))
        self.assertEqual([], self.ask(database, "SELECT id, name FROM one"))
        self.assertEqual("sqlite:///no.db", config.get_main_option("sqlalchemy.url"))
        self.assertEqual({}, config.attributes)

    def test_an_env_py_that_goes_elsewhere_is_an_error(self):
        error = self.assertRaises(
            UsageError, self.template(Schema.from_alembic(self.environment(ELSEWHERE).ini)).ensure
        )
        self.assertIn("env.py", str(error))

    def test_a_changed_script_changes_the_fingerprint(self):
        environment = self.environment()
        prints = [Schema.from_alembic(environment.ini).fingerprint(sqlite.dialect())]
        environment.add("two", "one", "pass")
        prints.append(Schema.from_alembic(environment.ini).fingerprint(sqlite.dialect()))
        environment.add("three", "two", "pass")
        prints.append(Schema.from_alembic(environment.ini).fingerprint(sqlite.dialect()))
        self.assertEqual(3, len(set(prints)))


globals().update(on_every_product(Revisions))
del Revisions
