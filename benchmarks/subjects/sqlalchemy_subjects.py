"""Bare SQLAlchemy: Session, Connection, and both in asyncio, as its documentation shows them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, create_engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from benchmarks import scenarios as names
from benchmarks import schema
from benchmarks.places import Place
from benchmarks.subjects.subject import Opened


def open_orm(place: Place) -> Opened:
    """Open it with ``sessionmaker.begin()`` for writers and ``sessionmaker()`` for readers."""
    engine = create_engine(place.url)
    place.watch(engine)
    place.fill(engine)
    sessions = sessionmaker(engine, expire_on_commit=False)

    def empty_writer(number: int) -> None:
        with sessions.begin():
            pass

    def empty_reader(number: int) -> None:
        with sessions():
            pass

    def select_writer(number: int) -> Any:
        with sessions.begin() as session:
            return schema.select_one(session)

    def select_reader(number: int) -> Any:
        with sessions() as session:
            return schema.select_one(session)

    def nested_empty(number: int) -> None:
        with sessions.begin() as session:
            middle_empty(session)

    def middle_empty(session: Session) -> None:
        inner_empty(session)

    def inner_empty(session: Session) -> None:
        pass

    def nested_select(number: int) -> Any:
        with sessions.begin() as session:
            return middle_select(session)

    def middle_select(session: Session) -> Any:
        return inner_select(session)

    def inner_select(session: Session) -> Any:
        return schema.select_one(session)

    def update(number: int) -> None:
        with sessions.begin() as session:
            schema.update_by_key(session, number)

    def floating_ip_update(number: int) -> Any:
        with sessions.begin() as session:
            return schema.floating_ip_update(session, number)

    return Opened(
        {
            names.EMPTY_WRITER: empty_writer,
            names.EMPTY_READER: empty_reader,
            names.SELECT_WRITER: select_writer,
            names.SELECT_READER: select_reader,
            names.NESTED_EMPTY: nested_empty,
            names.NESTED_SELECT: nested_select,
            names.UPDATE: update,
            names.FLOATING_IP_UPDATE: floating_ip_update,
        },
        engine.dispose,
    )


def open_core(place: Place) -> Opened:
    """Open it with ``engine.begin()`` for writers and ``engine.connect()`` for readers."""
    engine = create_engine(place.url)
    place.watch(engine)
    place.fill(engine)

    def empty_writer(number: int) -> None:
        with engine.begin():
            pass

    def empty_reader(number: int) -> None:
        with engine.connect():
            pass

    def select_writer(number: int) -> Any:
        with engine.begin() as connection:
            return schema.select_one(connection)

    def select_reader(number: int) -> Any:
        with engine.connect() as connection:
            return schema.select_one(connection)

    def nested_empty(number: int) -> None:
        with engine.begin() as connection:
            middle_empty(connection)

    def middle_empty(connection: Connection) -> None:
        inner_empty(connection)

    def inner_empty(connection: Connection) -> None:
        pass

    def nested_select(number: int) -> Any:
        with engine.begin() as connection:
            return middle_select(connection)

    def middle_select(connection: Connection) -> Any:
        return inner_select(connection)

    def inner_select(connection: Connection) -> Any:
        return schema.select_one(connection)

    def update(number: int) -> None:
        with engine.begin() as connection:
            schema.update_by_key(connection, number)

    def floating_ip_update(number: int) -> Any:
        with engine.begin() as connection:
            return schema.floating_ip_update_in_core(connection, number)

    return Opened(
        {
            names.EMPTY_WRITER: empty_writer,
            names.EMPTY_READER: empty_reader,
            names.SELECT_WRITER: select_writer,
            names.SELECT_READER: select_reader,
            names.NESTED_EMPTY: nested_empty,
            names.NESTED_SELECT: nested_select,
            names.UPDATE: update,
            names.FLOATING_IP_UPDATE: floating_ip_update,
        },
        engine.dispose,
    )


async def open_async_orm(place: Place) -> Opened:
    """Open it with ``async_sessionmaker.begin()`` for writers and ``async_sessionmaker()`` for readers."""
    engine = create_async_engine(place.url)
    place.watch(engine.sync_engine)
    sessions = async_sessionmaker(engine, expire_on_commit=False)

    async def empty_writer(number: int) -> None:
        async with sessions.begin():
            pass

    async def empty_reader(number: int) -> None:
        async with sessions():
            pass

    async def select_writer(number: int) -> Any:
        async with sessions.begin() as session:
            return await inner_select(session)

    async def select_reader(number: int) -> Any:
        async with sessions() as session:
            return await inner_select(session)

    async def nested_empty(number: int) -> None:
        async with sessions.begin() as session:
            await middle_empty(session)

    async def middle_empty(session: AsyncSession) -> None:
        await inner_empty(session)

    async def inner_empty(session: AsyncSession) -> None:
        pass

    async def nested_select(number: int) -> Any:
        async with sessions.begin() as session:
            return await middle_select(session)

    async def middle_select(session: AsyncSession) -> Any:
        return await inner_select(session)

    async def inner_select(session: AsyncSession) -> Any:
        return (await session.execute(schema.SELECT_ONE)).scalar()

    async def update(number: int) -> None:
        async with sessions.begin() as session:
            await session.execute(schema.UPDATE_BY_KEY, schema.key_and_host(number))

    async def floating_ip_update(number: int) -> Any:
        async with sessions.begin() as session:
            return await schema.floating_ip_update_in_asyncio(session, number)

    return Opened(
        {
            names.EMPTY_WRITER: empty_writer,
            names.EMPTY_READER: empty_reader,
            names.SELECT_WRITER: select_writer,
            names.SELECT_READER: select_reader,
            names.NESTED_EMPTY: nested_empty,
            names.NESTED_SELECT: nested_select,
            names.UPDATE: update,
            names.FLOATING_IP_UPDATE: floating_ip_update,
        },
        engine.dispose,
    )


async def open_async_core(place: Place) -> Opened:
    """Open it with ``engine.begin()`` for writers and ``engine.connect()`` for readers, in asyncio."""
    engine = create_async_engine(place.url)
    place.watch(engine.sync_engine)

    async def empty_writer(number: int) -> None:
        async with engine.begin():
            pass

    async def empty_reader(number: int) -> None:
        async with engine.connect():
            pass

    async def select_writer(number: int) -> Any:
        async with engine.begin() as connection:
            return await inner_select(connection)

    async def select_reader(number: int) -> Any:
        async with engine.connect() as connection:
            return await inner_select(connection)

    async def inner_select(connection: AsyncConnection) -> Any:
        return (await connection.execute(schema.SELECT_ONE)).scalar()

    async def update(number: int) -> None:
        async with engine.begin() as connection:
            await connection.execute(schema.UPDATE_BY_KEY, schema.key_and_host(number))

    return Opened(
        {
            names.EMPTY_WRITER: empty_writer,
            names.EMPTY_READER: empty_reader,
            names.SELECT_WRITER: select_writer,
            names.SELECT_READER: select_reader,
            names.UPDATE: update,
        },
        engine.dispose,
    )
