"""What forbids a replay, by the names under which it is told."""

from __future__ import annotations

import testtools

from dbkit.transaction.replay.conditions import is_setting, reason_against

REPEATABLE = (
    "SELECT * FROM t WHERE id = %s FOR UPDATE",
    "  (SELECT 1) UNION (SELECT 2)",
    "-- a note\n/* another */ INSERT INTO t (a) VALUES (%s) RETURNING id",
    "# MySQL's\nDELETE FROM t",
    "UPDATE created SET copy = 1, temp = 2, call_id = 3, listen = 4",
    "WITH gone AS (DELETE FROM t RETURNING id) SELECT * FROM gone",
    "REPLACE INTO t VALUES (1)",
    "MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN DELETE",
    "SAVEPOINT sa_savepoint_1",
    "ROLLBACK TO SAVEPOINT sa_savepoint_1",
    "ROLLBACK TO sa_savepoint_1",
    "RELEASE SAVEPOINT sa_savepoint_1",
    "SET LOCAL lock_timeout = '20ms'",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "LOCK TABLE t IN EXCLUSIVE MODE",
    "SHOW VARIABLES",
    "NOTIFY done",
    "SELECT 1;",
    "INSERT INTO t VALUES ('CREATE TEMP TABLE; SELECT pg_advisory_lock(1)')",
    "SELECT $1, $2",
)
FORBIDDEN = {
    "COPY": ("COPY t FROM STDIN", "LOAD DATA INFILE 'x' INTO TABLE t"),
    "DDL": (
        "CREATE TABLE t (id int)", "/* x */ ALTER TABLE t ADD c int", "truncate t", "DROP TABLE t",
        "GRANT ALL ON t TO u",
    ),
    "temporary table": (
        "CREATE TEMPORARY TABLE t (id int)", "CREATE TEMP TABLE t AS SELECT 1", "CREATE LOCAL TEMP TABLE t (id int)",
        "SELECT 1 AS a INTO TEMP t", "CREATE OR REPLACE TEMPORARY TABLE t (id int)", "DROP TEMPORARY TABLE t",
    ),
    "session lock": (
        "SELECT pg_advisory_lock(1)", "SELECT pg_try_advisory_xact_lock(1)", "SELECT GET_LOCK('a', 1)",
        "SELECT release_lock('a')", "SELECT RELEASE_ALL_LOCKS()", "LOCK TABLES t WRITE",
        "SELECT 'a\\', pg_advisory_lock(1), 'b'", "SELECT 1 -- don't\n, pg_advisory_lock(1), 'b'",
        "SELECT \"it's\", pg_advisory_lock(1), \"it's\"",
    ),
    "LISTEN": ("LISTEN done", "UNLISTEN *"),
    "server-side cursor": ("DECLARE c CURSOR FOR SELECT 1", "FETCH 1 FROM c", "HANDLER t OPEN"),
    "stored procedure": ("CALL f()", "DO $$ BEGIN END $$", "EXECUTE s", "PREPARE s AS SELECT 1"),
    "several statements": ("SELECT 1; SELECT 2", "SELECT 1 /*!40101 , SLEEP(1) */", "SELECT 'a\\'; b'"),
    "outside effect": (
        "SELECT setval('s', 1)", "SELECT dblink_exec('x', 'y')", "SELECT pg_terminate_backend(1)",
        "SELECT 1 INTO OUTFILE 'x'",
    ),
    "unknown statement": ("FLUSH TABLES", "RESIGNAL", ""),
}  # fmt: skip


class ServerSide:
    _is_server_side = True


class TestConditions(testtools.TestCase):
    def test_what_a_rollback_undoes_can_be_repeated(self):
        for statement in REPEATABLE:
            self.assertIs(None, reason_against(statement), statement)

    def test_what_forbids_it_is_named(self):
        for name, statements in FORBIDDEN.items():
            for statement in statements:
                reason = reason_against(statement)
                self.assertIsNot(None, reason, statement)
                self.assertEqual(name, reason.name, statement)

    def test_a_server_side_cursor_forbids_it_whatever_it_reads(self):
        self.assertEqual("server-side cursor", reason_against("SELECT 1", ServerSide()).name)

    def test_settings_are_told_from_the_rest(self):
        self.assertTrue(is_setting("-- why\nSET search_path = a"))
        self.assertTrue(is_setting("RESET ALL"))
        self.assertFalse(is_setting("SELECT 1"))
