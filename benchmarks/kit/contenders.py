"""What is measured, in the order of the tables."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.kit import databases, dbkit_tests
from benchmarks.places import Place
from benchmarks.subjects.catalogue import Late
from benchmarks.subjects.subject import Subject, blocking, in_asyncio

BARE = "dbkit, no isolation"
NONE = "dbkit none"
ROLLBACK = "dbkit rollback"
TRUNCATE = "dbkit truncate"
CLONE = "dbkit clone"
OSLO_BARE = "oslo.db, no fixture"
OSLO_DELETES = "oslo.db DeletesFromSchema"
OSLO_BUILDS = "oslo.db drop and create"

CLONED = "dbkit clone, connect, drop"
EMPTIED = "dbkit empty"
OSLO_REBUILT = "oslo.db drop_all_objects, create_all"

#: What oslo.db's fixtures need.
FIXTURES = ("oslo_db", "testresources", "testscenarios", "fixtures")


def _isolated(name: str, strategy: str) -> tuple[Subject, Subject]:
    return (
        Subject(name, partial(dbkit_tests.open_isolated, strategy=strategy), blocking),
        Subject(name, partial(dbkit_tests.open_isolated_in_asyncio, strategy=strategy), in_asyncio, ("greenlet",)),
    )


def _oslo(module: str, function: str, **arguments: Any) -> Late:
    return Late(module, function, "benchmarks.kit", **arguments)


#: One test each time.
TESTS: tuple[Subject, ...] = (
    Subject(BARE, dbkit_tests.open_bare, blocking),
    Subject(BARE, dbkit_tests.open_bare_in_asyncio, in_asyncio, ("greenlet",)),
    *_isolated(NONE, "none"),
    *_isolated(ROLLBACK, "rollback"),
    *_isolated(TRUNCATE, "truncate"),
    *_isolated(CLONE, "clone"),
    Subject(OSLO_BARE, _oslo("oslo_tests", "open_bare"), blocking, FIXTURES),
    Subject(OSLO_DELETES, _oslo("oslo_tests", "open_with_fixture", is_deleting=True), blocking, FIXTURES),
    Subject(OSLO_BUILDS, _oslo("oslo_tests", "open_with_fixture", is_deleting=False), blocking, FIXTURES),
)

#: One database each time.
DATABASES: tuple[Subject, ...] = (
    Subject(CLONED, databases.open_clones, blocking),
    Subject(EMPTIED, databases.open_emptied, blocking),
    Subject("dbkit drop_all_objects, create_all", databases.open_drop_all_objects, blocking),
    Subject(OSLO_REBUILT, _oslo("oslo_databases", "open_drop_all_objects"), blocking, FIXTURES),
    Subject("sqlalchemy drop_all, create_all", databases.open_metadata, blocking),
    Subject("sqlalchemy DELETE from each", databases.open_deletes, blocking),
)

#: What each test of a library costs without isolation: what the others take more is the isolation's price.
BARE_OF = {**dict.fromkeys((BARE, NONE, ROLLBACK, TRUNCATE, CLONE), BARE)}
BARE_OF.update(dict.fromkeys((OSLO_BARE, OSLO_DELETES, OSLO_BUILDS), OSLO_BARE))

#: On SQLite these copy files and pages, and the statements are not what they cost.
_COPYING = {TRUNCATE, CLONE, CLONED, EMPTIED, "dbkit drop_all_objects, create_all"}


def is_counted(name: str, place: Place) -> bool:
    """Return whether all that a contender sends can be counted on a place."""
    return not (place.is_sqlite and name in _COPYING)
