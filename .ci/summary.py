"""Print what a test run came to: failures by name, the reasons of what was skipped, and the counts as the last line.

Without arguments it reads the last run from stestr; with arguments, the subunit files that they name. Of a run that was
killed, what it had so far is counted, and that it was cut off is a failure by itself.
"""

from __future__ import annotations

import io
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Any, BinaryIO

import subunit
import testtools

PASSED = {"success", "xfail"}
#: How the file of a run that was killed ends. It is what stestr had written until then, in subunit's first version.
CUT_OFF = ".cut-off.subunit"
_TOLD = 4000
_TORN = "subunit.parser"  # what subunit calls a packet that it cannot read; the last one, if a run is killed
FAILED = {"fail", "uxsuccess", "inprogress", "unknown"}  # inprogress: the worker died in it


def results(stream: BinaryIO, is_cut_off: bool = False) -> Iterator[dict[str, Any]]:
    """Return the tests of a subunit stream, each with its id, status and details."""
    tests: list[dict[str, Any]] = []
    reader = testtools.StreamToDict(tests.append)
    if is_cut_off:
        decorated = testtools.ExtendedToStreamDecorator(reader)
        decorated.startTestRun()
        subunit.ProtocolTestCase(stream, passthrough=io.BytesIO()).run(decorated)
        decorated.stopTestRun()
        return iter(tests)
    reader.startTestRun()
    # without a name for what isn't subunit, the rest of a torn packet is an error
    subunit.ByteStreamToStreamResult(stream, non_subunit_name="stdout").run(reader)
    reader.stopTestRun()
    return iter(tests)


def streams(paths: list[str]) -> Iterator[tuple[str, BinaryIO]]:
    """Return the streams that the paths name, or that of stestr's last run; each with the name of its file."""
    if not paths:
        last = subprocess.run(
            [sys.executable, "-m", "stestr", "last", "--subunit"], stdout=subprocess.PIPE, check=False
        )
        if last.returncode == 0:
            yield "", io.BytesIO(last.stdout)
        else:
            # what stestr has written so far stands in a temporary file, until the run ends
            for path in Path(".stestr").glob("tmp*"):
                yield path.name + CUT_OFF, io.BytesIO(path.read_bytes())
    for path in paths:
        with open(path, "rb") as stream:
            yield Path(path).name, stream


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
    for name, stream in streams(paths):
        is_cut_off = name.endswith(CUT_OFF)
        for test in results(stream, is_cut_off):
            if test["id"] == _TORN:
                is_cut_off = True
            elif test["status"] in PASSED:
                passed += 1
            elif test["status"] in FAILED:
                failed[test["id"]] = "\n".join(_told(test))
            elif test["status"] == "skip":
                reason = test["details"].get("reason")
                skipped[reason.as_text().strip() if reason else "no reason given"] += 1
        if is_cut_off:
            failed[f"the run {name.removesuffix(CUT_OFF)} was cut off"] = "what it had not come to is not counted here"
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
