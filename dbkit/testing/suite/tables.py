"""The tables that the suite makes in the database of the backend that is under test."""

from __future__ import annotations

from collections.abc import Container

from sqlalchemy import CheckConstraint, Column, ForeignKey, Integer, String, Table, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dbkit.testing.suite.capabilities import Capability

#: What the column ``name`` holds at most.
LONGEST_NAME = 50


class Base(DeclarativeBase):
    """The suite's tables."""


class Item(Base):
    """A thing with a unique name and a number."""

    __tablename__ = "dbkit_items"
    __table_args__ = (UniqueConstraint("name", name="dbkit_items_name"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str | None] = mapped_column(String(LONGEST_NAME))
    amount: Mapped[int] = mapped_column(default=0)


def _own_key() -> Column[int]:
    return Column("id", Integer, primary_key=True, autoincrement=False)


ITEMS = Base.metadata.tables["dbkit_items"]

#: Belongs to an item.
PARTS = Table(
    "dbkit_parts",
    Base.metadata,
    _own_key(),
    Column("item_id", ForeignKey("dbkit_items.id", name="dbkit_parts_item"), nullable=False),
)

#: Holds no negative numbers.
LIMITS = Table(
    "dbkit_limits",
    Base.metadata,
    _own_key(),
    Column("amount", Integer, nullable=False),
    CheckConstraint("amount >= 0", name="dbkit_limits_amount"),
)

#: Points to an item that need not exist before COMMIT.
PLEDGES = Table(
    "dbkit_pledges",
    Base.metadata,
    _own_key(),
    Column(
        "item_id",
        ForeignKey("dbkit_items.id", name="dbkit_pledges_item", deferrable=True, initially="DEFERRED"),
        nullable=False,
    ),
)

#: What a test may create itself.
PASSING = "dbkit_passing"

_NEEDED = (
    (PARTS, Capability.FOREIGN_KEYS),
    (LIMITS, Capability.CHECK_CONSTRAINTS),
    (PLEDGES, Capability.DEFERRED_CONSTRAINTS),
)


def tables_for(capabilities: Container[Capability]) -> list[Table]:
    """Return the tables that a database with these capabilities has, parents first."""
    return [ITEMS, *(table for table, needed in _NEEDED if needed in capabilities)]
