"""The inventory's tables: instances, their quotas, fixed and floating addresses, and the journal.

The invariants that :mod:`dbkit.cmd.demo.check` holds against the rows:

* ``Quota.in_use`` is the number of floating addresses that lead to the instance;
* each request that was answered with success has one row in the journal, and no other request has one;
* ``FloatingIP.version`` counts the address's rows in ``Change``, and each change goes on where the last one ended.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from sqlalchemy import CheckConstraint, ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

#: Begins the name of every table, so that the demo can tell its own tables in a database that holds others.
PREFIX = "dbkit_demo_"


def utc_now() -> datetime:
    """Return the time in UTC, without a zone, which all products store alike."""
    return datetime.now(UTC).replace(tzinfo=None)


class Base(DeclarativeBase):
    """What all tables of the inventory have in common."""


class Instance(Base):
    """A virtual machine."""

    __tablename__ = f"{PREFIX}instances"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64))
    hostname: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Quota(Base):
    """How many floating addresses an instance has, and how many it may have."""

    __tablename__ = f"{PREFIX}quotas"
    __table_args__ = (CheckConstraint("in_use >= 0", name=f"{PREFIX}quota_not_negative"),)

    instance_id: Mapped[uuid.UUID] = mapped_column(ForeignKey(Instance.id), primary_key=True)
    hard_limit: Mapped[int]
    in_use: Mapped[int] = mapped_column(default=0)


class FixedIP(Base):
    """An address on an instance's own network."""

    __tablename__ = f"{PREFIX}fixed_ips"

    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(String(39), unique=True)
    instance_id: Mapped[uuid.UUID] = mapped_column(ForeignKey(Instance.id), index=True)


class FloatingIP(Base):
    """A public address; while it is in use it leads to a fixed one."""

    __tablename__ = f"{PREFIX}floating_ips"

    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(String(39), unique=True)
    project_id: Mapped[str] = mapped_column(String(64))
    fixed_ip_id: Mapped[int | None] = mapped_column(ForeignKey(FixedIP.id), index=True)
    version: Mapped[int] = mapped_column(default=0)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)

    def point_to(self, fixed_ip_id: int | None, request_id: str) -> Change:
        """Lead to another fixed address, or to none; return the row that records it."""
        self.version += 1
        change = Change(
            floating_ip_id=self.id,
            version=self.version,
            request_id=request_id,
            from_fixed_ip_id=self.fixed_ip_id,
            to_fixed_ip_id=fixed_ip_id,
        )
        self.fixed_ip_id = fixed_ip_id
        return change


class Request(Base):
    """The journal: a request that was carried out. Its row is stored with what the request did, or not at all."""

    __tablename__ = f"{PREFIX}requests"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    action: Mapped[str] = mapped_column(String(32))
    made_at: Mapped[datetime] = mapped_column(default=utc_now)


class Change(Base):
    """One change of a floating address. Two writers that work from the same state collide on the primary key."""

    __tablename__ = f"{PREFIX}changes"

    floating_ip_id: Mapped[int] = mapped_column(ForeignKey(FloatingIP.id), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    # No foreign key to the journal: the check must be able to find a change whose request was not carried out.
    request_id: Mapped[str] = mapped_column(String(40), index=True)
    from_fixed_ip_id: Mapped[int | None]
    to_fixed_ip_id: Mapped[int | None]


class Attempt(Base):
    """The audit: somebody tried, whatever became of it. No foreign keys: it must not wait for the tried rows' locks."""

    __tablename__ = f"{PREFIX}attempts"

    id: Mapped[int] = mapped_column(primary_key=True)
    request_id: Mapped[str] = mapped_column(String(40), index=True)
    action: Mapped[str] = mapped_column(String(32))
    made_at: Mapped[datetime] = mapped_column(default=utc_now)
