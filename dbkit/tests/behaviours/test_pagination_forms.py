"""Pages of every form of statement, by keys of every type: each row once, forward and back."""

from __future__ import annotations

import enum
import uuid
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import Date, Enum, Float, ForeignKey, LargeBinary, Numeric, String, Uuid, desc, func, select
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, joinedload, mapped_column, relationship

from dbkit.queries import Pages
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import BLOCKING, ONE_PER_PRODUCT
from dbkit.tests.behaviours.places import place

KEY = b"a secret of sixteen bytes"


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


class Order(Base):
    """A row with values of many types."""

    __tablename__ = "formed_orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("formed_customers.id"))
    single = mapped_column(Float(24))
    exact = mapped_column(Numeric(10, 3))
    colour = mapped_column(Enum(Colour))
    paid: Mapped[bool | None]
    token = mapped_column(Uuid)
    raw = mapped_column(LargeBinary(20))
    at: Mapped[datetime | None]
    day = mapped_column(Date)
    customer: Mapped[Customer | None] = relationship()
    lines: Mapped[list[Line]] = relationship()

    @hybrid_property
    def rest(self):
        """A value that many rows share."""
        return self.id % 5


class Line(Base):
    """What an order has many of."""

    __tablename__ = "formed_lines"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("formed_orders.id"))


def order(n):
    """Return an order; of each nullable column some are NULL."""
    return Order(
        id=n, customer_id=n % 4 or None, single=n % 6 / 10 if n % 7 else None, exact=Decimal(n % 5) / 8,
        colour=list(Colour)[n % 3] if n % 9 else None, paid=(None, True, False)[n % 3],
        token=uuid.uuid5(uuid.NAMESPACE_DNS, str(n)), raw=bytes([n % 4, 255]),
        at=datetime(2026, 1, 1 + n % 6, 1, 2, 3) if n % 5 else None, day=date(2026, 1, 1 + n % 6),
    )  # fmt: skip


@behaviours(ONE_PER_PRODUCT & BLOCKING)
class TestForms(Behaviour):
    def setUp(self):
        super().setUp()
        observer = place(self.combination.product).observer
        Base.metadata.drop_all(observer)
        Base.metadata.create_all(observer)
        self.addCleanup(Base.metadata.drop_all, observer)
        self.bare = Session(observer)
        self.addCleanup(self.bare.close)
        self.bare.add_all([Customer(id=n, name=f"n{n % 2}") for n in range(1, 5)])
        self.bare.flush()
        self.bare.add_all(map(order, range(1, 31)))
        self.bare.flush()
        self.bare.add_all([Line(id=n, order_id=1 + n % 15) for n in range(1, 41)])
        self.bare.commit()

    def walked(self, pages, count):
        page = pages.page(self.bare)
        forward = list(page.items)
        while page.has_next and len(forward) <= count:
            page = pages.page(self.bare, page.next)
            forward += page.items
        page = pages.last(self.bare)
        back = list(page.items)
        while page.has_previous and len(back) <= count:
            page = pages.page(self.bare, page.previous)
            back = [*page.items, *back]
        return forward, back

    def assert_paged(self, count, statement, *sort_by, what="", **others):
        forward, back = self.walked(Pages(statement, sort_by=sort_by, key=KEY, size=4, **others), count)
        names = [row if isinstance(row, Base) else tuple(row) if hasattr(row, "_fields") else row for row in forward]
        said = f"{what}: forward {len(forward)}, different {len(set(names))}, back the same: {forward == back}"
        self.assertEqual((count, count, True), (len(forward), len(set(names)), forward == back), said)

    def test_keys_of_each_type_are_compared_as_they_are_sorted(self):
        for name in ("single", "exact", "colour", "paid", "token", "raw", "at", "day"):
            column = getattr(Order, name)
            for key in (column.asc(), column.desc().nulls_last(), column.asc().nulls_last()):
                self.assert_paged(30, select(Order), key, what=str(key))

    def test_hybrids_names_labels_and_aliases_are_keys(self):
        other = aliased(Order)
        self.assert_paged(30, select(Order), Order.rest.desc())
        self.assert_paged(30, select(Order), "rest", desc("at"))
        self.assert_paged(30, select(Order.id, (Order.id % 3).label("m")), desc("m"))
        self.assert_paged(30, select(other), other.single)
        self.assert_paged(27, self.bare.query(Order).filter(Order.id > 3), Order.single)

    def test_rows_of_joins_are_told_apart(self):
        self.assert_paged(30, select(Order).outerjoin(Order.customer), Customer.name, Order.at)
        self.assert_paged(40, select(Order.id, Line.id).join(Order.lines), Order.at)
        self.assert_paged(55, select(Order.id, Line.id).outerjoin(Order.lines), Line.id)
        self.assert_paged(30, select(Order).options(joinedload(Order.lines)), Order.at.desc())

    def test_groups_and_distinct_rows_are_paged(self):
        rest = Order.rest
        self.assert_paged(5, select(rest.label("r"), func.count(Order.at).label("n")).group_by(rest), "n")
        mean = select(Order.customer_id, func.avg(Order.id).label("n")).group_by(Order.customer_id)
        self.assert_paged(4, mean, "n")
        self.assert_paged(15, select(Order).join(Order.lines).distinct(), Order.at)
        self.assert_paged(7, select(Order.at).distinct(), Order.at)
