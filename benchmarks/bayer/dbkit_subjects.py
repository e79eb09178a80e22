"""dbkit: the operation in a decorated writer, in the forms that its Session has.

Its statements do not ask for the living row: the filter that stands on the table does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session, joinedload

from benchmarks.bayer.bodies import address_of, change
from benchmarks.bayer.schema import FixedIp, FloatingIp
from benchmarks.bayer.variants import DEFAULT, PLAIN, PREPARED
from benchmarks.places import Place
from benchmarks.scenarios import FLOATING_IP_UPDATE
from benchmarks.subjects.dbkit_subjects import settings_for
from benchmarks.subjects.subject import Opened
from dbkit import Database

_FIND = select(FloatingIp).where(FloatingIp.address == bindparam("address"))


def open_database(place: Place, variant: str) -> Opened:
    """Open it with a :class:`dbkit.Database`."""
    db = Database(place.url, **settings_for(place))
    place.fill(db.engine)
    body = _BODIES[variant]

    @db.writer
    def operation(number: int) -> Any:
        return body(db.session, number)

    return Opened({FLOATING_IP_UPDATE: operation}, db.dispose)


def _default(session: Session, number: int) -> FloatingIp:
    eager = joinedload(FloatingIp.fixed_ip).joinedload(FixedIp.instance)
    statement = select(FloatingIp).where(FloatingIp.address == address_of(number)).options(eager)
    return _changed(session, session.scalars(statement).one(), number)


def _plain(session: Session, number: int) -> FloatingIp:
    statement = select(FloatingIp).where(FloatingIp.address == address_of(number))
    return _changed(session, session.scalars(statement).one(), number)


def _prepared(session: Session, number: int) -> FloatingIp:
    return _changed(session, session.scalars(_FIND, {"address": address_of(number)}).one(), number)


def _changed(session: Session, found: FloatingIp, number: int) -> FloatingIp:
    change(found, number)
    found.save(session)
    return found


_BODIES: dict[str, Callable[[Session, int], Any]] = {
    DEFAULT: _default,
    PLAIN: _plain,
    PREPARED: _prepared,
}
