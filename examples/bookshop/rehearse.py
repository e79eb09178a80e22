"""Runs the tests of the bookshop again and again, and counts the failures: ``python rehearse.py --times 20``.

Both suites run in random order, in two processes at once, on all databases. All their tests store rows of the same
keys, so one row that is left for another test is a failure. With ``--isolation none`` it is the other way round: there
most tests must fail, or they could not have told. The exit status is 0 if all is as it must be, else 1.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import subunit
import testtools

from dbkit.exceptions import BackendNotAvailable
from dbkit.testing import servers

HERE = Path(__file__).resolve().parent
BACKENDS = ("sqlite", "postgresql", "mysql")
PROCESSES = 2
LIMIT_S = 900
TOLD_LINES = 60

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"

Verdicts = Mapping[str, str]
"""What became of each test, by its name."""


class Broken(Exception):
    """A run that came to no verdicts, or to other ones than it must; the text says why."""


@dataclass(frozen=True)
class Plan:
    """One run of a suite.

    :ivar isolation: of all tests but those that ask for another.
    :ivar seed: what the order of the tests begins with.
    """

    backends: tuple[str, ...]
    isolation: str
    seed: int

    def run(self, command: Sequence[str], ends: tuple[int, ...]) -> bytes:
        """Run a module in the example's folder, and return what it has written.

        :param ends: the exit statuses with which it has come to verdicts.
        :raises Broken: it ended with another one.
        """
        told = {
            "BOOKSHOP_ISOLATION": self.isolation,
            "BOOKSHOP_SEED": str(self.seed),
            "DBKIT_TEST_BACKENDS": ",".join(self.backends),
        }
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=HERE, env={**os.environ, **told}, capture_output=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        if done.returncode not in ends:
            said = (done.stdout + done.stderr).decode(errors="replace")
            raise Broken(f"{command[0]} ended with status {done.returncode}\n{_end_of(said)}")
        return done.stdout


def run_pytest(plan: Plan, folder: Path) -> Verdicts:
    """Run the tests for pytest: pytest-randomly puts them in order, pytest-xdist shares them out."""
    record = folder / "junit.xml"
    detail = "no" if plan.isolation == "none" else "short"
    order = (f"-n{PROCESSES}", f"--randomly-seed={plan.seed}", "-pno:cacheprovider")
    said = plan.run(
        ["pytest", "--quiet", f"--tb={detail}", *order, f"--dbkit-isolation={plan.isolation}", f"--junit-xml={record}"],
        ends=(0, 1),
    )
    verdicts = dict(_verdicts_of_pytest(ElementTree.parse(record)))
    if plan.isolation != "none" and FAILED in verdicts.values():
        print(_end_of(said.decode(errors="replace")))
    return verdicts


def _verdicts_of_pytest(record: Any) -> Iterator[tuple[str, str]]:
    meanings = (("failure", FAILED), ("error", FAILED), ("skipped", SKIPPED))
    for case in record.iter("testcase"):
        verdict = next((meaning for tag, meaning in meanings if case.find(tag) is not None), PASSED)
        yield f"{case.get('classname')}.{case.get('name')}", verdict


def run_testtools(plan: Plan, folder: Path) -> Verdicts:
    """Run the tests for testtools: stestr shares them out, and the suite is in random order by itself."""
    stream = plan.run(
        ["stestr", f"--repo-url={folder}", "run", "--subunit", "--concurrency", str(PROCESSES)],
        ends=(0,),  # the verdicts stand in the stream
    )
    known = {"success": PASSED, "skip": SKIPPED}  # else it failed, or its process died before or in it
    tests = {test["id"]: test for test in _tests_in(stream)}
    verdicts = {name: known.get(test["status"], FAILED) for name, test in tests.items()}
    if plan.isolation != "none":
        for name in (name for name, verdict in verdicts.items() if verdict == FAILED):
            details = tests[name]["details"].values()
            told = "\n".join(each.as_text() for each in details if each.content_type.type == "text")
            print(f"{name}: {tests[name]['status']}\n{_end_of(told)}")
    return verdicts


def _tests_in(stream: bytes) -> Iterator[Any]:
    tests: list[Any] = []  # a test is in it when it was listed, and again when it has ended
    reader = testtools.StreamToDict(tests.append)
    reader.startTestRun()
    subunit.ByteStreamToStreamResult(io.BytesIO(stream)).run(reader)
    reader.stopTestRun()
    return iter(tests)


def _end_of(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-TOLD_LINES:])


SUITES: Mapping[str, Callable[[Plan, Path], Verdicts]] = {"pytest": run_pytest, "testtools": run_testtools}


class Tally:
    """What the runs of one suite on one database came to."""

    def __init__(self, suite: str, backend: str) -> None:
        self.suite = suite
        self.backend = backend
        self.runs = 0
        self.counts: Counter[str] = Counter()

    def add(self, verdicts: Verdicts) -> None:
        """Add a run.

        :raises Broken: it has not run as many tests as those before it.
        """
        mine = Counter(verdict for name, verdict in verdicts.items() if _backend_of(name, self.backend) == self.backend)
        if not mine or (self.runs and mine.total() * self.runs != self.counts.total()):
            before = self.counts.total() // self.runs if self.runs else "some"
            raise Broken(f"{self.suite} on {self.backend} ran {mine.total()} tests, and {before} were expected")
        self.runs += 1
        self.counts += mine

    @property
    def run_tests(self) -> int:
        """How many tests were run and not skipped."""
        return self.counts[PASSED] + self.counts[FAILED]

    def is_as_it_must_be(self, isolation: str) -> bool:
        """Whether no test has failed; without isolation, whether most have."""
        if isolation == "none":
            return self.counts[FAILED] * 2 >= self.run_tests
        return not self.counts[FAILED]


def _backend_of(name: str, only: str) -> str:
    """Return the backend in a test's name; it has none if it was to run on one only."""
    found = re.search(rf"[\[(]({'|'.join(BACKENDS)})[\])]$", name)
    return found[1] if found else only


