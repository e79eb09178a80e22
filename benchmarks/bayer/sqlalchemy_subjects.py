"""Bare SQLAlchemy: the ORM in the five forms, and Core."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, bindparam, create_engine, select, update
from sqlalchemy.orm import sessionmaker

from benchmarks.bayer.bodies import BODIES
from benchmarks.bayer.schema import TABLE
from benchmarks.bayer.variants import PREPARED
from benchmarks.places import Place
from benchmarks.scenarios import FLOATING_IP_UPDATE
from benchmarks.schema import ADDRESSES, ROWS
from benchmarks.subjects.subject import Opened

_FIND = select(TABLE).where(TABLE.c.address == bindparam("address_of_it"), TABLE.c.deleted == 0)
_CHANGE = (
    update(TABLE)
    .where(TABLE.c.id == bindparam("key"))
    .values(host=bindparam("new_host"), project_id=bindparam("new_project_id"))
)


def open_orm(place: Place, variant: str) -> Opened:
    """Open it with ``sessionmaker.begin()``."""
    engine = create_engine(place.url)
    place.watch(engine)
    place.fill(engine)
    sessions = sessionmaker(engine, expire_on_commit=False)
    body = BODIES[variant]

    def operation(number: int) -> Any:
        with sessions.begin() as session:
            return body(session, number)

    return Opened({FLOATING_IP_UPDATE: operation}, engine.dispose)


def open_core(place: Place, variant: str) -> Opened:
    """Open it with ``engine.begin()``: rows, not objects."""
    engine = create_engine(place.url)
    place.watch(engine)
    place.fill(engine)
    body = _prepared if variant == PREPARED else _plain

    def operation(number: int) -> Any:
        with engine.begin() as connection:
            return body(connection, number)

    return Opened({FLOATING_IP_UPDATE: operation}, engine.dispose)


def _plain(connection: Connection, number: int) -> Any:
    statement = select(TABLE).where(TABLE.c.address == ADDRESSES[number % ROWS], TABLE.c.deleted == 0)
    found = connection.execute(statement).one()
    changes = {"host": f"host-{number}", "project_id": f"project-{number}"}
    connection.execute(update(TABLE).where(TABLE.c.id == found.id).values(changes))
    return found


def _prepared(connection: Connection, number: int) -> Any:
    found = connection.execute(_FIND, {"address_of_it": ADDRESSES[number % ROWS]}).one()
    changes = {"key": found.id, "new_host": f"host-{number}", "new_project_id": f"project-{number}"}
    connection.execute(_CHANGE, changes)
    return found
