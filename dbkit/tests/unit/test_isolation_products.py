"""Which statements end a transaction by themselves, and which leave something in the session."""

from __future__ import annotations

import unittest
from typing import Any

from dbkit.backends.registry import backend_for
from dbkit.testing.isolation.products import PRODUCTS, Product, product_of

# Source: "Statements That Cause an Implicit Commit" of the MySQL and MariaDB manuals.
ENDING = (
    "ALTER TABLE t ADD c INT", "ANALYZE TABLE t", "CACHE INDEX t IN hot", "CHANGE MASTER TO MASTER_PORT=1",
    "CHECK TABLE t", "CREATE DATABASE d", "CREATE INDEX i ON t (c)", "CREATE OR REPLACE TABLE t (c INT)",
    "CREATE TABLE t (c INT)", "CREATE UNIQUE INDEX i ON t (c)", "create\n table t (c int)",
    "CREATE VIEW v AS SELECT 1", "CREATE USER u", "DROP DATABASE d", "DROP INDEX i ON t",
    "DROP TABLE IF EXISTS t", "DROP VIEW v", "FLUSH TABLES", "GRANT ALL ON t TO u",
    "INSTALL PLUGIN p SONAME 's'", "LOAD INDEX INTO CACHE t", "LOCK TABLES t READ", "OPTIMIZE TABLE t",
    "RENAME TABLE t TO s", "REPAIR TABLE t", "RESET MASTER", "REVOKE ALL ON t FROM u", "SET PASSWORD = 'x'",
    "START SLAVE", "STOP ALL SLAVES", "TRUNCATE t", "TRUNCATE TABLE t", "UNINSTALL PLUGIN p", "UNLOCK TABLES",
    "/* why */ DROP TABLE t", "-- why\nDROP TABLE t", "# why\nDROP TABLE t",
)  # fmt: skip
STAYING = (
    "SELECT 1", "INSERT INTO alter_table VALUES (1)", "UPDATE t SET c = 1", "DELETE FROM t",
    "REPLACE INTO t VALUES (1)", "CREATE TEMPORARY TABLE t (c INT)",
    "CREATE OR REPLACE TEMPORARY TABLE t (c INT)", "DROP TEMPORARY TABLE t", "SAVEPOINT s",
    "RELEASE SAVEPOINT s", "ROLLBACK TO SAVEPOINT s", "SHOW CREATE TABLE t", "EXPLAIN SELECT 1",
    "LOAD DATA INFILE 'f' INTO TABLE t", "SET NAMES utf8mb4", "CALL p()",
    "WITH x AS (SELECT 1) SELECT * FROM x", "DO SLEEP(0)", "CHECKSUM TABLE t", "SELECT 'DROP TABLE t'",
)  # fmt: skip


# Product, what leaves something in its session, what does not.
LINGERING = (
    (
        "sqlite",
        ("PRAGMA foreign_keys = OFF", "pragma main.cache_size=5", "PRAGMA recursive_triggers(1)", "ATTACH 'f' AS other",
         "/* why */ DETACH other"),
        ("PRAGMA foreign_keys", 'PRAGMA main.table_info("t")', "PRAGMA foreign_key_list('t')", "SELECT 'PRAGMA a = 1'"),
    ),
    (
        "postgresql",
        ("PREPARE p AS SELECT 1", "SELECT pg_advisory_lock(1)", "select pg_try_advisory_lock_shared (1)", "LOAD 'l'"),
        ("SELECT pg_advisory_xact_lock(1)", "SET search_path = a", "LISTEN c", "SELECT prepare FROM t"),
    ),
    (
        "mysql",
        ("SET @a = 1", "-- why\nset sql_mode = ''", "SELECT GET_LOCK('l', 1)", "CREATE TEMPORARY TABLE t (c INT)",
         "create or replace temporary table t (c int)", "USE d", "SELECT @a := 1", "SELECT 1 INTO @a", "CALL p()"),
        ("UPDATE t SET c = 1", "INSERT INTO uses VALUES (1)", "SELECT 1", "DROP TEMPORARY TABLE t"),
    ),
)  # fmt: skip


class TestImplicitCommits(unittest.TestCase):
    def found(self, statement: str) -> Any:
        pattern = PRODUCTS["mysql"].ends
        assert pattern is not None
        return pattern.match(statement)

    def test_statements_that_commit_are_found(self) -> None:
        for statement in ENDING:
            with self.subTest(statement=statement):
                self.assertIsNotNone(self.found(statement))

    def test_statements_that_do_not_are_let_through(self) -> None:
        for statement in STAYING:
            with self.subTest(statement=statement):
                self.assertIsNone(self.found(statement))


class TestWhatLingersInASession(unittest.TestCase):
    def test_statements_that_leave_something_are_found_and_no_others(self) -> None:
        for name, lingering, others in LINGERING:
            pattern = PRODUCTS[name].lingers
            assert pattern is not None
            for statement in lingering:
                with self.subTest(statement=statement):
                    self.assertIsNotNone(pattern.search(statement))
            for statement in others:
                with self.subTest(statement=statement):
                    self.assertIsNone(pattern.search(statement))


class TestProducts(unittest.TestCase):
    def test_each_backend_of_dbkit_is_known(self) -> None:
        for scheme in ("postgresql", "mysql", "mariadb", "sqlite"):
            backend = backend_for(scheme)
            self.assertIs(PRODUCTS[backend.name], product_of(backend))

    def test_a_backend_of_ones_own_may_say_how_it_behaves(self) -> None:
        own = Product(opening=("BEGIN WORK",))
        self.assertIs(own, product_of(_Backend("firebird", own)))

    def test_one_that_says_nothing_has_its_readers_watched(self) -> None:
        self.assertTrue(product_of(_Backend("firebird", None)).watches_readers)


class _Backend:
    """As much of a backend as is looked at."""

    def __init__(self, name: str, isolation: Any) -> None:
        self.name = name
        self.isolation = isolation

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


if __name__ == "__main__":
    unittest.main()
