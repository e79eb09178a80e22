"""The table into which many rows are written: numbers, texts, times and NULLs."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

from sqlalchemy import DateTime, Index, Integer, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Holds the table."""


class Address(Base):
    """A row as a cloud has millions of."""

    __tablename__ = "bulk_addresses"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    address: Mapped[str] = mapped_column(String(40))
    pool: Mapped[str] = mapped_column(String(40))
    host: Mapped[str | None] = mapped_column(String(60))
    project: Mapped[str] = mapped_column(String(40))
    port: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(20))
    created_at: Mapped[datetime.datetime] = mapped_column(DateTime)
    updated_at: Mapped[datetime.datetime | None] = mapped_column(DateTime)
    __table_args__ = (Index("ix_bulk_project", "project"),)


NAMES = tuple(column.name for column in Address.__table__.columns)
_BEGAN = datetime.datetime(2024, 1, 1)


def rows(count: int) -> Iterator[dict[str, Any]]:
    """Yield so many rows."""
    for number in range(count):
        yield {
            "id": number,
            "address": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
            "pool": "public",
            "host": None if number % 3 else f"compute-{number % 500}",
            "project": f"project-{number % 100}",
            "port": number % 65536,
            "state": "ACTIVE",
            "created_at": _BEGAN + datetime.timedelta(seconds=number),
            "updated_at": None,
        }
