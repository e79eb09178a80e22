"""Tables whose rows are paged: orders with values of many types, what they belong to, what belongs to them."""

from __future__ import annotations

import enum
import uuid
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

from sqlalchemy import JSON, Date, Enum, Float, ForeignKey, LargeBinary, Numeric, String, Uuid
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from dbkit.tests.behaviours.combinations import Product
from dbkit.tests.behaviours.places import Place, place


class Colour(enum.Enum):
    """Names whose order is not that of the alphabet."""

    ZED = 1
    ALPHA = 2
    MID = 3


class Base(DeclarativeBase):
    """The base of the classes below."""


class Customer(Base):
    """What an order has one of, or none."""

    __tablename__ = "formed_customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))
    rank: Mapped[int]


class Order(Base):
    """A row with values of many types."""

    __tablename__ = "formed_orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("formed_customers.id"))
    single = mapped_column(Float(24))
    exact = mapped_column(Numeric(10, 3))
    colour = mapped_column(Enum(Colour, name="shop_colour"))
    paid: Mapped[bool | None]
    token = mapped_column(Uuid)
    raw = mapped_column(LargeBinary(20))
    at: Mapped[datetime | None]
    day = mapped_column(Date)
    customer: Mapped[Customer | None] = relationship()
    lines: Mapped[list[Line]] = relationship()

    @hybrid_property
    def rest(self) -> int:
        """A value that many rows share."""
        return self.id % 5


class Line(Base):
    """What an order has many of."""

    __tablename__ = "formed_lines"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("formed_orders.id"))
    notes: Mapped[Any] = mapped_column(JSON)


def order(n: int) -> Order:
    """Return an order; of each nullable column some are NULL."""
    return Order(
        id=n, customer_id=n % 4 or None, single=n % 6 / 10 if n % 7 else None, exact=Decimal(n % 5) / 8,
        colour=list(Colour)[n % 3] if n % 9 else None, paid=(None, True, False)[n % 3],
        token=uuid.uuid5(uuid.NAMESPACE_DNS, str(n)), raw=bytes([n % 4, 255]),
        at=datetime(2026, 1, 1 + n % 6, 1, 2, 3) if n % 5 else None, day=date(2026, 1, 1 + n % 6),
    )  # fmt: skip


class Animal(Base):
    """The root of an inheritance that is read as a whole."""

    __tablename__ = "formed_animals"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal", "with_polymorphic": "*"}
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))


class Cat(Animal):
    """Has half of its row in a table of its own."""

    __tablename__ = "formed_cats"
    __mapper_args__ = {"polymorphic_identity": "cat"}
    id: Mapped[int] = mapped_column(ForeignKey("formed_animals.id"), primary_key=True)
    lives: Mapped[int]


@cache
def shop(product: Product) -> Place:
    """Return a product's database with the tables, made once: nobody changes their rows.

    There are 4 customers, 30 orders, 40 lines, 12 animals of which 7 are cats.
    """
    found = place(product)
    Base.metadata.drop_all(found.observer)
    Base.metadata.create_all(found.observer)
    with Session(found.observer) as session:
        session.add_all([Customer(id=n, name=f"n{n % 2}", rank=n % 3) for n in range(1, 5)])
        session.flush()
        session.add_all(map(order, range(1, 31)))
        session.flush()
        session.add_all([Line(id=n, order_id=1 + n % 15, notes={"kind": f"k{n % 4}"}) for n in range(1, 41)])
        session.add_all([Cat(id=n, lives=n % 3) if n < 8 else Animal(id=n) for n in range(1, 13)])
        session.commit()
    return found
