"""Bare SQLAlchemy: objects of the ORM, and rows of Core."""

from __future__ import annotations

from typing import Any

from sqlalchemy import create_engine, select
from sqlalchemy.orm import sessionmaker

from benchmarks.bayer.schema import TABLE, FloatingIp
from benchmarks.places import Place
from benchmarks.reads.operations import MANY, ONE, by_name, checked, key_of
from benchmarks.subjects.subject import Opened


def open_orm(place: Place) -> Opened:
    """Open it with ``sessionmaker()``."""
    engine = create_engine(place.url)
    place.watch(engine)
    place.fill(engine)
    sessions = sessionmaker(engine, expire_on_commit=False)

    def many(number: int) -> Any:
        with sessions() as session:
            return session.scalars(select(FloatingIp).where(FloatingIp.deleted == 0)).all()

    def one(number: int) -> Any:
        statement = select(FloatingIp).where(FloatingIp.id == key_of(number, place.rows), FloatingIp.deleted == 0)
        with sessions() as session:
            return session.scalars(statement).one()

    return checked(Opened({MANY: many, ONE: one}, engine.dispose), place.rows, by_name)


def open_core(place: Place) -> Opened:
    """Open it with ``engine.connect()``."""
    engine = create_engine(place.url)
    place.watch(engine)
    place.fill(engine)

    def many(number: int) -> Any:
        with engine.connect() as connection:
            return connection.execute(select(TABLE).where(TABLE.c.deleted == 0)).all()

    def one(number: int) -> Any:
        statement = select(TABLE).where(TABLE.c.id == key_of(number, place.rows), TABLE.c.deleted == 0)
        with engine.connect() as connection:
            return connection.execute(statement).one()

    return checked(Opened({MANY: many, ONE: one}, engine.dispose), place.rows, by_name)
