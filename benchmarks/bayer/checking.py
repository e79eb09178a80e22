"""Whether an operation has stored what it says: a subject that stores nothing would be the fastest."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from sqlalchemy import NullPool, create_engine

from benchmarks.bayer.bodies import address_of
from benchmarks.driving import Course, Numbers
from benchmarks.places import Place

_FIND = (
    "SELECT host, project_id, updated_at, deleted, fixed_ip_id FROM floating_ips WHERE address = '{}' ORDER BY deleted"
)


class NotStored(Exception):
    """An operation ended, and its row is not as it should be."""


def check(course: Course, scenario: str, numbers: Numbers) -> None:
    """Do the operation once and look at its row from outside.

    :raises NotStored: the row does not have the new values, or was not committed, or another one was changed.
    """
    course.batch(scenario, 1)()
    number = numbers.last
    living, *deleted = rows_of(course.place, address_of(number))
    host, project, updated_at, mark, fixed_ip_id = living
    if (host, project, mark) != (f"host-{number}", f"project-{number}", 0):
        raise NotStored(f"{course.subject.name} on {course.place.backend.name}: the row has other values")
    if updated_at is None or fixed_ip_id is None:
        raise NotStored(f"{course.subject.name} on {course.place.backend.name}: a column is empty that must not be")
    if any(each[0] != "host" for each in deleted):
        raise NotStored(f"{course.subject.name} on {course.place.backend.name}: the deleted row was changed")


def rows_of(place: Place, address: str) -> Sequence[Any]:
    """Return the rows of an address, the living one first, as another connection sees them."""
    statement = _FIND.format(address)
    if place.backend.in_memory:
        return _only_connection(place).execute(statement).fetchall()
    engine = create_engine(place.url, poolclass=NullPool)
    with engine.connect() as connection:
        return connection.exec_driver_sql(statement).all()


def _only_connection(place: Place) -> sqlite3.Connection:
    """Return a connection of the subject's own, since no other one sees its database, if nothing is open there."""
    usable = [each for each in place.connections if _has_rows(each)]
    if not usable or any(each.in_transaction for each in usable):
        raise NotStored(f"on {place.backend.name}: a transaction was left open, or nothing is there")
    return usable[-1]


def _has_rows(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("SELECT 1 FROM floating_ips LIMIT 1")
    except sqlite3.Error:
        return False
    return True
