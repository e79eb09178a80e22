"""Behaviours of optimistic locking: tables whose rows have versions, and functions that are called in both colours."""

from __future__ import annotations

from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dbkit import queries
from dbkit.models import SoftDeleteMixin, VersionMixin
from dbkit.tests.behaviours.base import Behaviour
from dbkit.tests.behaviours.places import Place


class Base(DeclarativeBase):
    """What the tables of these behaviours have in common."""


class Page(VersionMixin, Base):
    """A thing that several people write."""

    __tablename__ = "locking_pages"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[str] = mapped_column(String(50))
    title: Mapped[str | None] = mapped_column(String(50))
    hits: Mapped[int] = mapped_column(default=0)


class Draft(SoftDeleteMixin, VersionMixin, Base):
    """A thing that is marked when it is deleted."""

    __tablename__ = "locking_drafts"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[str] = mapped_column(String(50))


class Seat(Base):
    """A thing without a version, with a key that users know and another one that they don't."""

    __tablename__ = "locking_seats"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    uuid: Mapped[str] = mapped_column(String(36), unique=True)
    holder: Mapped[str | None] = mapped_column(String(50))
    state: Mapped[str] = mapped_column(String(20))
    free: Mapped[int | None] = mapped_column()


@cache
def _prepare(place: Place) -> None:
    Base.metadata.create_all(place.observer)


class Locking(Behaviour):
    """A behaviour with these tables, and rows of them."""

    def setUp(self) -> None:
        super().setUp()
        _prepare(self.place)
        self.place.delete_from(*(model.__tablename__ for model in (Page, Draft, Seat)))
        for number in (1, 2, 3):
            self.place.do(
                "INSERT INTO locking_pages (id, text, title, hits, version) VALUES (:n, 'a', 't', 0, 1)", n=number
            )
            self.place.do("INSERT INTO locking_drafts (id, text, version, deleted) VALUES (:n, 'a', 1, 0)", n=number)
            self.place.do(
                "INSERT INTO locking_seats (id, uuid, state, free) VALUES (:n, :u, 'open', 5)", n=number, u=f"u{number}"
            )

    async def call(self, name: str, *args: Any, where: Any = None, **kwargs: Any) -> Any:
        """Call a function of ``dbkit.queries`` in the colour of the test."""
        first = getattr(self.face, "context", self.db) if where is None else where
        if not self.is_asyncio:
            first = getattr(first, "sync_session", first)
        if self.is_asyncio:
            return await getattr(queries, f"a{name}")(first, *args, **kwargs)
        return getattr(queries, name)(first, *args, **kwargs)

    async def swap(self, *args: Any, **kwargs: Any) -> Any:
        """Compare and swap."""
        return await self.call("compare_and_swap", *args, **kwargs)

    def meanwhile(self, sql: str, **values: Any) -> None:
        """Let another client write."""
        self.place.do(sql, **values)

    def page(self, number: int = 1) -> Any:
        """Return what another client sees of a page."""
        columns = "text, title, hits, version"
        with self.place.observer.connect() as connection:
            row = connection.execute(sa.text(f"SELECT {columns} FROM locking_pages WHERE id = :n"), {"n": number}).one()
            return tuple(row)
