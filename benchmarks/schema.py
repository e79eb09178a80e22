"""Two tables as wide as Nova's, their models, and the bodies of the operations that work on them.

The bodies are the same for all subjects that have a Session or a Connection: what differs is what encloses them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Connection,
    DateTime,
    Engine,
    ForeignKey,
    Index,
    Integer,
    String,
    bindparam,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

ROWS = 10_000
ADDRESSES = tuple(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(ROWS))


def now() -> datetime:
    """Return the time as Nova stores it: in UTC, and without saying so."""
    return datetime.now(UTC).replace(tzinfo=None)


class Base(DeclarativeBase):
    """What each of Nova's tables has."""

    created_at: Mapped[datetime | None] = mapped_column(DateTime, default=now)
    updated_at: Mapped[datetime | None] = mapped_column(DateTime, onupdate=now)
    deleted_at: Mapped[datetime | None] = mapped_column(DateTime)
    deleted: Mapped[int] = mapped_column(Integer, default=0)


class FixedIp(Base):
    """An address inside a network."""

    __tablename__ = "fixed_ips"

    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[str | None] = mapped_column(String(39))
    network_id: Mapped[int | None]
    virtual_interface_id: Mapped[int | None]
    instance_uuid: Mapped[str | None] = mapped_column(String(36))
    allocated: Mapped[bool | None] = mapped_column(Boolean, default=False)
    leased: Mapped[bool | None] = mapped_column(Boolean, default=False)
    reserved: Mapped[bool | None] = mapped_column(Boolean, default=False)
    host: Mapped[str | None] = mapped_column(String(255))


class FloatingIp(Base):
    """An address that can be moved between fixed ones."""

    __tablename__ = "floating_ips"
    __table_args__ = (Index("floating_ips_address_deleted", "address", "deleted", unique=True),)

    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[str | None] = mapped_column(String(39))
    fixed_ip_id: Mapped[int | None] = mapped_column(ForeignKey("fixed_ips.id"))
    project_id: Mapped[str | None] = mapped_column(String(255))
    host: Mapped[str | None] = mapped_column(String(255))
    auto_assigned: Mapped[bool | None] = mapped_column(Boolean, default=False)
    pool: Mapped[str | None] = mapped_column(String(255))
    interface: Mapped[str | None] = mapped_column(String(255))
    fixed_ip: Mapped[FixedIp | None] = relationship(FixedIp)

    def save(self, session: Session) -> None:
        """Store the changed values, as Nova's models do."""
        session.add(self)
        session.flush()


TABLE: Any = FloatingIp.__table__

# Built once, as code that counts its calls would have it: building them is no part of a transaction's cost.
SELECT_ONE: Any = select(literal_column("1"))
UPDATE_BY_KEY: Any = update(TABLE).where(TABLE.c.id == bindparam("key")).values(host=bindparam("new_host"))


def populate(engine: Engine, rows: int = ROWS) -> None:
    """Make the tables anew and fill them."""
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    numbers = range(1, rows + 1)
    fixed = [{"id": number, "address": f"fd00::{number:x}", "network_id": 1, "host": "host"} for number in numbers]
    floating = [
        {"id": number, "address": ADDRESSES[number - 1], "project_id": "project", "host": "host", "pool": "public"}
        for number in numbers
    ]
    with engine.begin() as connection:
        connection.execute(insert(FixedIp), fixed)
        connection.execute(insert(FloatingIp), floating)


# -- bodies; `number` is another one at each call, so that each has something to change ----------------------------


def select_one(handle: Session | Connection) -> Any:
    """Send the shortest SELECT."""
    return handle.execute(SELECT_ONE).scalar()


def update_by_key(handle: Session | Connection, number: int) -> None:
    """Change one row without reading it."""
    handle.execute(UPDATE_BY_KEY, key_and_host(number))


def key_and_host(number: int) -> dict[str, Any]:
    """Return the parameters of the UPDATE by key."""
    return {"key": number % ROWS + 1, "new_host": f"host-{number}"}


def floating_ip_update(session: Session, number: int) -> FloatingIp:
    """Mike Bayer's operation, through the unit of work."""
    statement = select(FloatingIp).where(FloatingIp.address == ADDRESSES[number % ROWS], FloatingIp.deleted == 0)
    found = session.scalars(statement).one()
    found.host = f"host-{number}"
    found.project_id = f"project-{number}"
    found.save(session)
    return found


def change(found: Any, number: int) -> None:
    """Set the two values of the operation."""
    found.host = f"host-{number}"
    found.project_id = f"project-{number}"


def floating_ip_read(session: Session, number: int) -> FloatingIp:
    """Read one row through the unit of work, and change nothing."""
    statement = select(FloatingIp).where(FloatingIp.address == ADDRESSES[number % ROWS], FloatingIp.deleted == 0)
    return session.scalars(statement).one()


async def floating_ip_read_in_asyncio(session: AsyncSession, number: int) -> FloatingIp:
    """The same in asyncio."""
    statement = select(FloatingIp).where(FloatingIp.address == ADDRESSES[number % ROWS], FloatingIp.deleted == 0)
    return (await session.scalars(statement)).one()


async def floating_ip_update_in_asyncio(session: AsyncSession, number: int) -> FloatingIp:
    """The same in asyncio."""
    statement = select(FloatingIp).where(FloatingIp.address == ADDRESSES[number % ROWS], FloatingIp.deleted == 0)
    found = (await session.scalars(statement)).one()
    found.host = f"host-{number}"
    found.project_id = f"project-{number}"
    session.add(found)
    await session.flush()
    return found


def floating_ip_update_in_core(connection: Connection, number: int) -> Any:
    """The same in two statements that are built at each call."""
    columns = TABLE.c
    statement = select(TABLE).where(columns.address == ADDRESSES[number % ROWS], columns.deleted == 0)
    found = connection.execute(statement).one()
    changes = {"host": f"host-{number}", "project_id": f"project-{number}"}
    connection.execute(update(TABLE).where(columns.id == found.id).values(changes))
    return found
