"""dbkit: the operation in a decorated writer, in the five forms.

Its statements do not ask for the living row: the filter that stands on the table does. "fast save" alone gives
``queries.save()`` an object of the session, which it stores by a flush, since the session may know more of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import joinedload

from benchmarks.bayer.bodies import change
from benchmarks.bayer.schema import FixedIp, FloatingIp
from benchmarks.bayer.variants import BOTH, DEFAULT, FAST_SAVE, PLAIN, PREPARED
from benchmarks.places import Place
from benchmarks.scenarios import FLOATING_IP_UPDATE
from benchmarks.schema import ADDRESSES, ROWS
from benchmarks.subjects.dbkit_subjects import settings_for
from benchmarks.subjects.subject import Opened
from dbkit import Database, queries

_STATEMENT: Any = select(FloatingIp).where(FloatingIp.address == bindparam("address"))
_FIND: queries.Lookup[FloatingIp] = queries.Lookup(_STATEMENT)


def open_database(place: Place, variant: str) -> Opened:
    """Open it with a :class:`dbkit.Database`."""
    db = Database(place.url, **settings_for(place))
    place.fill(db.engine)
    body = _BODIES[variant]

    @db.writer
    def operation(number: int) -> Any:
        return body(db, number)

    return Opened({FLOATING_IP_UPDATE: operation}, db.dispose)


def _default(db: Database, number: int) -> FloatingIp:
    eager = joinedload(FloatingIp.fixed_ip).joinedload(FixedIp.instance)
    statement = select(FloatingIp).where(FloatingIp.address == ADDRESSES[number % ROWS]).options(eager)
    found: FloatingIp = db.session.scalars(statement).one()
    change(found, number)
    found.save(db.session)
    return found


def _plain(db: Database, number: int) -> FloatingIp:
    found = _selected(db, number)
    change(found, number)
    found.save(db.session)
    return found


def _fast_save(db: Database, number: int) -> FloatingIp:
    found = _selected(db, number)
    change(found, number)
    queries.save(db, found)
    return found


def _prepared(db: Database, number: int) -> FloatingIp:
    found: FloatingIp = _FIND.one(db, address=ADDRESSES[number % ROWS])
    change(found, number)
    found.save(db.session)
    return found


def _both(db: Database, number: int) -> FloatingIp:
    found: FloatingIp = _FIND.one(db, address=ADDRESSES[number % ROWS])
    change(found, number)
    queries.save(db, found)
    return found


def _selected(db: Database, number: int) -> FloatingIp:
    statement = select(FloatingIp).where(FloatingIp.address == ADDRESSES[number % ROWS])
    found: FloatingIp = db.session.scalars(statement).one()
    return found


_BODIES: dict[str, Callable[[Database, int], Any]] = {
    DEFAULT: _default,
    PLAIN: _plain,
    FAST_SAVE: _fast_save,
    PREPARED: _prepared,
    BOTH: _both,
}
