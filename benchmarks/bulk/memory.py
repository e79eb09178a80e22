"""``python -m benchmarks memory``: a million rows written, read as a stream and purged, and how much memory it took."""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import String, create_engine, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from benchmarks.choice import positive
from benchmarks.places import BACKENDS, prepared
from dbkit import Database, models
from dbkit.queries import delete_many, insert_many, stream
from dbkit.queries.bulk.purges import purge

_NAMES = ("sqlite-file", "postgresql", "mariadb")
_MOST_MIB = 200


class Base(models.new_base()):  # type: ignore[misc]
    """Holds the table."""

    __abstract__ = True


class Note(models.DeletedAtMixin, Base):
    """A row that is marked when it is deleted."""

    __tablename__ = "memory_notes"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[str] = mapped_column(String(100))


def run(arguments: Sequence[str]) -> int:
    """Measure what the arguments ask for; return the exit status: 1 if it took more than it may."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks memory", description=__doc__)
    parser.add_argument("--backend", action="append", choices=_NAMES, help="measure on this one; may be repeated")
    parser.add_argument("--rows", type=positive, default=1_000_000, help="how many rows (default: a million)")
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.url:
        _work(options.url, options.rows)
        return 0
    worst = 0
    for backend in BACKENDS:
        if backend.name in (options.backend or _NAMES):
            with prepared(backend, rows=1) as grounds:
                place = grounds.straight()
                Base.metadata.create_all(create_engine(place.url))
                command = [sys.executable, "-m", "benchmarks", "memory", "--rows", str(options.rows)]
                print(f"\n{backend.name}, {grounds.version}", flush=True)
                worst |= subprocess.run([*command, "--url", place.text], check=False).returncode
    return worst


def _work(url: str, count: int) -> None:
    database = Database(url, sqlite_synchronous=False)
    began = time.perf_counter()

    def told(what: str, rows: int) -> None:
        nonlocal began
        now = time.perf_counter()
        print(f"{what:10}{rows:10,} rows in {now - began:6.1f} s, at most {_resident_mib():4} MiB resident", flush=True)
        began = now

    told("begun", 0)
    given = ({"id": number, "text": f"the text of note {number}"} for number in range(count))
    told("written", insert_many(database, Note, given, commit_each=True).rows)
    seen = 0
    with database.reader.connection() as connection:
        for _ in stream(connection, select(Note.__table__)):
            seen += 1
    told("streamed", seen)
    seen = 0
    with database.reader() as session:
        for _ in stream(session, select(Note)):
            seen += 1
    told("objects", seen)
    half = delete_many(database, Note, criterion=Note.id < count // 2, commit_each=True).rows
    with database.writer() as session:
        session.execute(delete(Note))  # the rest by one statement
    told("marked", half)
    told("purged", purge(database, Note, older_than=timedelta(0), batch=5000).rows)
    database.dispose()
    if _resident_mib() > _MOST_MIB:
        sys.exit(f"that is more than {_MOST_MIB} MiB")


def _resident_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
