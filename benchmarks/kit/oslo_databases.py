"""A database of sixty tables for one test, by oslo.db."""

from __future__ import annotations

import tempfile

from benchmarks.kit.operations import DATABASE
from benchmarks.kit.oslo_tests import make_manager, provided, watch
from benchmarks.kit.tables import METADATA
from benchmarks.places import Place
from benchmarks.subjects.subject import Opened


def open_drop_all_objects(place: Place) -> Opened:
    """Open ``drop_all_objects()``, which finds and drops all tables, and ``create_all()``."""
    folder = tempfile.TemporaryDirectory(prefix="dbkit-benchmarks-")
    database, resource = provided(place, make_manager(), folder.name)
    watch(place, database.engine)
    METADATA.create_all(database.engine)

    def drop_and_create(number: int) -> None:
        database.backend.drop_all_objects(database.engine)
        METADATA.create_all(database.engine)

    def close() -> None:
        database.engine.dispose()
        resource.finishedWith(database)
        folder.cleanup()

    return Opened({DATABASE: drop_and_create}, close)
