"""Tables into which many rows are written."""

from __future__ import annotations

import datetime
import decimal
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from dbkit import models
from dbkit.models.scoped import scope_mixin
from dbkit.tests.behaviours import places
from dbkit.tests.behaviours.combinations import Product

Base = models.new_base()

House = scope_mixin("heap_house", "house")


class Grain(Base):
    """Has a column of each kind that COPY knows, and a key that the database makes."""

    __tablename__ = "heap_grain"
    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str | None] = mapped_column("title", sa.String(100))
    weight: Mapped[decimal.Decimal | None] = mapped_column(sa.Numeric(10, 2))
    ratio: Mapped[float | None] = mapped_column(sa.Float())
    found: Mapped[datetime.datetime | None] = mapped_column(sa.DateTime())
    day: Mapped[datetime.date | None] = mapped_column(sa.Date())
    good: Mapped[bool | None] = mapped_column(sa.Boolean())
    data: Mapped[bytes | None] = mapped_column(sa.LargeBinary())
    more: Mapped[Any | None] = mapped_column(sa.JSON())
    made: Mapped[int] = mapped_column(default=lambda: 7)
    doubled: Mapped[str | None] = mapped_column(
        sa.String(100), default=lambda context: f"{context.get_current_parameters()['title']}!"
    )
    by_server: Mapped[int] = mapped_column(server_default="5")


class Ware(models.SoftDeleteMixin, models.VersionMixin, House, Base):
    """Is marked when it is deleted, counts its versions, and belongs to a house."""

    __tablename__ = "heap_ware"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    code: Mapped[int] = mapped_column()
    amount: Mapped[int] = mapped_column(default=0)
    touched: Mapped[int] = mapped_column(default=0, onupdate=lambda: 9)


class Stock(Base):
    """Has a second unique key."""

    __tablename__ = "heap_stock"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(sa.String(20), unique=True)
    amount: Mapped[int] = mapped_column(default=0)


class Pair(Base):
    """Has a key of two columns."""

    __tablename__ = "heap_pair"
    one: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    two: Mapped[str] = mapped_column(sa.String(10), primary_key=True)
    amount: Mapped[int | None] = mapped_column()


class Long(Base):
    """Is large, so that a few of it are many bytes."""

    __tablename__ = "heap_long"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[str] = mapped_column(sa.String(2000))


class Numbered(Base):
    """Is made by the database altogether."""

    __tablename__ = "heap_numbered"
    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int] = mapped_column(server_default="5")


@cache
def tables(product: Product) -> places.Place:
    """Return the place of a product, with the tables in it."""
    place = places.place(product)
    Base.metadata.drop_all(place.observer)
    Base.metadata.create_all(place.observer)
    return place


def emptied(product: Product) -> places.Place:
    """Delete all rows."""
    place = tables(product)
    place.delete_from(*(table.name for table in Base.metadata.sorted_tables))
    return place
