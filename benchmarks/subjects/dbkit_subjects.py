"""dbkit: with a context object and with a Database, by Session and by Connection."""

from __future__ import annotations

from functools import partial
from typing import Any

from sqlalchemy import bindparam, select

from benchmarks import scenarios as names
from benchmarks import schema
from benchmarks.places import Place
from benchmarks.subjects.subject import Opened
from dbkit import Database, enginefacade, queries


@enginefacade.transaction_context_provider
class Context:
    """What a service passes along."""


def settings_for(place: Place) -> dict[str, Any]:
    """Return the settings that all subjects of dbkit have."""
    return {"on_engine_create": [place.watch], "sqlite_synchronous": False}


def open_with_context(place: Place) -> Opened:
    """Open it as users of oslo.db know it."""
    manager = enginefacade.transaction_context(connection=place.text, **settings_for(place))
    context: Any = Context()
    place.fill(manager.writer.get_engine())

    @manager.writer
    def empty_writer(context: Any, number: int) -> None:
        pass

    @manager.reader
    def empty_reader(context: Any, number: int) -> None:
        pass

    @manager.writer
    def select_writer(context: Any, number: int) -> Any:
        return schema.select_one(context.session)

    @manager.reader
    def select_reader(context: Any, number: int) -> Any:
        return schema.select_one(context.session)

    @manager.writer
    def nested_empty(context: Any, number: int) -> None:
        middle_empty(context, number)

    @manager.writer
    def middle_empty(context: Any, number: int) -> None:
        empty_writer(context, number)

    @manager.writer
    def nested_select(context: Any, number: int) -> Any:
        return middle_select(context, number)

    @manager.writer
    def middle_select(context: Any, number: int) -> Any:
        return select_writer(context, number)

    @manager.writer
    def update(context: Any, number: int) -> None:
        schema.update_by_key(context.session, number)

    @manager.writer
    def floating_ip_update(context: Any, number: int) -> Any:
        return schema.floating_ip_update(context.session, number)

    return Opened(
        {
            names.EMPTY_WRITER: partial(empty_writer, context),
            names.EMPTY_READER: partial(empty_reader, context),
            names.SELECT_WRITER: partial(select_writer, context),
            names.SELECT_READER: partial(select_reader, context),
            names.NESTED_EMPTY: partial(nested_empty, context),
            names.NESTED_SELECT: partial(nested_select, context),
            names.UPDATE: partial(update, context),
            names.FLOATING_IP_UPDATE: partial(floating_ip_update, context),
        },
        manager.dispose_pool,
    )


def open_database(place: Place) -> Opened:
    """Open it without a context object, by Session."""
    db = Database(place.url, **settings_for(place))
    place.fill(db.engine)

    @db.writer
    def empty_writer(number: int) -> None:
        pass

    @db.reader
    def empty_reader(number: int) -> None:
        pass

    @db.writer
    def select_writer(number: int) -> Any:
        return schema.select_one(db.session)

    @db.reader
    def select_reader(number: int) -> Any:
        return schema.select_one(db.session)

    @db.writer
    def nested_empty(number: int) -> None:
        middle_empty(number)

    @db.writer
    def middle_empty(number: int) -> None:
        empty_writer(number)

    @db.writer
    def nested_select(number: int) -> Any:
        return middle_select(number)

    @db.writer
    def middle_select(number: int) -> Any:
        return select_writer(number)

    @db.writer
    def update(number: int) -> None:
        schema.update_by_key(db.session, number)

    @db.writer
    def floating_ip_update(number: int) -> Any:
        return schema.floating_ip_update(db.session, number)

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
        db.dispose,
    )


FIND = queries.Lookup(
    select(schema.FloatingIp).where(schema.FloatingIp.address == bindparam("address"), schema.FloatingIp.deleted == 0)
)


def open_fast(place: Place) -> Opened:
    """Open it without a context object, for lookups and saves that go straight to the driver."""
    db = Database(place.url, **settings_for(place))
    place.fill(db.engine)

    @db.writer
    def floating_ip_update(number: int) -> Any:
        ip = FIND.one(db, address=schema.ADDRESSES[number % schema.ROWS])
        schema.change(ip, number)
        queries.save(db, ip)
        return ip

    @db.reader
    def select_reader(number: int) -> Any:
        return ONE.one(db)

    @db.writer
    def select_writer(number: int) -> Any:
        return ONE.one(db)

    return Opened(
        {
            names.SELECT_WRITER: select_writer,
            names.SELECT_READER: select_reader,
            names.FLOATING_IP_UPDATE: floating_ip_update,
        },
        db.dispose,
    )


ONE = queries.Lookup(schema.SELECT_ONE)


def open_connections(place: Place) -> Opened:
    """Open it without a context object, by Connection."""
    db = Database(place.url, **settings_for(place))
    place.fill(db.engine)
    writer, reader = db.writer.connection, db.reader.connection

    @writer
    def empty_writer(number: int) -> None:
        pass

    @reader
    def empty_reader(number: int) -> None:
        pass

    @writer
    def select_writer(number: int) -> Any:
        return schema.select_one(db.connection)

    @reader
    def select_reader(number: int) -> Any:
        return schema.select_one(db.connection)

    @writer
    def nested_empty(number: int) -> None:
        middle_empty(number)

    @writer
    def middle_empty(number: int) -> None:
        empty_writer(number)

    @writer
    def nested_select(number: int) -> Any:
        return middle_select(number)

    @writer
    def middle_select(number: int) -> Any:
        return select_writer(number)

    @writer
    def update(number: int) -> None:
        schema.update_by_key(db.connection, number)

    @writer
    def floating_ip_update(number: int) -> Any:
        return schema.floating_ip_update_in_core(db.connection, number)

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
        db.dispose,
    )


async def open_in_asyncio(place: Place) -> Opened:
    """Open it in asyncio, by AsyncSession."""
    db = Database(place.url, **settings_for(place))

    @db.writer
    async def empty_writer(number: int) -> None:
        pass

    @db.reader
    async def empty_reader(number: int) -> None:
        pass

    @db.writer
    async def select_writer(number: int) -> Any:
        return (await db.async_session.execute(schema.SELECT_ONE)).scalar()

    @db.reader
    async def select_reader(number: int) -> Any:
        return (await db.async_session.execute(schema.SELECT_ONE)).scalar()

    @db.writer
    async def nested_empty(number: int) -> None:
        await middle_empty(number)

    @db.writer
    async def middle_empty(number: int) -> None:
        await empty_writer(number)

    @db.writer
    async def nested_select(number: int) -> Any:
        return await middle_select(number)

    @db.writer
    async def middle_select(number: int) -> Any:
        return await select_writer(number)

    @db.writer
    async def update(number: int) -> None:
        await db.async_session.execute(schema.UPDATE_BY_KEY, schema.key_and_host(number))

    @db.writer
    async def floating_ip_update(number: int) -> Any:
        return await schema.floating_ip_update_in_asyncio(db.async_session, number)

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
        db.adispose,
    )
