"""What the fault proxy reads out of a statement's text."""

from __future__ import annotations

import testtools

from dbkit.testing.faults.sql import PING, STATEMENT, Dialect, masked, names_of

PG, MY = Dialect.POSTGRESQL, Dialect.MYSQL


class TestNames(testtools.TestCase):
    def names(self, text, dialect=PG):
        return names_of(text, dialect) - {STATEMENT}

    def test_a_statement_answers_to_its_verb(self):
        for text, verb in (
            ("COMMIT", "COMMIT"),
            ("commit;", "COMMIT"),
            ("  \n COMMIT AND CHAIN ; ", "COMMIT"),
            ("END", "COMMIT"),
            ("BEGIN;", "BEGIN"),
            ("begin isolation level serializable", "BEGIN"),
            ("START TRANSACTION READ ONLY", "BEGIN"),
            ("START SLAVE", "START"),
            ("ROLLBACK", "ROLLBACK"),
            ("ABORT", "ROLLBACK"),
            ("rollback work", "ROLLBACK"),
            ("ROLLBACK TO SAVEPOINT a", "ROLLBACK TO"),
            ("ROLLBACK WORK TO a", "ROLLBACK TO"),
            ("ROLLBACK TRANSACTION TO SAVEPOINT a", "ROLLBACK TO"),
            ("SAVEPOINT to_be", "SAVEPOINT"),
            ("RELEASE SAVEPOINT a", "RELEASE"),
            ("(SELECT 2)", "SELECT"),
            ("/* app */ -- who\n INSERT INTO t VALUES (1)", "INSERT"),
            ("WITH a AS (SELECT 2) DELETE FROM t", "WITH"),
        ):
            self.assertEqual({verb}, self.names(text), text)

    def test_a_text_of_several_statements_answers_to_all_of_their_verbs(self):
        self.assertEqual({"INSERT", "COMMIT"}, self.names("INSERT INTO t VALUES (1); COMMIT"))
        self.assertEqual({"INSERT", "COMMIT", "BEGIN"}, self.names("INSERT INTO t SELECT 2;COMMIT;BEGIN;"))

    def test_what_stands_in_a_literal_a_name_or_a_comment_is_no_statement(self):
        for dialect, text in (
            (PG, "SELECT ';COMMIT;', 2"),
            (PG, "SELECT 'it''s ;COMMIT;', 2"),
            (PG, r"SELECT E'\';COMMIT;', 2"),
            (PG, "SELECT $$;COMMIT;$$, $a$;COMMIT;$a$"),
            (PG, 'SELECT ";COMMIT;" FROM t'),
            (PG, "SELECT 2 /* ;COMMIT; */ + 3"),
            (PG, "SELECT 2 -- ;COMMIT\n + 3"),
            (MY, r"SELECT 'it\'s ;COMMIT;', 2"),
            (MY, 'SELECT ";COMMIT;"'),
            (MY, "SELECT `;COMMIT;` FROM t"),
            (MY, "SELECT 2 # ;COMMIT;\n + 3"),
        ):
            self.assertEqual({"SELECT"}, self.names(text, dialect), text)

    def test_a_backslash_escapes_on_mysql_alone(self):
        text = r"SELECT '\'; COMMIT; SELECT '"
        self.assertEqual({"SELECT", "COMMIT"}, self.names(text, PG))
        self.assertEqual({"SELECT"}, self.names(text, MY))

    def test_the_body_of_a_definition_is_not_executed(self):
        text = "CREATE DEFINER=CURRENT_USER PROCEDURE p() BEGIN INSERT INTO t VALUES (1); COMMIT; END"
        self.assertEqual({"CREATE"}, self.names(text, MY))

    def test_what_pools_send_is_a_ping(self):
        for text in ("", ";", "-- ping", "SELECT 1", "select 1", " SELECT  1 ;"):
            self.assertIn(PING, names_of(text, PG), text)
        for text in ("SELECT 12", "SELECT 1 FROM t", "SELECT 1; SELECT 1"):
            self.assertNotIn(PING, names_of(text, PG), text)

    def test_a_long_text_is_read_in_one_pass(self):
        text = "INSERT INTO t VALUES " + ", ".join(["('a''b;c', 12)"] * 50_000) + "; COMMIT"
        self.assertEqual({"INSERT", "COMMIT"}, self.names(text))
        self.assertEqual({"SELECT"}, self.names("SELECT '" + ";" * 1_000_000))


class TestMasks(testtools.TestCase):
    def test_no_value_stays(self):
        for dialect, text, expected in (
            (PG, "INSERT INTO t2 VALUES (1, -2.5e-7, 'se''cret', NULL)", "INSERT INTO t2 VALUES (?, -?, ?, NULL)"),
            (PG, "SELECT $1, $2 -- secret\n, E'\\'secret', $q$secret$q$", "SELECT $1, $2 , ?, ?"),
            (PG, 'SELECT "secret name" /* secret */', 'SELECT "secret name"'),
            (PG, "SELECT 'secret", "SELECT ?"),
            (
                MY,
                r"""UPDATE `t` SET a = 'it\'s', b = "secret", c = x'ff', d = 0xff""",
                "UPDATE `t` SET a = ?, b = ?, c = ?, d = ?",
            ),
        ):
            self.assertEqual(expected, masked(text, dialect))
