"""The engines of one database in one colour."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import SQLAlchemyError

from dbkit.backends.base import Backend, Role, SessionFacts
from dbkit.clock import Clock
from dbkit.engines import arriving, translate
from dbkit.engines.capacity import Capacity
from dbkit.engines.checks import Checks
from dbkit.engines.connection import FACTS
from dbkit.engines.gate import Gate, gate_for
from dbkit.engines.listeners import credentials, fork, keepalive, trace
from dbkit.engines.pool import AsyncBoundedPool, BoundedPool
from dbkit.engines.record import Record
from dbkit.engines.settings import EngineSettings
from dbkit.engines.shedding import Shedding
from dbkit.exceptions import InvalidURL
from dbkit.filters.compiler import install as install_filters
from dbkit.spec import Colour

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

LOG = logging.getLogger(__name__)

DEFAULT_POOL_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Lane:
    """The engine of one role.

    :param engine: for asyncio the ``sync_engine``.
    :param gate: what a block of this role must pass before it takes a connection.
    """

    backend: Backend
    role: Role
    engine: Engine
    async_engine: AsyncEngine | None
    gate: Gate | None


@dataclass(frozen=True, slots=True)
class Engines:
    """The engines of one database in one colour; writers and readers share one limit of connections."""

    writer: Lane
    reader: Lane

    def retire(self) -> None:
        """Let no connection come back to the pools; closes none by itself."""
        for lane in (self.writer, self.reader):
            if isinstance(lane.engine.pool, BoundedPool):
                lane.engine.pool.retire()

    def abandon(self) -> None:
        """Let go of the idle connections of an event loop that is closed."""
        for lane in (self.writer, self.reader):
            if isinstance(lane.engine.pool, BoundedPool):
                lane.engine.pool.abandon(partial(lane.backend.abandon, driver=lane.engine.dialect.driver))

    def dispose(self) -> None:
        """Close the idle connections; those in use are closed when they come back.

        For asyncio, call it inside SQLAlchemy's greenlet.
        """
        shared = self.writer.engine.pool is self.reader.engine.pool
        self.writer.engine.dispose()
        if shared:
            self.reader.engine.pool = self.writer.engine.pool
        else:
            self.reader.engine.dispose()


EngineMaker = Callable[[EngineSettings, Backend, URL, Colour, Clock], Engines]
"""What makes the engines of a colour; :func:`create_engines` is the one that programs use."""


def create_engines(settings: EngineSettings, backend: Backend, url: URL, colour: Colour, clock: Clock) -> Engines:
    """Create both roles' engines; no connection is made yet.

    :param url: vetted and with the driver of the colour.
    :raises InvalidURL: SQLAlchemy cannot make an engine of it.
    """
    capacity = _capacity(settings, backend, url, colour, clock)
    gated = backend.gate(settings.connection)
    gate = None if gated is None else gate_for(gated[0], capacity.timeout_s)
    lanes: dict[Role, Lane] = {}
    for role in (Role.WRITER, Role.READER):
        shared = lanes[Role.WRITER].engine.pool if lanes and backend.one_connection(url) else None
        engine, async_engine = _create(settings, backend, url, colour, role, capacity, clock, shared)
        lanes[role] = Lane(
            backend, role, engine, async_engine, gate if gated is not None and role in gated[1] else None
        )
    # only now: SQLAlchemy's own listeners of both engines come first, and ours have the last word
    for role, lane in lanes.items():
        if role is Role.WRITER or not backend.one_connection(url):
            _install_on_pool(lane.engine, settings, backend, url, role)
    for hook in settings.on_engine_create:
        for lane in lanes.values():
            hook(lane.engine)
    for lane in lanes.values():
        arriving.install(lane.engine, backend, colour)
    return Engines(lanes[Role.WRITER], lanes[Role.READER])


def _capacity(settings: EngineSettings, backend: Backend, url: URL, colour: Colour, clock: Clock) -> Capacity:
    size, overflow = settings.max_pool_size, settings.max_overflow
    timeout_s = DEFAULT_POOL_TIMEOUT_S if settings.pool_timeout is None else float(settings.pool_timeout)
    if backend.one_connection(url):
        size, overflow = 1, 0
    target_s = settings.pool_queue_target
    shedding = None if target_s is None else Shedding(target_s, settings.pool_queue_interval)
    return Capacity(size, overflow, timeout_s, in_tasks=colour is Colour.ASYNCIO, shedding=shedding, clock=clock)


def _create(
    settings: EngineSettings,
    backend: Backend,
    url: URL,
    colour: Colour,
    role: Role,
    capacity: Capacity,
    clock: Clock,
    shared: Any,
) -> tuple[Engine, AsyncEngine | None]:
    driver = url.get_driver_name()
    arguments = _arguments(settings, backend, url, driver, role)
    if shared is not None:
        arguments["pool"] = shared
    else:
        pool = {
            "poolclass": AsyncBoundedPool if colour is Colour.ASYNCIO else BoundedPool,
            "capacity": capacity,
            "ping_idle_s": settings.pool_pre_ping_idle,
            "checks": Checks(backend, driver, role, settings.pool_ping_timeout),
            "lifetime_s": -1.0 if backend.one_connection(url) else float(settings.connection_recycle_time),
            "lifetime_jitter": settings.pool_lifetime_jitter,
            "clock": clock,
        }
        arguments = {**pool, **arguments}  # a backend may bring a pool of its own
    async_engine: AsyncEngine | None = None
    try:
        if colour is Colour.ASYNCIO:
            from sqlalchemy.ext.asyncio import create_async_engine  # needs greenlet

            async_engine = create_async_engine(url, **arguments)
            engine = async_engine.sync_engine
        else:
            engine = create_engine(url, **arguments)
    except (SQLAlchemyError, TypeError) as error:
        raise InvalidURL(f"no engine can be made for {settings.masked_url}: {error}") from error
    _install(engine, settings, backend, driver, role, url)
    return engine, async_engine


def _arguments(settings: EngineSettings, backend: Backend, url: URL, driver: str, role: Role) -> dict[str, Any]:
    arguments = backend.engine_arguments(url, driver, role, settings.session_settings())
    arguments["connect_args"] = {**arguments.get("connect_args", {}), **settings.connect_args}
    options = dict(settings.execution_options)
    if settings.schema_translate_map:
        options["schema_translate_map"] = dict(settings.schema_translate_map)  # SQLAlchemy adds to it
    if options:
        arguments["execution_options"] = options
    for name in ("json_serializer", "json_deserializer"):
        if getattr(settings, name) is not None:
            arguments[name] = getattr(settings, name)
    if settings.logging_name:
        arguments["logging_name"] = settings.logging_name
        arguments["pool_logging_name"] = settings.logging_name
    return arguments


def _install(engine: Engine, settings: EngineSettings, backend: Backend, driver: str, role: Role, url: URL) -> None:
    begin: Callable[[Any], None] | None = backend.begin(driver, role, url, settings.session_settings())
    if begin is not None:
        # do_begin is a method of SQLAlchemy's Dialect interface; each engine has a dialect of its own
        cast(Any, engine.dialect).do_begin = begin
    translate.install(engine, backend, role)
    install_filters(engine.dialect)
    _log(settings)
    if settings.connection_trace:
        trace.install(engine)


def _install_on_pool(engine: Engine, settings: EngineSettings, backend: Backend, url: URL, role: Role) -> None:
    driver = url.get_driver_name()
    session_settings = settings.session_settings()
    said: set[str] = set()

    def opened(connection: Any, record: Any) -> None:
        facts: SessionFacts = backend.open_session(connection, driver, role, session_settings)
        record.info[FACTS] = facts
        if isinstance(record, Record):
            record.stand(facts)
        if facts.warning and facts.warning not in said:
            said.add(facts.warning)
            LOG.warning(facts.warning)

    def dropped(connection: Any, record: Any, error: BaseException | None) -> None:
        backend.before_close(connection)

    keepalive.install(engine, settings, backend, url)
    event.listen(engine, "connect", opened)
    event.listen(engine, "invalidate", dropped)
    credentials.install(engine, settings)
    fork.install(engine)


def _log(settings: EngineSettings) -> None:
    """Raise the level of SQLAlchemy's log if the setting asks for it; 0 leaves it to the application."""
    if settings.connection_debug >= 50:
        level = logging.DEBUG if settings.connection_debug >= 100 else logging.INFO
        logging.getLogger("sqlalchemy.engine").setLevel(level)
