"""What the service does: functions that say that they write or read, and nothing of the web."""

from __future__ import annotations

from sqlalchemy import String, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import dbkit

db = dbkit.Database()  # the URL is that of [database] connection, or DATABASE_URL; nothing is opened yet


class Base(DeclarativeBase): ...


class Account(Base):
    __tablename__ = "accounts"
    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    balance: Mapped[int] = mapped_column(default=0)


@db.writer
def create_tables() -> None:
    Base.metadata.create_all(db.session.connection())


@db.writer
def open_account(owner: str) -> None:
    db.session.add(Account(owner=owner))


@db.reader
def owners() -> list[str]:
    return list(db.session.scalars(select(Account.owner).order_by(Account.owner)))
