"""The same in asyncio, on the same Database."""

from __future__ import annotations

from accounts import Account, Base, db
from sqlalchemy import select


@db.writer
async def create_tables() -> None:
    await db.async_session.run_sync(lambda session: Base.metadata.create_all(session.connection()))


@db.writer
async def open_account(owner: str) -> None:
    db.async_session.add(Account(owner=owner))


@db.reader
async def owners() -> list[str]:
    return list(await db.async_session.scalars(select(Account.owner).order_by(Account.owner)))
