"""What can be measured here: the backends and subjects whose modules and servers are there."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence

from benchmarks.places import BACKENDS, Backend
from benchmarks.subjects.catalogue import missing
from benchmarks.subjects.subject import Subject
from dbkit.exceptions import BackendNotAvailable
from dbkit.testing import servers


def chosen_backends(names: Sequence[str] | None) -> list[Backend]:
    """Return the backends of these names, or those that are measured by default; say what is lacking.

    Their servers are started.
    """
    return [each for each in BACKENDS if (each.name in names if names else each.by_default) and _is_at_hand(each)]


def _is_at_hand(backend: Backend) -> bool:
    lacking = missing(backend.modules)
    if lacking:
        _leave_out(backend.name, f"install {' and '.join(lacking)}")
        return False
    if backend.server is not None:
        try:
            servers.obtain(backend.server)
        except BackendNotAvailable as error:
            _leave_out(backend.name, str(error))
            return False
    return True


def at_hand(subjects: Iterable[Subject]) -> list[Subject]:
    """Return the subjects whose modules are installed; say what is lacking."""
    found = []
    for subject in subjects:
        lacking = missing(subject.modules)
        if lacking:
            _leave_out(subject.name, f"install {' and '.join(lacking)}")
        else:
            found.append(subject)
    return found


def _leave_out(name: str, reason: str) -> None:
    print(f"left out: {name}: {reason}", file=sys.stderr)


def pin() -> None:
    """Keep this process on one processor, where the system allows it; the servers are started and stay free."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def positive(text: str) -> int:
    """Read a number of one or more from the command line."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def load() -> str:
    """Return how busy the machine was, with other work too: what the times are worth."""
    if not hasattr(os, "getloadavg"):
        return "load: not known"
    return f"load: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
