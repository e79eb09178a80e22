"""Servers that are deleted and can be had back, until they are purged."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import ForeignKey, String, select
from sqlalchemy.orm import Mapped, mapped_column, relationship

import dbkit
from dbkit import models
from dbkit.exceptions import RestoreConflict
from dbkit.queries import Purge, purge

db = dbkit.Database()


class Server(models.SoftDeleteMixin, models.TimestampMixin, models.VersionMixin, models.Base):
    __tablename__ = "servers"
    __table_args__ = (models.UniqueAlive("name"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    facts: Mapped[dict[str, str]] = mapped_column(models.tracked(models.JsonEncodedDict()))
    disks: Mapped[list[Disk]] = relationship(cascade="all, delete-orphan")


class Disk(models.DeletedAtMixin, models.Base):
    __tablename__ = "disks"
    id: Mapped[int] = mapped_column(primary_key=True)
    server_id: Mapped[int] = mapped_column(ForeignKey("servers.id"))
    size_gb: Mapped[int]


@db.writer.connection
def create_tables() -> None:
    models.Base.metadata.create_all(db.connection)


@db.writer
def create(name: str, *sizes: int) -> int:
    server = Server(name=name, facts={}, disks=[Disk(size_gb=size) for size in sizes])
    server.save(db.session)
    return server.id


@db.writer
def note(number: int, key: str, value: str) -> None:
    db.session.get_one(Server, number).facts[key] = value  # the change in place is noticed


@db.writer
def delete(number: int) -> None:
    db.session.delete(db.session.get_one(Server, number))  # an UPDATE of the server and of its disks


@db.writer
def restore(number: int) -> str:
    try:
        return models.restore(db.session, Server, number).name  # with the disks that died with it
    except RestoreConflict as error:
        return f"the name is in use by server {error.living}"


@db.reader
def names() -> list[str]:
    return list(db.session.scalars(select(Server.name).order_by(Server.id)))


@db.reader
def disks() -> list[int]:
    return list(db.session.scalars(select(Disk.size_gb).order_by(Disk.id)))


def clean_up(age: timedelta) -> Purge:
    return purge(db, [Server, Disk], older_than=age, archive="old_{}")
