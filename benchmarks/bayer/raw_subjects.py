"""The driver alone, on one open connection, with the statement of "no eager load"."""

from __future__ import annotations

from benchmarks.places import Place
from benchmarks.scenarios import FLOATING_IP_UPDATE
from benchmarks.subjects import raw_subjects
from benchmarks.subjects.subject import Opened


def open_raw(place: Place, variant: str) -> Opened:
    """Open it; the columns are the same as those of the other benchmarks' table."""
    opened = raw_subjects.open_sqlite(place) if place.is_sqlite else raw_subjects.open_driver(place)
    return Opened({FLOATING_IP_UPDATE: opened.operations[FLOATING_IP_UPDATE]}, opened.close)
