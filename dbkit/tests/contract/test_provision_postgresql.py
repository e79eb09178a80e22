"""PostgreSQL's own: schemas, types, sequences, circles, and users who are no superusers."""

from __future__ import annotations

import secrets

from dbkit.testing import provision, servers
from dbkit.testing.provision import Schema
from dbkit.tests.contract.provision_cases import ProvisionCase

ODD = 'o"dd %I :x ü; --'
QUOTED = '"o""dd %I :x ü; --"'

OBJECTS = (
    f"CREATE SCHEMA {QUOTED}",
    "CREATE TYPE mood AS ENUM ('sad', 'ok')",
    "CREATE DOMAIN small AS integer CHECK (VALUE < 1000)",
    f"CREATE TABLE {QUOTED}.{QUOTED} (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, feeling mood, s small, "
    "j json, r int4range, b bytea, f float8, t timestamptz, doubled integer GENERATED ALWAYS AS (s * 2) STORED)",
    f"INSERT INTO {QUOTED}.{QUOTED} (feeling, s, j, r, b, f, t) VALUES "
    "('ok', 7, 'null', '[1,5)', '\\x00ff', 'NaN', '2026-03-29 02:30+01'), "
    "(NULL, NULL, '{\"a\": 1}', 'empty', '', 0.1, NULL)",
    "CREATE TABLE nothing ()",
    "INSERT INTO nothing DEFAULT VALUES",
    "CREATE TABLE a (id integer PRIMARY KEY, b_id integer)",
    "CREATE TABLE b (id integer PRIMARY KEY, a_id integer REFERENCES a)",
    "ALTER TABLE a ADD FOREIGN KEY (b_id) REFERENCES b",
    "INSERT INTO a VALUES (1, NULL)",
    "INSERT INTO b VALUES (1, 1)",
    "UPDATE a SET b_id = 1",
    "CREATE TABLE log (id serial, day date NOT NULL) PARTITION BY RANGE (day)",
    "CREATE TABLE log_26 PARTITION OF log FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
    "INSERT INTO log (day) VALUES ('2026-05-05')",
    "CREATE MATERIALIZED VIEW days AS SELECT count(*) AS n FROM log",
    "CREATE SEQUENCE numbers START 5 INCREMENT 3",
    "SELECT nextval('numbers')",
)

PLAIN = "SELECT id, feeling::text, s, j::text, r::text, encode(b, 'hex'), f::text, t, doubled FROM %s ORDER BY id"


class PostgreSQLCase(ProvisionCase):
    product = "postgresql"

    def build(self, connection):
        for statement in OBJECTS:
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})

    def run_on(self, database, *statements):
        with database.connect() as connection:
            for statement in statements:
                result = connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
        return [tuple(row) for row in result] if result.returns_rows else []

    def made(self):
        return self.clone(self.template(Schema(build=self.build, version=self.id())))


