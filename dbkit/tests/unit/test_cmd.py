"""The ``dbkit`` command line: what it answers, and with which exit code."""

from __future__ import annotations

import contextlib
import io
import json
import logging

import testtools

from dbkit.cmd.command import without_secrets
from dbkit.cmd.main import main
from dbkit.tests import warm


class CommandTestCase(testtools.TestCase):
    def dbkit(self, *arguments):
        """Run the command in this process; return its exit code and what it wrote to both streams."""
        written, complained = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(written), contextlib.redirect_stderr(complained):
            code = main(arguments)
        return code, written.getvalue(), complained.getvalue()


class TestTheCommandLine(CommandTestCase):
    def test_without_arguments_it_shows_the_help(self):
        code, written, complained = self.dbkit()
        self.assertEqual((0, ""), (code, complained))
        self.assertIn("usage: dbkit", written)
        self.assertIn("explain", written)

    def test_a_subcommand_shows_its_own_help(self):
        for arguments in (("demo", "--help"), ("help", "demo")):
            code, written, _ = self.dbkit(*arguments)
            self.assertEqual(0, code)
            self.assertIn("--server", written)

    def test_it_knows_its_version(self):
        code, written, _ = self.dbkit("--version")
        self.assertEqual(0, code)
        self.assertRegex(written, r"^dbkit \d")

    def test_an_unknown_command_is_a_usage_error_that_lists_the_known_ones(self):
        code, written, complained = self.dbkit("destroy")
        self.assertEqual((2, ""), (code, written))
        self.assertIn("'destroy'", complained)
        self.assertIn("demo, explain", complained)

    def test_an_unknown_option_is_a_usage_error(self):
        self.assertEqual(2, self.dbkit("explain", "--colour", "1213")[0])
        self.assertEqual(2, self.dbkit("--colour")[0])

    def test_a_password_in_the_wrong_place_is_not_repeated(self):
        url = "postgresql://me:s3cret@host/db"
        for arguments in ((url,), ("demo", url), ("demo", "--rows", url), ("demo", "--server", url), ("explain", url)):
            code, written, complained = self.dbkit(*arguments)
            self.assertNotEqual(0, code)
            self.assertNotIn("s3cret", written + complained, arguments)

    def test_the_caller_keeps_its_own_logging(self):
        root = logging.getLogger()
        before = (list(root.handlers), root.level)
        self.dbkit("explain", "1213")
        self.assertEqual(before, (list(root.handlers), root.level))

    def test_with_debug_an_error_shows_where_it_comes_from(self):
        code, _, complained = self.dbkit("--debug", "demo", "--url", "inventory.db")
        self.assertEqual(1, code)
        self.assertIn("Traceback", complained)
        self.assertIn("InvalidURL", complained)

    def test_without_its_extra_it_says_in_one_line_what_to_install(self):
        for package in ("cliff", "rich"):
            script = f"import sys; sys.modules[{package!r}] = None; from dbkit.cmd.main import main; sys.exit(main())"
            done = warm.run("-c", script, "demo", timeout_s=60)
            self.assertEqual((1, ""), (done.returncode, done.stdout))
            self.assertEqual(
                f"dbkit: {package} is not installed, which the command needs: pip install 'dbkit[cli]'\n", done.stderr
            )


