"""What a statement's text says: writes in it, and control of the transaction."""

from __future__ import annotations

import testtools

from dbkit.engines.statements import is_write, refuse_control
from dbkit.exceptions import TransactionManaged

WRITES = (
    "SELECT 1 AS a INTO newt",
    "SELECT 1; INSERT INTO t VALUES (1)",
    "PRAGMA user_version = 7",
    "WITH gone AS (DELETE FROM t RETURNING id) SELECT * FROM gone",
)
READS = ("SELECT id FROM t WHERE note = 'insert into x'", "SELECT * FROM t FOR UPDATE", "PRAGMA user_version")
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