def rehearse(isolation: str, times: int, backends: tuple[str, ...], suites: Sequence[str], seed: int) -> list[Tally]:
    """Run each suite so many times, and return what that came to.

    :raises Broken: a run came to nothing.
    """
    tallies = [Tally(suite, backend) for suite in suites for backend in backends]
    for number in range(times):
        for suite in suites:
            plan = Plan(backends, isolation, seed + number)
            with tempfile.TemporaryDirectory() as folder:
                verdicts = SUITES[suite](plan, Path(folder))
            failed = sum(verdict == FAILED for verdict in verdicts.values())
            print(f"{suite}, seed {plan.seed}: {len(verdicts)} tests, {failed} failed", flush=True)
            for tally in tallies:
                if tally.suite == suite:
                    tally.add(verdicts)
    return tallies


def table(tallies: Sequence[Tally], isolation: str) -> Iterator[str]:
    """Yield the lines of the table."""
    line = "{:<11}{:<12}{:<11}{:>6}{:>8}{:>8}{:>9}".format
    yield line("suite", "database", "isolation", "runs", "tests", "failed", "skipped")
    for each in tallies:
        counts = each.counts
        yield line(each.suite, each.backend, isolation, each.runs, each.run_tests, counts[FAILED], counts[SKIPPED])


def judge(tallies: Sequence[Tally], isolation: str) -> str | None:
    """Return what is not as it must be, or None."""
    if not any(each.run_tests for each in tallies):
        return "no test was run"
    wrong = [f"{each.suite} on {each.backend}" for each in tallies if not each.is_as_it_must_be(isolation)]
    if not wrong:
        return None
    what = "hardly any test has noticed the rows of others" if isolation == "none" else "tests have failed"
    return f"{what}: {', '.join(wrong)}"


def start_servers(backends: Sequence[str]) -> None:
    """Start the servers that all runs share, so that not each of them starts its own."""
    os.chdir(HERE)  # they belong to the project that the working folder lies in
    for backend in backends:
        if backend != "sqlite":
            with contextlib.suppress(BackendNotAvailable):  # the tests are skipped, or fail, and say why
                servers.obtain(backend)


def main(arguments: Sequence[str] | None = None) -> int:
    """Rehearse, write the table, and return the exit status."""
    parser = argparse.ArgumentParser(description="Run the tests of the bookshop again and again.")
    parser.add_argument("--times", type=int, default=1, metavar="N", help="runs of each suite (default: 1)")
    parser.add_argument(
        "--isolation", choices=("rollback", "truncate", "clone", "none"), default="rollback",
        help="how tests are kept from each other (default: rollback); with none, they must fail",
    )  # fmt: skip
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=BACKENDS, help="default: all")
    parser.add_argument("--suites", nargs="+", choices=tuple(SUITES), default=tuple(SUITES), help="default: both")
    parser.add_argument("--seed", type=int, help="the first run's; each run has the next one (default: by chance)")
    chosen = parser.parse_args(arguments)
    seed = random.randrange(1_000_000) if chosen.seed is None else chosen.seed
    started = time.monotonic()
    start_servers(chosen.backends)
    try:
        tallies = rehearse(chosen.isolation, chosen.times, tuple(chosen.backends), chosen.suites, seed)
    except Broken as broken:
        print(f"The rehearsal is broken: {broken}")
        return 1
    print("", *table(tallies, chosen.isolation), sep="\n")
    wrong = judge(tallies, chosen.isolation)
    print(f"\n{wrong or 'All is as it must be'}; {time.monotonic() - started:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
