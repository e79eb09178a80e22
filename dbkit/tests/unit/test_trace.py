"""Comments in the SQL that name the calling code."""

from __future__ import annotations

import re

import testtools
from sqlalchemy import create_engine, event, text

from dbkit.engines.listeners import trace


def _compiled(source, name, file):
    """Return a function as if it stood in a file of that name, in a module of the application."""
    scope = {"__name__": "shop.orders"}
    exec(compile(source, file, "exec"), scope)
    return scope[name]


class TestTrace(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.engine = create_engine("sqlite://")
        self.addCleanup(self.engine.dispose)
        trace.install(self.engine)
        self.sent = []

        def record(connection, cursor, statement, parameters, context, executemany):
            self.sent.append(statement)

        event.listen(self.engine, "before_cursor_execute", record)

    def run_sql(self, sql, *parameters):
        with self.engine.connect() as connection:
            return connection.execute(text(sql), *parameters).all()

    def test_the_comment_names_file_line_and_function(self):
        self.run_sql("SELECT 1")
        self.assertRegex(self.sent[-1], r"^SELECT 1  -- File: test_trace\.py \(\d+\) run_sql; ")

    def test_it_names_three_callers_nearest_first(self):
        def inner():
            return self.run_sql("SELECT 1")

        def outer():
            return inner()

        outer()
        named = re.findall(r"File: \S+ \(\d+\) (\w+)", self.sent[-1])
        self.assertEqual(["run_sql", "inner", "outer"], named)

    def test_no_frame_of_the_libraries_is_named(self):
        self.run_sql("SELECT 1")
        for library in ("base.py", "default.py", "elements.py"):
            self.assertNotIn(library, self.sent[-1])
        self.assertNotIn("File: trace.py", self.sent[-1])

    def test_the_statement_does_what_it_did(self):
        self.run_sql("SELECT 1")
        with self.engine.begin() as connection:
            connection.execute(text("CREATE TABLE t (a INTEGER)"))
            connection.execute(text("INSERT INTO t VALUES (:a)"), [{"a": 1}, {"a": 2}])
            self.assertEqual([1, 2], list(connection.execute(text("SELECT a FROM t ORDER BY a")).scalars()))

    def test_a_name_with_a_percent_sign_puts_no_placeholder_into_the_sql(self):
        call = _compiled("def total(run):\n    return run('SELECT 1')\n", "total", "/srv/100%s/at%(x)s.py")
        call(self.run_sql)
        self.assertNotIn("%", self.sent[-1])
        self.assertIn("at(x)s.py", self.sent[-1])

    def test_a_name_with_a_line_end_does_not_end_the_comment(self):
        call = _compiled("def total(run):\n    return run('SELECT 1')\n", "total", "/srv/a\nDROP TABLE t;\r--.py")
        call(self.run_sql)
        self.assertNotIn("\n", self.sent[-1])
        self.assertNotIn("\r", self.sent[-1])

    def test_no_folder_is_given_away(self):
        call = _compiled("def total(run):\n    return run('SELECT 1')\n", "total", "/home/ann/secret-project/shop.py")
        call(self.run_sql)
        self.assertIn("File: shop.py (2) total", self.sent[-1])
        self.assertNotIn("secret-project", self.sent[-1])
