"""Classes of many kinds whose new objects are stored: with defaults of all makes, keys of all makes, and relations."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Computed,
    DateTime,
    Enum,
    ForeignKey,
    Identity,
    Integer,
    LargeBinary,
    Numeric,
    Sequence,
    String,
    Table,
    Uuid,
    func,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, composite, deferred, mapped_column, relationship

from dbkit import models

FIXED = datetime.datetime(2020, 1, 1, 12)


class Base(DeclarativeBase):
    """Of these tables alone."""


class Colour(enum.Enum):
    """A colour."""

    RED = 1


class Shelf(Base):
    """A thing with others on it."""

    __tablename__ = "new_shelves"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(20))
    things: Mapped[list[Thing]] = relationship(back_populates="shelf")


class Thing(Base):
    """A thing with defaults of all makes."""

    __tablename__ = "new_things"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column("called", String(20))
    scalar: Mapped[int] = mapped_column(default=7)
    called: Mapped[datetime.datetime | None] = mapped_column("moment", DateTime, default=lambda: FIXED)
    by_sql: Mapped[str | None] = mapped_column(String(20), default=func.lower("SQL"))
    by_server: Mapped[str | None] = mapped_column(String(20), server_default=text("'server'"))
    doubled: Mapped[int | None] = mapped_column(Integer, Computed("scalar * 2", persisted=True))
    on_update: Mapped[int | None] = mapped_column(onupdate=5)
    seldom: Mapped[str | None] = deferred(mapped_column(String(20)))
    shelf_id: Mapped[int | None] = mapped_column(ForeignKey(Shelf.id))
    shelf: Mapped[Shelf | None] = relationship(back_populates="things")


class Typed(Base):
    """A thing of many types, with a key that Python makes."""

    __tablename__ = "new_typed"
    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid.uuid4)
    price: Mapped[decimal.Decimal | None] = mapped_column(Numeric(10, 2))
    colour: Mapped[Colour | None] = mapped_column(Enum(Colour, name="new_colour"))
    data: Mapped[bytes | None] = mapped_column(LargeBinary)
    is_good: Mapped[bool | None] = mapped_column(Boolean, default=True)
    document: Mapped[Any] = mapped_column(JSON, nullable=True)
    bare: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)


class Counted(models.VersionMixin, models.TimestampMixin, models.SoftDeleteMixin, models.ProjectMixin, Base):
    """A thing with all that dbkit's mixins add."""

    __tablename__ = "new_counted"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(20))


class Numbered(Base):
    """A thing whose number the database makes."""

    __tablename__ = "new_numbered"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str | None] = mapped_column(String(20))


class Sequenced(Base):
    """A thing whose number is a sequence's, where there are sequences."""

    __tablename__ = "new_sequenced"
    id: Mapped[int] = mapped_column(Sequence("new_sequence"), primary_key=True)
    name: Mapped[str | None] = mapped_column(String(20))


class Paired(Base):
    """A thing with a key of two columns."""

    __tablename__ = "new_paired"
    left: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    right: Mapped[str] = mapped_column(String(20), primary_key=True)
    name: Mapped[str | None] = mapped_column(String(20), server_default="n")


class Silent(Base):
    """A thing whose database returns nothing from an INSERT."""

    __tablename__ = "new_silent"
    __table_args__ = {"implicit_returning": False}
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(20), server_default="n")
    by_sql: Mapped[str | None] = mapped_column(String(20), default=func.lower("SQL"))


class Lazy(Base):
    """A thing whose defaults are looked at when they are wanted."""

    __tablename__ = "new_lazy"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(20), server_default="n")
    __mapper_args__ = {"eager_defaults": False}


class Eager(Base):
    """A thing whose defaults are looked at at once."""

    __tablename__ = "new_eager"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(20), server_default="n")
    __mapper_args__ = {"eager_defaults": True}


class Partial(Base):
    """A thing that leaves a column of its table out."""

    __table__ = Table(
        "new_partial",
        Base.metadata,
        Column("id", Integer, primary_key=True),
        Column("name", String(20)),
        Column("hidden", String(20), default="hidden", nullable=False),
    )
    __mapper_args__ = {"exclude_properties": ["hidden"]}


class Told(Base):
    """A thing with a default that looks at the other values."""

    __tablename__ = "new_told"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(20))
    copied: Mapped[str | None] = mapped_column(
        String(20), default=lambda context: context.get_current_parameters()["name"]
    )


class Point:
    """Two columns as one value."""

    def __init__(self, x: int | None, y: int | None) -> None:
        self.x = x
        self.y = y

    def __composite_values__(self) -> tuple[int | None, int | None]:
        return self.x, self.y


class Placed(Base):
    """A thing with a composite."""

    __tablename__ = "new_placed"
    id: Mapped[int] = mapped_column(primary_key=True)
    x: Mapped[int | None] = mapped_column()
    y: Mapped[int | None] = mapped_column()
    point: Mapped[Point] = composite(Point, x, y)


class Animal(Base):
    """A thing of which there are kinds."""

    __tablename__ = "new_animals"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    __mapper_args__ = {"polymorphic_on": kind, "polymorphic_identity": "animal"}


class Cat(Animal):
    """A kind of it."""

    __mapper_args__ = {"polymorphic_identity": "cat"}
