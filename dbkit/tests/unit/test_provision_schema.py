"""Schemas and their fingerprints."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
import textwrap
import warnings
from pathlib import Path

import sqlalchemy as sa
import testtools
from sqlalchemy.dialects import postgresql, sqlite

from dbkit.exceptions import UsageError
from dbkit.testing.provision import EmptySchemaWarning, Schema

LIMIT = 3
NAMES = {"b", "a", "c"}


def rows():
    return [{"name": name} for name in sorted(NAMES)][:LIMIT]


def seed(connection):
    connection.execute(sa.text("INSERT INTO t (name) VALUES (:name)"), rows())


def metadata(*columns):
    made = sa.MetaData()
    sa.Table("t", made, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(10)), *columns)
    return made


def print_of(dialect=None, **arguments):
    return Schema(**arguments).fingerprint(dialect or sqlite.dialect())


class TestMetadataWithoutTables(testtools.TestCase):
    def warned(self, schema):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            schema.fingerprint(sqlite.dialect())
            schema.fingerprint(postgresql.dialect())
        return [str(each.message) for each in caught if issubclass(each.category, EmptySchemaWarning)]

    def test_it_is_warned_of_once(self):
        said = self.warned(Schema(metadata=sa.MetaData()))
        self.assertEqual(1, len(said))
        self.assertIn("import the modules with the models", said[0])
        self.assertEqual(1, len(self.warned(Schema(metadata=[sa.MetaData(), sa.MetaData()]))))

    def test_tables_that_come_later_are_in_time(self):
        late = sa.MetaData()
        schema = Schema(metadata=late)
        sa.Table("t", late, sa.Column("id", sa.Integer, primary_key=True))
        self.assertEqual([], self.warned(schema))

    def test_what_is_meant_to_be_empty_is_not_warned_of(self):
        viewed = sa.MetaData()
        sa.event.listen(viewed, "after_create", sa.DDL("CREATE VIEW v AS SELECT 1 AS one"))
        built = Schema(metadata=sa.MetaData(), build=lambda connection: None, version="1")
        for schema in (Schema(), Schema(metadata=viewed), built):
            self.assertEqual([], self.warned(schema))


class TestTheFingerprint(testtools.TestCase):
    def test_equal_schemas_have_the_same(self):
        self.assertEqual(print_of(metadata=metadata(), seed=seed), print_of(metadata=metadata(), seed=seed))

    def test_a_new_column_changes_it(self):
        self.assertNotEqual(print_of(metadata=metadata()), print_of(metadata=metadata(sa.Column("v", sa.Integer))))

    def test_a_new_index_changes_it(self):
        other = metadata()
        sa.Index("i", other.tables["t"].c.name)
        self.assertNotEqual(print_of(metadata=metadata()), print_of(metadata=other))

    def test_a_view_made_by_a_listener_changes_it(self):
        other = metadata()
        sa.event.listen(other, "after_create", sa.DDL("CREATE VIEW v AS SELECT 1 AS one"))
        self.assertNotEqual(print_of(metadata=metadata()), print_of(metadata=other))

    def test_the_product_changes_it(self):
        self.assertNotEqual(print_of(metadata=metadata()), print_of(postgresql.dialect(), metadata=metadata()))

    def test_a_version_changes_it(self):
        def build(connection):
            raise AssertionError("a fingerprint builds nothing")

        self.assertNotEqual(print_of(build=build, version="a"), print_of(build=build, version="b"))
        self.assertEqual(print_of(build=build, version=lambda: "a"), print_of(build=build, version="a"))

    def test_a_seed_changes_it(self):
        self.assertNotEqual(print_of(metadata=metadata()), print_of(metadata=metadata(), seed=seed))

    def test_an_argument_of_a_partial_seed_changes_it(self):
        one, two = (functools.partial(lambda connection, n: None, n=n) for n in (1, 2))
        self.assertNotEqual(print_of(seed=one), print_of(seed=two))

    def test_a_build_function_needs_a_version(self):
        error = self.assertRaises(UsageError, Schema, build=seed)
        self.assertIn("version", str(error))

    def test_a_listener_that_needs_a_database_needs_a_version_too(self):
        made = metadata()

        @sa.event.listens_for(made, "after_create")
        def create(target, connection, **_):
            connection.exec_driver_sql("CREATE VIEW v AS SELECT 1 AS one")

        error = self.assertRaises(UsageError, print_of, metadata=made)
        self.assertIn("version", str(error))
        self.assertNotEqual(print_of(metadata=made, version="a"), print_of(metadata=made, version="b"))


class TestTheSourceOfASeed(testtools.TestCase):
    MODULE = """
    import sqlalchemy
    NAMES = {{"ada", "grace", "alan"}}
    COUNT = {count}
    class Maker:
        def __call__(self, connection):
            return helper(connection)
    def helper(connection):
        {body}
    def seed(connection):
        for _ in range(COUNT):
            helper(NAMES)
    """

    def fingerprint(self, count=1, body="return None", hash_seed="0", name="seed"):
        """Return the fingerprint that a process of its own finds for a seed module."""
        with tempfile.TemporaryDirectory() as folder:
            source = textwrap.dedent(self.MODULE).format(count=count, body=body)
            (Path(folder) / "shop_seed.py").write_text(source)
            program = (
                "from sqlalchemy.dialects import sqlite; import shop_seed; from dbkit.testing.provision import Schema;"
                f"print(Schema(seed=shop_seed.{name}).fingerprint(sqlite.dialect()))"
            )
            path = f"{folder}:{Path(__file__).parents[3]}"
            run = subprocess.run(
                [sys.executable, "-c", program],
                env={"PYTHONPATH": path, "PYTHONHASHSEED": hash_seed},
                capture_output=True, text=True, check=True,
            )  # fmt: skip
        return run.stdout.strip()

    def test_it_is_the_same_in_every_process(self):
        self.assertEqual(self.fingerprint(hash_seed="1"), self.fingerprint(hash_seed="2"))

    def test_a_value_that_it_reads_changes_it(self):
        self.assertNotEqual(self.fingerprint(count=1), self.fingerprint(count=2))

    def test_a_function_that_it_calls_changes_it(self):
        self.assertNotEqual(self.fingerprint(), self.fingerprint(body="return 1"))

    def test_an_object_that_is_called_may_be_a_seed(self):
        self.assertNotEqual(self.fingerprint(name="Maker()"), self.fingerprint())
