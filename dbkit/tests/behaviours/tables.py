"""The tables that the behaviours work on."""

from __future__ import annotations

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """What all products have."""


class Item(Base):
    """A thing with a unique name and a number."""

    __tablename__ = "items"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str | None] = mapped_column(String(50), unique=True)
    amount: Mapped[int] = mapped_column(default=0)


class Part(Base):
    """Belongs to an item."""

    __tablename__ = "parts"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"))


class Audit(Base):
    """What outer transactions write."""

    __tablename__ = "audits"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[str | None] = mapped_column(String(50))


class DeferringBase(DeclarativeBase):
    """What those products have that check constraints at COMMIT."""


class Target(DeferringBase):
    """What a pledge points to."""

    __tablename__ = "targets"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class Pledge(DeferringBase):
    """Points to a target that need not exist before COMMIT."""

    __tablename__ = "pledges"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    target_id: Mapped[int] = mapped_column(ForeignKey("targets.id", deferrable=True, initially="DEFERRED"))
