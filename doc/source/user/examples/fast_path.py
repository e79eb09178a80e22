"""Addresses of a cloud: looked up, moved and listed on the fast path."""

from __future__ import annotations

# --- begin
from sqlalchemy import String, bindparam, select
from sqlalchemy.orm import Mapped, mapped_column

import dbkit
from dbkit import models, queries

db = dbkit.Database()


class FloatingIp(models.SoftDeleteMixin, models.VersionMixin, models.Base):
    __tablename__ = "floating_ips"

    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(String(39), index=True)
    host: Mapped[str | None] = mapped_column(String(255))


# made once, compiled once
FIND = queries.Lookup(select(FloatingIp).where(FloatingIp.address == bindparam("address")))
ON_HOST = queries.rows(select(FloatingIp).where(FloatingIp.host == bindparam("host")).order_by(FloatingIp.address))


@db.writer
def move(address: str, host: str) -> None:
    ip = FIND.one(db, address=address)
    ip.host = host
    queries.save(db, ip)


@db.reader
def on_host(host: str) -> list[str]:
    return [row.address for row in ON_HOST.all(db, host=host)]


# --- end
