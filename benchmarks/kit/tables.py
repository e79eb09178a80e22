"""The sixty tables of the test databases, and the test that is run on them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    DateTime,
    Engine,
    ForeignKey,
    Integer,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dbkit.testing.provision import Schema

TABLES = 60


class Base(DeclarativeBase):
    """What all tables belong to."""


class Item(Base):
    """The table that the test works on."""

    __tablename__ = "items"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)


METADATA = Base.metadata


def _further_table(number: int) -> None:
    """Declare one more, which refers to the one before it."""
    before = "items" if number == 1 else f"part_{number - 1:02d}"
    Table(
        f"part_{number:02d}",
        METADATA,
        Column("id", Integer, primary_key=True),
        Column("name", String(64), unique=True),
        Column("before_id", ForeignKey(f"{before}.id"), index=True),
        Column("created_at", DateTime),
        Column("amount", Integer, nullable=False, default=0),
        Column("note", Text),
    )


for _number in range(1, TABLES):
    _further_table(_number)

SCHEMA = Schema(metadata=METADATA)

#: What refers to a table stands before it.
EMPTYING: tuple[Any, ...] = tuple(delete(table) for table in reversed(METADATA.sorted_tables))


def delete_everything(engine: Engine) -> None:
    """Empty all tables, as an application's ``delete_from_schema`` does."""
    with engine.begin() as connection:
        for statement in EMPTYING:
            connection.execute(statement)


def write_rows(connection: Connection, number: int) -> None:
    """Write into two of the tables, in the connection's transaction."""
    item = connection.execute(insert(Item).values(name=f"item-{number}")).inserted_primary_key
    assert item is not None
    connection.execute(insert(METADATA.tables["part_01"]).values(name=f"part-{number}", before_id=item[0]))


class Undo(Exception):
    """Raised by the test to have a block rolled back."""


def run_test(manager: Any, context: object, number: int) -> None:
    """Run the test: a block that inserts, one that inserts and is rolled back, and one that reads.

    :param manager: of dbkit's enginefacade or of oslo.db's.
    :param number: another one at each call.
    """
    kept, lost = f"kept-{number}", f"lost-{number}"
    with manager.writer.using(context) as session:
        session.add(Item(name=kept))
    try:
        with manager.writer.using(context) as session:
            session.add(Item(name=lost))
            session.flush()
            raise Undo
    except Undo:
        pass
    with manager.reader.using(context) as session:
        found = session.scalars(select(Item.name).where(Item.name.in_((kept, lost)))).all()
    check(found, kept)


async def run_test_in_asyncio(database: Any, number: int) -> None:
    """Run the same test in asyncio."""
    kept, lost = f"kept-{number}", f"lost-{number}"
    async with database.writer() as session:
        session.add(Item(name=kept))
    try:
        async with database.writer() as session:
            session.add(Item(name=lost))
            await session.flush()
            raise Undo
    except Undo:
        pass
    async with database.reader() as session:
        found = (await session.scalars(select(Item.name).where(Item.name.in_((kept, lost))))).all()
    check(found, kept)


def check(found: object, kept: str) -> None:
    """Let the test fail unless it has read what it had committed, and nothing else."""
    if found != [kept]:
        raise AssertionError(f"the test has read {found!r} where only {kept!r} was committed")
