"""Tell stestr how long each class of tests takes, so that its workers get equal shares in a checkout that has run none.

Without arguments it writes what ``times.txt`` beside it holds to stestr's repository in the working folder. With
arguments, the subunit files of a run, it writes ``times.txt`` anew. A class that is not there is shared out without a
time, which costs balance and nothing else.
"""

from __future__ import annotations

import dbm.dumb
import sys
from collections.abc import Iterable
from pathlib import Path

import subunit
import testtools

TIMES = Path(__file__).with_name("times.txt")
REPOSITORY = Path(".stestr", "times.dbm")
_LEAST_S = 3.0


class _Seconds(testtools.StreamResult):
    """The seconds of each class, under the first of its tests that was run: stestr knows times of tests only."""

    def __init__(self) -> None:
        self._begun: dict[str, float] = {}
        self._first: dict[str, str] = {}
        self.of: dict[str, float] = {}

    def status(self, test_id=None, test_status=None, timestamp=None, **_rest) -> None:  # type: ignore[no-untyped-def]
        if test_id is None or timestamp is None:
            return
        if test_status == "inprogress":
            self._begun[test_id] = timestamp.timestamp()
        elif test_id in self._begun:
            first = self._first.setdefault(test_id.rpartition(".")[0], test_id)
            self.of[first] = self.of.get(first, 0.0) + timestamp.timestamp() - self._begun.pop(test_id)


def recorded(streams: Iterable[Path]) -> dict[str, float]:
    """Return the seconds of each class that took its time, by the id of one of its tests."""
    found: dict[str, float] = {}
    for path in streams:
        seconds = _Seconds()
        with path.open("rb") as stream:
            subunit.ByteStreamToStreamResult(stream, non_subunit_name="stdout").run(seconds)
        found |= {name: spent for name, spent in seconds.of.items() if spent >= _LEAST_S}
    return found


def write(times: dict[str, float]) -> None:
    """Write the file, a line for each class."""
    TIMES.write_text("".join(f"{times[name]:.1f} {name}\n" for name in sorted(times)), encoding="utf-8")


def tell(repository: Path = REPOSITORY) -> None:
    """Have stestr know the times of the file, beside those that it has measured itself."""
    with dbm.dumb.open(str(repository), "c") as known:
        for line in TIMES.read_text(encoding="utf-8").splitlines():
            seconds, _space, name = line.partition(" ")
            known.setdefault(name, seconds)


if __name__ == "__main__":
    if sys.argv[1:]:
        write(recorded(map(Path, sys.argv[1:])))
    else:
        tell()
