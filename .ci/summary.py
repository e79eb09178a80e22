"""Print what a test run came to: failures by name, the reasons of what was skipped, and the counts as the last line.

Without arguments it reads the last run from stestr; with arguments, the subunit files that they name.
"""

from __future__ import annotations

import io
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from textwrap import indent
from typing import Any, BinaryIO

import subunit
import testtools

PASSED = {"success", "xfail"}
_TOLD = 4000
FAILED = {"fail", "uxsuccess", "inprogress", "unknown"}  # inprogress: the worker died in it


def results(stream: BinaryIO) -> Iterator[dict[str, Any]]:
    """Return the tests of a subunit stream, each with its id, status and details."""
    tests: list[dict[str, Any]] = []
    reader = testtools.StreamToDict(tests.append)
    reader.startTestRun()
    subunit.ByteStreamToStreamResult(stream).run(reader)
    reader.stopTestRun()
    return iter(tests)


def streams(paths: list[str]) -> Iterator[BinaryIO]:
    """Return the streams that the paths name, or that of stestr's last run."""
    if not paths:
        last = subprocess.run(
            [sys.executable, "-m", "stestr", "last", "--subunit"], stdout=subprocess.PIPE, check=False
        )
        yield io.BytesIO(last.stdout)
    for path in paths:
        with open(path, "rb") as stream:
            yield stream


def _told(test: dict[str, Any]) -> Iterator[str]:
    """Yield the ends of what a test has attached to its failure: the traceback's last lines say what it was."""
    for name, content in sorted(test["details"].items()):
        if content.content_type.type == "text":
            text = content.as_text().strip()
            if text:
                yield f"{name}: {text[-_TOLD:]}"


def main(paths: list[str]) -> int:
    """Print the summary and return 1 if a test failed or none was run."""
    passed, skipped = 0, Counter[str]()
    failed: dict[str, str] = {}
    for stream in streams(paths):
        for test in results(stream):
            if test["status"] in PASSED:
                passed += 1
            elif test["status"] in FAILED:
                failed[test["id"]] = "\n".join(_told(test))
            elif test["status"] == "skip":
                reason = test["details"].get("reason")
                skipped[reason.as_text().strip() if reason else "no reason given"] += 1
    if skipped:
        print("\nSkipped:")
        for reason, count in skipped.most_common():
            print(f"{count:6}  {reason}")
    if failed:
        print("\nFailed:")
        for name, told in sorted(failed.items()):
            print(f"        {name}")
            print(indent(told, " " * 12))
    print(f"\n{passed} passed, {len(failed)} failed, {skipped.total()} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
