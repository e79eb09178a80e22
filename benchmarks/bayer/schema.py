"""Nova's tables as Mike Bayer's operation met them: floating addresses, and the two that it loaded without need.

Instances have the columns that they had in 2014. To one address in ten belongs a second row, which is deleted: who
forgets to ask for the living one finds two.
"""

from __future__ import annotations

import functools
import sqlite3
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Engine,
    ForeignKey,
    Index,
    Integer,
    StaticPool,
    String,
    Table,
    Text,
    create_engine,
    insert,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, relationship

from benchmarks.schema import ADDRESSES, ROWS, now
from dbkit.filters.marks import Rule, guard

INSTANCES = 1_000
DELETED_STEP = 10
"""Each so many addresses there is a deleted row beside the living one."""


class Base(DeclarativeBase):
    """The tables' own registry."""


def _common() -> tuple[Column[Any], ...]:
    return (
        Column("created_at", DateTime, default=now),
        Column("updated_at", DateTime, onupdate=now),
        Column("deleted_at", DateTime),
        Column("deleted", Integer, default=0),
    )


def _texts(*names: str) -> tuple[Column[Any], ...]:
    return tuple(Column(name, String(255)) for name in names)


def _flags(*names: str) -> tuple[Column[Any], ...]:
    return tuple(Column(name, Boolean) for name in names)


def _numbers(*names: str) -> tuple[Column[Any], ...]:
    return tuple(Column(name, Integer) for name in names)


class Instance(Base):
    """A virtual machine: 53 columns."""

    __table__ = Table(
        "instances",
        Base.metadata,
        *_common(),
        Column("id", Integer, primary_key=True),
        *_numbers("internal_id", "launch_index", "power_state", "memory_mb", "vcpus", "root_gb", "ephemeral_gb"),
        *_numbers("instance_type_id", "progress", "cleaned"),
        *_texts("user_id", "project_id", "image_ref", "kernel_id", "ramdisk_id", "hostname", "key_name", "vm_state"),
        *_texts("task_state", "host", "node", "reservation_id", "availability_zone", "display_name"),
        *_texts("display_description", "os_type", "architecture", "vm_mode", "root_device_name", "config_drive"),
        *_texts("default_ephemeral_device", "default_swap_device", "cell_name", "locked_by"),
        Column("key_data", Text),
        Column("user_data", Text),
        Column("launched_on", Text),
        Column("scheduled_at", DateTime),
        Column("launched_at", DateTime),
        Column("terminated_at", DateTime),
        *_flags("locked", "auto_disk_config", "shutdown_terminate", "disable_terminate"),
        Column("uuid", String(36), unique=True, nullable=False),
        Column("ephemeral_key_uuid", String(36)),
        Column("access_ip_v4", String(39)),
        Column("access_ip_v6", String(39)),
    )


class FixedIp(Base):
    """An address inside a network."""

    __table__ = Table(
        "fixed_ips",
        Base.metadata,
        *_common(),
        Column("id", Integer, primary_key=True),
        Column("address", String(39)),
        *_numbers("network_id", "virtual_interface_id"),
        Column("instance_uuid", String(36), ForeignKey(Instance.__table__.c.uuid)),
        *_flags("allocated", "leased", "reserved"),
        Column("host", String(255)),
    )
    instance = relationship(Instance)


class FloatingIp(Base):
    """An address that can be moved between fixed ones."""

    __table__ = Table(
        "floating_ips",
        Base.metadata,
        *_common(),
        Column("id", Integer, primary_key=True),
        Column("address", String(39)),
        Column("fixed_ip_id", Integer, ForeignKey(FixedIp.__table__.c.id)),
        *_texts("project_id", "host"),
        Column("auto_assigned", Boolean, default=False),
        *_texts("pool", "interface"),
        Index("floating_ips_address_deleted", "address", "deleted", unique=True),
    )
    fixed_ip = relationship(FixedIp)

    if TYPE_CHECKING:
        id: Mapped[int]
        address: Mapped[str | None]
        deleted: Mapped[int]

    def save(self, session: Session) -> None:
        """Store the changed values, as Nova's models do."""
        session.add(self)
        session.flush()


TABLE: Any = FloatingIp.__table__
TABLES: tuple[Any, ...] = (Instance.__table__, FixedIp.__table__, FloatingIp.__table__)

#: What everyone else must write into each statement stands on the tables, where dbkit's engines read it.
for _table in TABLES:
    guard(_table, Rule("soft_delete", lambda table: table.c.deleted == 0))


def populate(engine: Engine, rows: int = ROWS) -> None:
    """Make the tables anew and fill them."""
    if engine.dialect.name == "sqlite" and not engine.url.database:
        with engine.connect() as connection:
            # each subject has a database of its own there; a copy takes a moment, filling it a second
            _template(rows).backup(connection.connection.driver_connection)  # type: ignore[arg-type]
        return
    _fill(engine, rows)


@functools.cache
def _template(rows: int) -> sqlite3.Connection:
    template = sqlite3.connect(":memory:", check_same_thread=False)
    _fill(create_engine("sqlite://", creator=lambda: template, poolclass=StaticPool), rows)
    return template


def _fill(engine: Engine, rows: int) -> None:
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    numbers = range(1, rows + 1)
    with engine.begin() as connection:
        connection.execute(insert(Instance.__table__), [_instance(number) for number in range(1, INSTANCES + 1)])
        connection.execute(insert(FixedIp.__table__), [_fixed_ip(number) for number in numbers])
        connection.execute(insert(TABLE), [_floating_ip(number, 0) for number in numbers])
        connection.execute(insert(TABLE), [_floating_ip(number, 1) for number in numbers[::DELETED_STEP]])


def _uuid(number: int) -> str:
    return f"{number % INSTANCES + 1:08x}-0000-4000-8000-000000000000"


def _instance(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "uuid": _uuid(number - 1),
        "hostname": f"server-{number}",
        "display_name": f"server {number}",
        "project_id": "project",
        "vm_state": "active",
        "memory_mb": 2048,
        "vcpus": 1,
        "locked": False,
        "launched_at": now(),
    }


def _fixed_ip(number: int) -> dict[str, Any]:
    address = f"fd00::{number:x}"
    return {"id": number, "address": address, "network_id": 1, "host": "host", "instance_uuid": _uuid(number)}


def _floating_ip(number: int, deleted: int) -> dict[str, Any]:
    identity = number + deleted * ROWS
    return {
        "id": identity,
        "address": ADDRESSES[number - 1],
        "fixed_ip_id": number,
        "project_id": "project",
        "host": "host",
        "pool": "public",
        "deleted": deleted * identity,
    }
