"""Templates: built once, whole or not at all, kept while they are wanted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import sqlalchemy as sa
from testtools.content import text_content

import dbkit
from dbkit.testing.provision import Schema
from dbkit.testing.provision.template import KEPT
from dbkit.testing.servers.polling import wait_until
from dbkit.tests import warm
from dbkit.tests.contract.provision_cases import on_every_product, seed, shop

BOUND_S = 120
SOURCES = Path(dbkit.__file__).resolve().parent.parent

# A test process that builds, tells what it saw, and waits until it is told to end.
WORKER = """
import json, os, sys
from pathlib import Path
from dbkit.testing import provision
from dbkit.testing.servers.polling import wait_until
from dbkit.tests.contract.provision_cases import seed, shop
where, project, version, log = sys.argv[1:]
def build(connection):
    shop().create_all(connection)
    with open(log, "a") as file:
        file.write(f"{os.getpid()}\\n")
    if version.startswith("killed"):
        connection.commit()
        os.kill(os.getpid(), 9)
template = provision.template(where, provision.Schema(build=build, version=version, seed=seed), project=project)
database = template.worker_database()
with database.connect() as connection:
    count = connection.exec_driver_sql("SELECT count(*) FROM customer").scalar()
print(json.dumps({"name": database.name, "key": template.key, "count": count}), flush=True)
sys.stdin.readline()
"""


class Templates:
    def worker(self, version):
        return subprocess.Popen(
            [sys.executable, *self.program(version)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(SOURCES)},
        )  # fmt: skip

    def program(self, version):
        return "-c", WORKER, self.where, self.project, version, str(self.log)

    def worked(self, version):
        """Run a worker to its end, which it need not be told, and return its status."""
        done = warm.run(*self.program(version), env={**os.environ, "PYTHONPATH": str(SOURCES)}, timeout_s=BOUND_S)
        self.addDetail("worker", text_content(done.stdout + done.stderr))
        return done.returncode

    def told(self, process):
        return json.loads(process.stdout.readline())

    def end(self, process):
        process.communicate(timeout=BOUND_S)

    def setUp(self):
        super().setUp()
        handle, name = tempfile.mkstemp()
        os.close(handle)
        self.log = Path(name)
        self.addCleanup(self.log.unlink)

    def builders(self):
        return self.log.read_text().split()

    def test_processes_build_a_template_once(self):
        self.template()
        processes = [self.worker("1") for _ in range(3)]
        for process in processes:
            self.addCleanup(self.end, process)
        told = [self.told(process) for process in processes]
        self.assertEqual(1, len(self.builders()))
        self.assertEqual([2, 2, 2], [each["count"] for each in told])
        self.assertEqual(1, len({each["key"] for each in told}))
        if self.where != "sqlite://":
            self.assertEqual(3, len({each["name"] for each in told}))

    def test_a_later_process_finds_it(self):
        self.template()
        for _ in range(2):
            self.assertEqual(0, self.worked("1"))
        self.assertEqual(1, len(self.builders()))

    def test_a_builder_that_was_killed_leaves_nothing_that_looks_ready(self):
        self.template()
        for _ in range(2):
            self.assertEqual(-9, self.worked("killed"))
        self.assertEqual(2, len(self.builders()))

    def test_nothing_is_left_of_a_process_that_was_killed(self):
        if self.where == "sqlite://":
            self.skipTest("a database in memory cannot outlive its process")
        template = self.template()
        process = self.worker("1")
        name = self.told(process)["name"]
        self.assertTrue(self.exists(template, name))
        process.kill()
        self.end(process)
        if self.where == "sqlite":  # whoever comes next cleans up
            self.assertEqual(0, self.worked("1"))
        wait_until(lambda: not self.exists(template, name), BOUND_S, f"the end of {name}")

    def exists(self, template, name):
        if self.product == "sqlite":
            return Path(name).exists()
        names = {
            "postgresql": "SELECT datname FROM pg_database",
            "mariadb": "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA",
        }
        with template.ground.connected(template.ground.url) as connection:
            return name in connection.exec_driver_sql(names[self.product]).scalars().all()

    def test_a_build_that_fails_leaves_nothing_that_looks_ready(self):
        attempts = []

        def build(connection):
            shop().create_all(connection)
            attempts.append(1)
            if len(attempts) < 3:
                raise RuntimeError("half of it")

        template = self.template(Schema(build=build, version="1"))
        for _ in range(2):
            error = self.assertRaises(RuntimeError, template.clone)
            self.assertEqual("half of it", str(error))
        database = self.clone(template)
        self.assertEqual([], self.ask(database, "SELECT * FROM customer"))
        self.assertEqual(3, len(attempts))

    def test_a_seed_that_fails_leaves_nothing_that_looks_ready(self):
        attempts = []

        def failing(connection):
            attempts.append(1)
            seed(connection)
            if len(attempts) == 1:
                raise RuntimeError("half of it")

        template = self.template(Schema(metadata=shop(), seed=failing))
        self.assertRaises(RuntimeError, template.ensure)
        self.assertEqual(2, len(self.ask(self.clone(template), "SELECT * FROM customer")))

    def test_changed_metadata_give_another_template(self):
        old = self.template(Schema(metadata=shop(), seed=seed))
        new = self.template(Schema(metadata=shop(sa.Column("age", sa.Integer)), seed=seed))
        self.assertNotEqual(old.fingerprint, new.fingerprint)
        self.clone(old)
        self.assertEqual([(None,), (None,)], self.ask(self.clone(new), "SELECT age FROM customer"))

    def test_the_oldest_templates_of_a_project_go(self):
        first, *others = [self.template(Schema(metadata=shop(), version=str(number))) for number in range(KEPT + 1)]
        for each in (first, *others):
            each.ensure()
        self.assertFalse(self.is_there(first))
        self.assertEqual([True] * KEPT, [self.is_there(each) for each in others])
        self.assertEqual([], self.ask(self.clone(first), "SELECT * FROM customer"))

    def is_there(self, template):
        if self.product != "postgresql":
            return any(self.cache.glob(f"{template.key}.[dj]*"))
        found = sa.text("SELECT count(*) FROM pg_database WHERE datname = :key AND datistemplate")
        with template.ground.connected(template.ground.url) as connection:
            return bool(connection.execute(found, {"key": template.key}).scalar())

    def test_a_template_that_is_gone_is_built_again(self):
        template = self.template()
        database = self.clone(template)
        template.forget_all()
        self.do(database, "INSERT INTO customer (name) VALUES ('Mallory')")
        database.empty()
        self.assertEqual(2, len(self.ask(database, "SELECT * FROM customer")))
        database.rebuild()
        self.assertEqual(2, len(self.ask(database, "SELECT * FROM customer")))

    def test_an_empty_schema_gives_an_empty_database(self):
        database = self.clone(self.template(Schema()))
        with database.connect() as connection:
            self.assertEqual([], sa.inspect(connection).get_table_names())
        self.do(database, "CREATE TABLE a (b INTEGER)")
        self.assertFalse(database.is_as_built())
        database.reset()
        self.assertTrue(database.is_as_built())


globals().update(on_every_product(Templates))
del Templates