class TestExplain(CommandTestCase):
    def rows(self, *arguments):
        code, written, complained = self.dbkit("explain", "-f", "json", *arguments)
        self.assertEqual((0, ""), (code, complained))
        return json.loads(written)

    def test_a_code_is_explained_as_text(self):
        code, written, complained = self.dbkit("explain", "1213")
        self.assertEqual((0, ""), (code, complained))
        for part in ("mysql 1213", "DBDeadlock", "transient", "rolled back", "source", "errors/DBDeadlock"):
            self.assertIn(part, written)

    def test_a_code_is_explained_for_programs(self):
        (row,) = self.rows("40P01")
        self.assertEqual("postgresql", row["product"])
        self.assertEqual("DBDeadlock", row["raises"])
        self.assertEqual("yes", row["transient"])
        self.assertEqual("aborted", row["transaction"])
        self.assertEqual("errors/DBDeadlock", row["page"])
        self.assertTrue(row["means"])
        self.assertTrue(row["source"])

    def test_a_line_of_a_log_is_explained(self):
        (row,) = self.rows("(1213, 'Deadlock found when trying to get lock; try restarting transaction')")
        self.assertEqual(("mysql", "1213"), (row["product"], row["code"]))

    def test_a_message_need_not_be_quoted(self):
        message = "ERROR 1213 (40001): Deadlock found when trying to get lock"
        self.assertEqual(self.rows(message), self.rows(*message.split()))

    def test_columns_can_be_chosen(self):
        code, written, _ = self.dbkit("explain", "SQLITE_BUSY", "-c", "raises")
        self.assertEqual(0, code)
        self.assertIn("| DBLockTimeout |", written)

    def test_what_no_rule_knows_ends_with_one_and_hints(self):
        code, written, complained = self.dbkit("explain", "12133")
        self.assertEqual((1, ""), (code, written))
        self.assertIn("no rule knows it", complained)
        self.assertIn("1213 (mysql)", complained)

    def test_it_ends_with_one_for_programs_too(self):
        code, written, _ = self.dbkit("explain", "-f", "json", "nothing at all")
        self.assertEqual((1, ""), (code, written))

    def test_a_class_is_explained(self):
        for asked in ("DBDeadlock", "dbdeadlock", "dbkit.exceptions.DBDeadlock"):
            code, written, complained = self.dbkit("explain", asked)
            self.assertEqual((0, ""), (code, complained))
            for part in ("DBDeadlock: ", "raised for  mysql 1213", "raised for  postgresql 40P01", "errors/DBDeadlock"):
                self.assertIn(part, written)

    def test_a_class_is_explained_for_programs_by_a_row_for_each_rule(self):
        rows = self.rows("DBSerializationFailure")
        self.assertEqual({"mysql", "postgresql", "sqlite"}, {row["product"] for row in rows})
        self.assertEqual({"DBSerializationFailure"}, {row["raises"] for row in rows})
        (row,) = self.rows("InvalidURL")
        self.assertEqual(("", "InvalidURL", "errors/InvalidURL"), (row["product"], row["raises"], row["page"]))
        (row,) = self.rows("DriverError")
        self.assertEqual("DriverError", row["raises"])

    def test_a_code_may_be_typed_in_small_letters(self):
        self.assertEqual(self.rows("40P01"), self.rows("40p01"))
        self.assertEqual(self.rows("SQLITE_BUSY"), self.rows("sqlite_busy"))

    def test_what_nothing_knows_is_told_what_was_looked_for(self):
        code, written, complained = self.dbkit("explain", "DBDeadlok")
        self.assertEqual((1, ""), (code, written))
        for part in ("Looked for", "SQLSTATE", "Try the code alone", "Near to it: DBDeadlock"):
            self.assertIn(part, complained)

    def test_nothing_to_explain_is_a_usage_error(self):
        self.assertEqual(2, self.dbkit("explain")[0])


class TestServerNames(CommandTestCase):
    """A kind of server has the same names wherever one is asked for."""

    def test_each_name_is_taken_by_both_commands_and_another_by_none(self):
        for name in ("mysql", "mariadb", "postgresql"):
            code, _, complained = self.dbkit("demo", "--server", name, "--rows", "1")
            self.assertEqual(2, code)
            self.assertIn("argument --rows", complained)  # so --server was understood
        for command in (("dbkit", "demo", "--server"), ("dbkit.testing.servers", "--kind")):
            done = warm.run("-m", *command, "oracle", timeout_s=60)
            self.assertEqual((2, ""), (done.returncode, done.stdout))
            self.assertRegex(done.stderr, "mariadb.*mysql.*postgresql")


class TestWithoutSecrets(testtools.TestCase):
    def test_every_url_in_a_text_is_masked(self):
        text = without_secrets("x 'mysql://a:one@h/d', \"postgresql+psycopg://b:two@h/d\" and sqlite:///app.db y")
        self.assertEqual("x 'mysql://a:***@h/d', \"postgresql+psycopg://b:***@h/d\" and sqlite:///app.db y", text)

    def test_other_texts_stay_as_they_are(self):
        self.assertEqual("no :// here: a@b", without_secrets("no :// here: a@b"))
