"""What CI says of its runs of the tests, of one that was killed too, and what it leaves out of one of them."""

from __future__ import annotations

import contextlib
import datetime
import dbm.dumb
import io
import re
import runpy
import unittest
from pathlib import Path

import fixtures
import testtools
from stestr import scheduler
from stestr.repository import file
from subunit import StreamResultToBytes

_ROOT = Path(__file__).parents[3]
_SCRIPT = _ROOT / ".ci" / "summary.py"
if not _SCRIPT.exists():
    raise unittest.SkipTest("the summary is not installed with dbkit; run this test from a checkout")


def stream_of(*events):
    """Return what a worker writes of tests, each with its status."""
    written = io.BytesIO()
    stream = StreamResultToBytes(written)
    for name, status in events:
        stream.status(test_id=name, test_status="inprogress")
        if status == "fail":
            stream.status(
                test_id=name, file_name="traceback", file_bytes=b"it is 2", mime_type="text/plain; charset=utf8"
            )
        if status != "inprogress":
            stream.status(test_id=name, test_status=status)
    return written.getvalue()


class TestSummary(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.useFixture(fixtures.TempDir()).path)

    def summary(self, *streams, end=".subunit"):
        """Return what is printed of the streams, and whether it is a success."""
        paths = [self.folder / f"py3{number}{end}" for number, _stream in enumerate(streams, 1)]
        for path, stream in zip(paths, streams, strict=True):
            path.write_bytes(stream)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            code = runpy.run_path(str(_SCRIPT))["main"](list(map(str, paths)))
        return printed.getvalue(), code == 0

    def last_line(self, *streams):
        printed, is_good = self.summary(*streams)
        return printed.splitlines()[-1], is_good

    def test_the_last_line_has_the_counts_of_all_streams(self):
        one, other = stream_of(("a", "success"), ("b", "skip")), stream_of(("a", "success"), ("c", "xfail"))
        self.assertEqual(("3 passed, 0 failed, 1 skipped", True), self.last_line(one, other))

    def test_what_failed_is_named_with_what_it_said(self):
        printed, is_good = self.summary(stream_of(("a", "success"), ("b", "fail")))
        self.assertFalse(is_good)
        self.assertRegex(printed, r"Failed:\n +b\n +traceback: it is 2\n\n1 passed, 1 failed, 0 skipped\n")

    def test_no_tests_are_no_success(self):
        self.assertEqual(("0 passed, 0 failed, 0 skipped", False), self.last_line(b""))

    def test_a_run_that_was_killed_has_told_what_it_had(self):
        written = b"test: a\nsuccess: a\ntest: b\nfailure: b [\nit is 2\n]\ntest: c\nsuccess: c\n"
        for end, passed in ((len(written), 2), (len(written) - 5, 1), (len(written) - 12, 1)):
            printed, is_good = self.summary(written[:end], end=".cut-off.subunit")
            self.assertFalse(is_good)
            self.assertRegex(printed, r"\n +b\n +traceback: .*it is 2")
            self.assertIn("the run py31 was cut off", printed)
            self.assertIn(f"{passed} passed, ", printed)

    def test_wherever_a_stream_is_torn_what_stands_before_it_is_told(self):
        head, torn = stream_of(("a", "success"), ("b", "fail")), stream_of(("c", "success"))
        for end in range(1, len(torn)):
            printed, is_good = self.summary(head + torn[:end])
            self.assertIn("it is 2", printed, end)
            self.assertIn("1 passed", printed, end)
            self.assertFalse(is_good)

    def test_what_is_no_test_is_passed_over(self):
        stream = stream_of(("a", "success")) + b"\nTerminated\n" + stream_of(("b", "success"))
        self.assertEqual(("2 passed, 0 failed, 0 skipped", True), self.last_line(stream))


class TestWhatIsLeftOut(testtools.TestCase):
    def test_each_line_leaves_something_out(self):
        tests = _ROOT / "dbkit" / "tests"
        names = [
            ".".join(["", *path.relative_to(tests).with_suffix("").parts, case, ""])
            for path in tests.rglob("test_*.py")
            for case in ["", *re.findall(r"^class (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)]
        ]
        lines = (_ROOT / ".ci" / "sa20-leaves-out.txt").read_text(encoding="utf-8").splitlines()
        for line in (each for each in lines if each and not each.startswith("#")):
            self.assertTrue([name for name in names if re.search(line, name)], f"nothing is named like {line}")


class TestTimes(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.useFixture(fixtures.TempDir()).path)
        self.script = runpy.run_path(str(_ROOT / ".ci" / "times.py"))

    def stream(self, *tests):
        """Write what a worker tells of tests: each with the seconds that it took."""
        written = io.BytesIO()
        stream = StreamResultToBytes(written)
        begun = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        for name, seconds in tests:
            stream.status(test_id=name, test_status="inprogress", timestamp=begun)
            ended = begun + datetime.timedelta(seconds=seconds)
            stream.status(test_id=name, test_status="success", timestamp=ended)
        path = self.folder / "py3.subunit"
        path.write_bytes(written.getvalue())
        return path

    def test_a_class_has_the_time_of_its_tests_under_the_first_of_them(self):
        path = self.stream(("a.Long.test_b", 2), ("a.Short.test_a", 0.1), ("a.Long.test_a", 3))
        self.assertEqual({"a.Long.test_b": 5.0}, self.script["recorded"]([path]))

    def test_stestr_has_equal_shares_made_by_them(self):
        self.script["tell"](self.folder / "times.dbm")
        repository = file.Repository(str(self.folder))
        names = [line.split()[1] for line in self.script["TIMES"].read_text(encoding="utf-8").splitlines()]
        untimed = [f"{name.rpartition('.')[0]}.test_untimed" for name in names]
        group = re.compile(r"([^\.]+\.)+")
        shares = scheduler.partition_tests([*names, *untimed], 3, repository, lambda name: group.match(name).group())
        times = repository.get_test_times(names)["known"]
        weights = [sum(times.get(name, 0) for name in share) for share in shares]
        self.assertTrue(min(weights) > 0.9 * max(weights), weights)

    def test_what_was_measured_here_stays(self):
        path = self.folder / "times.dbm"
        name = self.script["TIMES"].read_text(encoding="utf-8").split()[1]
        with dbm.dumb.open(str(path), "c") as known:
            known[name] = "0.125"
        self.script["tell"](path)
        with dbm.dumb.open(str(path)) as known:
            self.assertEqual(b"0.125", known[name])

    def test_each_line_names_a_module_that_is_there(self):
        for line in self.script["TIMES"].read_text(encoding="utf-8").splitlines():
            module = re.search(r" (\S+?)\.[A-Z]", line)[1]
            self.assertTrue((_ROOT / module.replace(".", "/")).with_suffix(".py").exists(), line)