class TestObjects(PostgreSQLCase):
    def assert_is_as_new(self, database, template):
        other = self.clone(template)
        for query in (
            PLAIN.replace("%s", f"{QUOTED}.{QUOTED}"),
            "SELECT count(*) FROM nothing",
            "SELECT * FROM a, b",
            "SELECT * FROM log",
            "SELECT * FROM days",
        ):
            self.assertEqual(self.run_on(other, query), self.run_on(database, query), query)

    def test_rows_of_all_kinds_come_back(self):
        database = self.made()
        self.run_on(
            database,
            f"UPDATE {QUOTED}.{QUOTED} SET j = '1', f = 5",
            f"INSERT INTO {QUOTED}.{QUOTED} (s) VALUES (3)",
            "INSERT INTO nothing DEFAULT VALUES",
            "UPDATE a SET b_id = NULL",
            "INSERT INTO log (day) VALUES ('2026-06-06')",
            "REFRESH MATERIALIZED VIEW days",
            "SELECT nextval('numbers')",
        )
        database.empty(restart_sequences=True)
        self.assert_is_as_new(database, database.template)
        self.assertEqual([(8,)], self.run_on(database, "SELECT nextval('numbers')"))
        self.assertEqual([(2,)], self.run_on(database, "SELECT nextval('log_id_seq')"))
        self.assertTrue(database.is_as_built())

    def test_a_value_whose_text_hangs_on_the_session_is_no_difference(self):
        database = self.made()
        self.run_on(
            database, f'ALTER DATABASE "{database.name}" SET timezone = \'Asia/Tokyo\'',
            f'ALTER DATABASE "{database.name}" SET bytea_output = \'escape\'',
        )  # fmt: skip
        before = self.run_on(database, "SELECT xmin FROM a UNION ALL SELECT xmin FROM log")
        database.empty()
        self.assertEqual(before, self.run_on(database, "SELECT xmin FROM a UNION ALL SELECT xmin FROM log"))

    def test_changes_of_every_kind_are_noticed(self):
        for change in (
            "ALTER TYPE mood ADD VALUE 'great'",
            "CREATE SCHEMA extra",
            "CREATE FUNCTION extra() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
            "ALTER TABLE a ALTER b_id SET NOT NULL",
            "ALTER TABLE a ALTER b_id SET DEFAULT 4",
            "ALTER SEQUENCE numbers INCREMENT BY 7",
            "DROP MATERIALIZED VIEW days",
            "ALTER TABLE a RENAME TO c",
            "CREATE TYPE extra AS (x integer)",
        ):
            database = self.made()
            self.assertTrue(database.is_as_built(), change)
            self.run_on(database, change)
            self.assertFalse(database.is_as_built(), change)

    def test_truncate_analyze_and_vacuum_change_no_schema(self):
        database = self.made()
        self.run_on(database, "TRUNCATE a, b", "ANALYZE", "VACUUM FULL log_26", "CREATE TEMPORARY TABLE t (a integer)")
        self.assertTrue(database.is_as_built())
        database.empty()
        self.assert_is_as_new(database, database.template)

    def test_nothing_is_left_when_all_objects_are_dropped(self):
        database = self.made()
        database.drop_all_objects()
        self.assertEqual(
            [("public",)],
            self.run_on(database, "SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)'"),
        )
        for catalogue in ("pg_class", "pg_proc", "pg_type", "pg_constraint"):
            self.assertEqual([(0,)], self.run_on(database, f"SELECT count(*) FROM {catalogue} WHERE oid >= 16384"))
        self.run_on(database, "CREATE TABLE a (b integer)")

    def test_the_seed_is_kept_in_a_schema_of_its_own(self):
        database = self.made()
        self.assertEqual([("dbkit_seed",)], self.run_on(
            database, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dbkit%'"
        ))  # fmt: skip
        empty = self.clone(self.template(Schema(version=self.id())))
        self.assertEqual([], self.run_on(empty, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dbkit%'"))

    def test_it_may_be_dropped_with_a_prepared_transaction(self):
        database = self.made()
        if self.run_on(database, "SHOW max_prepared_transactions") == [("0",)]:
            self.skipTest("the server keeps no prepared transactions")
        gid = secrets.token_hex(4)
        with database.connect() as connection:
            connection.exec_driver_sql(f"BEGIN; INSERT INTO a VALUES (9, NULL); PREPARE TRANSACTION '{gid}'")
        database.drop()


class TestAUserWhoIsNoSuperuser(PostgreSQLCase):
    def setUp(self):
        super().setUp()
        self.server = servers.obtain("postgresql")
        self.role = f"dbkit_role_{secrets.token_hex(4)}"
        admin = provision.template(self.server, Schema(), project=self.project)
        with admin.ground.connected(admin.ground.url) as connection:
            connection.exec_driver_sql(f"CREATE ROLE {self.role} LOGIN CREATEDB")
        self.addCleanup(self.drop_role, admin)
        self.where = self.server.url().set(username=self.role)

    def drop_role(self, admin):
        with admin.ground.connected(admin.ground.url) as connection:
            connection.exec_driver_sql(f"DROP ROLE {self.role}")

    def test_has_its_rows_back_too(self):
        def build(connection):
            for statement in OBJECTS[7:10]:
                connection.exec_driver_sql(statement)
            connection.exec_driver_sql("INSERT INTO a VALUES (1, NULL)")
            connection.exec_driver_sql("INSERT INTO b VALUES (1, 1)")

        database = self.clone(self.template(Schema(build=build, version=self.id())))
        self.run_on(database, "DELETE FROM b", "INSERT INTO a VALUES (2, NULL)", "INSERT INTO b VALUES (5, 2)")
        database.empty()
        self.assertEqual([(1, None, 1, 1)], self.run_on(database, "SELECT * FROM a, b"))
        self.assertTrue(database.is_as_built())
