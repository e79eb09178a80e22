"""dbkit: rows that only are read, and a lookup; neither asks for the living rows, the filter on the table does."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, select

from benchmarks.bayer.schema import FloatingIp
from benchmarks.places import Place
from benchmarks.reads.operations import MANY, ONE, by_name, checked, key_of
from benchmarks.subjects.dbkit_subjects import settings_for
from benchmarks.subjects.subject import Opened
from dbkit import Database, queries

_ALL: Any = select(FloatingIp)
_BY_KEY: Any = select(FloatingIp).where(FloatingIp.id == bindparam("key"))
_ROWS: queries.Rows[FloatingIp] = queries.rows(_ALL)
_ROW: queries.Rows[FloatingIp] = queries.rows(_BY_KEY)
_FIND: queries.Lookup[FloatingIp] = queries.Lookup(_BY_KEY)


def open_rows(place: Place) -> Opened:
    """Open ``queries.rows``."""
    db = Database(place.url, **settings_for(place))
    place.fill(db.engine)

    @db.reader
    def many(number: int) -> Any:
        return _ROWS.all(db)

    @db.reader
    def one(number: int) -> Any:
        return _ROW.one(db, key=key_of(number, place.rows))

    return checked(Opened({MANY: many, ONE: one}, db.dispose), place.rows, by_name)


def open_lookup(place: Place) -> Opened:
    """Open ``queries.Lookup``, which makes objects of the model."""
    db = Database(place.url, **settings_for(place))
    place.fill(db.engine)

    @db.reader
    def one(number: int) -> Any:
        return _FIND.one(db, key=key_of(number, place.rows))

    return checked(Opened({ONE: one}, db.dispose), place.rows, by_name)


def open_lookup_alone(place: Place) -> Opened:
    """Open ``queries.Lookup`` as a reader of one statement."""
    db = Database(place.url, **settings_for(place))
    place.fill(db.engine)

    def one(number: int) -> Any:
        return _FIND.one(db.reader, key=key_of(number, place.rows))

    return checked(Opened({ONE: one}, db.dispose), place.rows, by_name)


def open_session(place: Place) -> Opened:
    """Open the session of a reader, with objects."""
    db = Database(place.url, **settings_for(place))
    place.fill(db.engine)

    @db.reader
    def many(number: int) -> Any:
        return db.session.scalars(select(FloatingIp)).all()

    @db.reader
    def one(number: int) -> Any:
        return db.session.scalars(select(FloatingIp).where(FloatingIp.id == key_of(number, place.rows))).one()

    return checked(Opened({MANY: many, ONE: one}, db.dispose), place.rows, by_name)
