"""Tickets of a concert, which are sold out within a second."""

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import dbkit
from dbkit.exceptions import LimitReached
from dbkit.queries import Combiner, increment

db = dbkit.Database()


class Base(DeclarativeBase):
    pass


class Concert(Base):
    __tablename__ = "concerts"
    id: Mapped[int] = mapped_column(primary_key=True)
    free: Mapped[int]


class Ticket(Base):
    __tablename__ = "tickets"
    id: Mapped[int] = mapped_column(primary_key=True)
    concert_id: Mapped[int]


desk = Combiner(db, Concert.free, minimum=0)


def create_tables() -> None:
    Base.metadata.create_all(db.engine)


@db.writer
def announce(number: int, free: int) -> None:
    db.session.add(Concert(id=number, free=free))


@db.writer
def sell(number: int) -> int | None:
    """Sell a ticket; return how many are left, or None if there are none."""
    try:
        left: int = increment(db, Concert.free, number, by=-1, minimum=0)
    except LimitReached:
        return None
    db.session.add(Ticket(concert_id=number))  # stored with the count, or not at all
    return left


def reserve(number: int, seats: int) -> int | None:
    """Reserve seats for a caller among many; return how many were left after that."""
    try:
        left: int = desk.add(number, -seats)
    except LimitReached:
        return None
    return left
