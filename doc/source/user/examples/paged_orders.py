"""Orders, newest first, a page at a time."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import dbkit
from dbkit.queries import Page, Pages

db = dbkit.Database()


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "paged_orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    shipped_at: Mapped[datetime | None]


pages: Pages[Order] = Pages(
    select(Order),
    sort_by=[Order.shipped_at.desc().nulls_first()],  # Order.id is added, because two may be shipped at once
    key="a secret that the application keeps",
    size=20,
)


@db.writer
def create_tables() -> None:
    Base.metadata.create_all(db.session.connection())


@db.writer
def add(number: int, shipped_at: datetime | None) -> None:
    db.session.add(Order(id=number, shipped_at=shipped_at))


@db.reader
def orders(cursor: str | None = None) -> tuple[list[int], str | None, str | None]:
    page: Page[Order] = pages.page(db, cursor)
    return [order.id for order in page.items], page.previous, page.next
