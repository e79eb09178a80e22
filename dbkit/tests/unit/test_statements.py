"""What a statement's text says: writes in it, and control of the transaction."""

from __future__ import annotations

import testtools

from dbkit.engines.statements import is_write, may_store, refuse_control
from dbkit.exceptions import TransactionManaged

WRITES = (
    "SELECT 1 AS a INTO newt",
    "SELECT 1; INSERT INTO t VALUES (1)",
    "PRAGMA user_version = 7",
    "WITH gone AS (DELETE FROM t RETURNING id) SELECT * FROM gone",
    'WITH new AS (UPDATE "user" SET a = 1 RETURNING id) SELECT * FROM new',
    "WITH new AS (UPDATE ONLY t u SET a = 1 RETURNING id) SELECT * FROM new",
    'SELECT a INTO "New" FROM t',
    "SELECT a INTO TEMP TABLE s.new FROM t",
)
READS = (
    "SELECT a FROM t INTO OUTFILE '/tmp/a'", "SELECT a INTO OUTFILE '/tmp/a' FROM t", "SELECT a INTO @a FROM t",
    "SELECT id FROM t WHERE note = 'insert into x'", "SELECT * FROM t FOR UPDATE", "PRAGMA user_version",
)  # fmt: skip
CONTROL = (
    "COMMIT",
    "rollback;",
    "-- done\n commit",
    "SET SESSION TRANSACTION READ WRITE",
    "SET default_transaction_read_only = off",
    "PRAGMA main.query_only = 0",
    "LOCK TABLES t WRITE",
)
FREE = ("ROLLBACK TO SAVEPOINT a", "SET LOCAL lock_timeout = '1s'", "SELECT 'commit'", "PRAGMA query_only")


class TestStatements(testtools.TestCase):
    def test_a_write_is_seen_in_every_form(self):
        self.assertEqual([], [text for text in WRITES if not is_write(text)])

    def test_what_only_reads_is_not_accused(self):
        self.assertEqual([], [text for text in READS if is_write(text)])

    def test_control_of_the_transaction_is_refused(self):
        for text in CONTROL:
            self.assertRaises(TransactionManaged, refuse_control, text)

    def test_what_leaves_the_transaction_alone_passes(self):
        for text in FREE:
            refuse_control(text)


class TestWhatMayStore(testtools.TestCase):
    def test_what_cannot_store_is_known(self):
        for text in (
            "SELECT 1",
            "select a, count(*), coalesce(b, 'INSERT INTO t') from t where c in (1, 2) and d = now() group by a",
            "SELECT a FROM t WHERE id = %(id)s FOR UPDATE",
            "WITH x AS (SELECT 1) SELECT * FROM x",
            "SAVEPOINT sa_savepoint_1",
            "ROLLBACK TO SAVEPOINT sa_savepoint_1",
            "RELEASE SAVEPOINT sa_savepoint_1",
            "SHOW VARIABLES",
        ):
            self.assertFalse(may_store(text), text)

    def test_whatever_else_may(self):
        for text in (
            "INSERT INTO t VALUES (1)",
            "update t set a = 1",
            "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x",
            "SELECT transfer(1, 2)",
            'SELECT "transferAll"(1, 2)',
            "SELECT `transferAll`(1, 2)",
            "SELECT app.replace(1, 2)",
            "SELECT 'it\\'s', transfer(1, 2), 'x'",
            "SELECT $$it's$$, transfer(1, 2), 'x'",
            "SELECT a -- it's\n, transfer(1, 2), 'x'",
            'WITH new AS (UPDATE "user" SET a = 1 RETURNING id) SELECT * FROM new',
            "SELECT nextval('s')",
            "SELECT pg_advisory_xact_lock(1)",
            "CALL p()",
            "CREATE TABLE t (a int)",
            "SELECT 1; DELETE FROM t",
        ):
            self.assertTrue(may_store(text), text)
