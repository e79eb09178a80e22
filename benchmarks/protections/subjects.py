"""dbkit's writers, with nothing, with each protection alone, and with all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from benchmarks import scenarios, schema
from benchmarks.places import Backend, Place
from benchmarks.protections.scenarios import FLOATING_IP_READ
from benchmarks.subjects.dbkit_subjects import settings_for
from benchmarks.subjects.subject import Opened, Subject, blocking, in_asyncio
from dbkit import Database
from dbkit.database import DatabaseManager as Manager

DEADLINE_S = 30
"""So far away that it changes nothing but what is done for it."""

OFF = "nothing"
RETRYING = "retrying()"
EXACTLY_ONCE = "exactly_once"
BY_STATUS = "exactly_once, by status"
REPLAYING = "replaying"
DEADLINE = f"deadline({DEADLINE_S})"
ALL = "all together"


@dataclass(frozen=True, slots=True)
class Protected:
    """A way to ask for protections.

    :param ask: takes a writer, and returns the one that has them.
    :param settings: of the database, beside the common ones.
    :param servers: the kinds of servers that know it; None for all.
    """

    name: str
    ask: Callable[[Manager], Manager]
    settings: Mapping[str, Any] = field(default_factory=dict)
    servers: tuple[str, ...] | None = None
    has_token_table: bool = False


#: In the order of the tables; each is compared with the first.
PROTECTED: tuple[Protected, ...] = (
    Protected(OFF, lambda writer: writer),
    Protected(RETRYING, lambda writer: writer.retrying()),
    Protected(EXACTLY_ONCE, lambda writer: writer.exactly_once, has_token_table=True),
    Protected(BY_STATUS, lambda writer: writer.exactly_once, {"commit_fence": "status"}, ("postgresql",)),
    Protected(REPLAYING, lambda writer: writer.replaying),
    Protected(DEADLINE, lambda writer: writer.deadline(DEADLINE_S)),
    Protected(
        ALL,
        lambda writer: writer.retrying().exactly_once.replaying.deadline(DEADLINE_S),
        has_token_table=True,
    ),
)


def subjects_for(backend: Backend) -> list[Subject]:
    """Return the subjects that a backend can serve."""
    opened: Callable[..., Any] = open_in_asyncio if backend.is_asyncio else open_blocking
    return [
        Subject(each.name, partial(opened, protected=each), in_asyncio if backend.is_asyncio else blocking)
        for each in PROTECTED
        if each.servers is None or backend.server in each.servers
    ]


def open_blocking(place: Place, protected: Protected) -> Opened:
    """Open it by Session."""
    db = Database(place.url, **settings_for(place), **protected.settings)
    place.fill(db.engine)
    if protected.has_token_table:
        db.create_token_table()
    writer = protected.ask(db.writer)

    @writer
    def select_writer(number: int) -> Any:
        return schema.select_one(db.session)

    @writer
    def floating_ip_read(number: int) -> Any:
        return schema.floating_ip_read(db.session, number)

    @writer
    def update(number: int) -> None:
        schema.update_by_key(db.session, number)

    @writer
    def floating_ip_update(number: int) -> Any:
        return schema.floating_ip_update(db.session, number)

    return Opened(
        {
            scenarios.SELECT_WRITER: select_writer,
            FLOATING_IP_READ: floating_ip_read,
            scenarios.UPDATE: update,
            scenarios.FLOATING_IP_UPDATE: floating_ip_update,
        },
        db.dispose,
    )


async def open_in_asyncio(place: Place, protected: Protected) -> Opened:
    """Open it by AsyncSession."""
    db = Database(place.url, **settings_for(place), **protected.settings)
    if protected.has_token_table:
        await db.acreate_token_table()
    writer = protected.ask(db.writer)

    @writer
    async def select_writer(number: int) -> Any:
        return (await db.async_session.execute(schema.SELECT_ONE)).scalar()

    @writer
    async def floating_ip_read(number: int) -> Any:
        return await schema.floating_ip_read_in_asyncio(db.async_session, number)

    @writer
    async def update(number: int) -> None:
        await db.async_session.execute(schema.UPDATE_BY_KEY, schema.key_and_host(number))

    @writer
    async def floating_ip_update(number: int) -> Any:
        return await schema.floating_ip_update_in_asyncio(db.async_session, number)

    return Opened(
        {
            scenarios.SELECT_WRITER: select_writer,
            FLOATING_IP_READ: floating_ip_read,
            scenarios.UPDATE: update,
            scenarios.FLOATING_IP_UPDATE: floating_ip_update,
        },
        db.adispose,
    )
