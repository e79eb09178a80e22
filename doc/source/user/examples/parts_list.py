"""The parts list of a supplier, which comes every night as a long file."""

from __future__ import annotations

# --- begin
from collections.abc import Iterable

from sqlalchemy import String, select
from sqlalchemy.orm import Mapped, mapped_column

import dbkit
from dbkit import models, queries

db = dbkit.Database()


class Part(models.Base):
    __tablename__ = "listed_parts"

    code: Mapped[str] = mapped_column(String(20), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    cents: Mapped[int]
    stock: Mapped[int] = mapped_column(default=0)


def take_over(lines: Iterable[str]) -> queries.Written:
    """Store a whole list: all of it, or nothing."""
    rows = (line.rstrip("\n").split(";") for line in lines)
    parts = ((code, name, int(cents)) for code, name, cents in rows)
    return queries.insert_many(db, Part, parts, columns=["code", "name", "cents"])


def renew(prices: Iterable[tuple[str, str, int]]) -> tuple[int | None, int | None]:
    """Take new prices; return how many parts are new, and how many have changed."""
    done = queries.upsert(db, Part, prices, columns=["code", "name", "cents"], update=["name", "cents"])
    return done.inserted, done.updated


@db.writer
def count(counted: dict[str, int]) -> int:
    """Note what lies in the store; return how many of these parts are known."""
    rows = ({"code": code, "stock": stock} for code, stock in counted.items())
    return queries.update_many(db, Part, rows).rows


@db.reader
def value() -> int:
    """Return what all parts in the store are worth, in cents, however many there are."""
    return sum(row.cents * row.stock for row in queries.stream(db, select(Part.cents, Part.stock)))


def drop_what_is_out_of_stock() -> int:
    """Delete in transactions of 1,000 rows, so that nobody waits for long."""
    return queries.delete_many(db, Part, criterion=Part.stock == 0, batch=1000, commit_each=True).rows


# --- end
