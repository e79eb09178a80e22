"""PostgreSQL's drivers: what each is called, installed as, and accepts in a URL."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from dbkit.backends.base import Driver
from dbkit.spec import Colour

LIBPQ = frozenset(
    """
    application_name channel_binding client_encoding connect_timeout dbname fallback_application_name gssdelegation
    gssencmode gsslib host hostaddr keepalives keepalives_count keepalives_idle keepalives_interval krbsrvname
    load_balance_hosts max_protocol_version min_protocol_version oauth_client_id oauth_client_secret oauth_issuer
    oauth_scope options passfile password port replication require_auth requirepeer scram_client_key scram_server_key
    service ssl_max_protocol_version ssl_min_protocol_version sslcert sslcertmode sslcompression sslcrl sslcrldir
    sslkey sslkeylogfile sslmode sslnegotiation sslpassword sslrootcert sslsni target_session_attrs tcp_user_timeout
    user
    """.split()
)
"""Connection keywords. Source: PostgreSQL 18, libpq, "Parameter Key Words". An older libpq knows fewer."""

_KEEPALIVE = frozenset({"keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval"})

ASYNCPG = frozenset(
    "host port user password passfile service servicefile database command_timeout ssl krbsrvname gsslib "
    "target_session_attrs".split()
)
"""Arguments of asyncpg.connect that a text can express. Source: asyncpg 0.32, API reference, ``connect``."""

_ASYNCPG_OF_SQLALCHEMY = frozenset({"prepared_statement_cache_size"})
"""Source: SQLAlchemy, asyncpg dialect, "Prepared Statement Cache"."""


def _psycopg_arguments() -> frozenset[str]:
    try:
        from psycopg import pq
    except ImportError:
        return LIBPQ
    return frozenset(option.keyword.decode() for option in pq.Conninfo.get_defaults())


def _psycopg2_arguments() -> frozenset[str]:
    try:
        import psycopg2
        from psycopg2.extensions import parse_dsn
    except ImportError:
        return LIBPQ

    def is_known(name: str) -> bool:
        try:
            parse_dsn(f"{name}=1")
        except psycopg2.ProgrammingError:
            return False
        return True

    return frozenset(name for name in LIBPQ if is_known(name))


def _asyncpg_arguments() -> frozenset[str]:
    try:
        import asyncpg
    except ImportError:
        return ASYNCPG | _ASYNCPG_OF_SQLALCHEMY
    return (ASYNCPG & frozenset(inspect.signature(asyncpg.connect).parameters)) | _ASYNCPG_OF_SQLALCHEMY


DRIVERS: Mapping[str, Driver] = {
    driver.name: driver
    for driver in (
        Driver(
            name="psycopg",
            colours=frozenset({Colour.BLOCKING, Colour.ASYNCIO}),
            module="psycopg",
            package="dbkit[postgresql]",
            partner="psycopg",
            arguments=_psycopg_arguments,
            translations={"ssl": "sslmode"},
            keepalive_arguments=_KEEPALIVE,
        ),
        # SQLAlchemy's second name of the same driver, for asyncio alone.
        Driver(
            name="psycopg_async",
            colours=frozenset({Colour.ASYNCIO}),
            module="psycopg",
            package="dbkit[postgresql]",
            partner="psycopg",
            arguments=_psycopg_arguments,
            translations={"ssl": "sslmode"},
            keepalive_arguments=_KEEPALIVE,
        ),
        Driver(
            name="psycopg2",
            colours=frozenset({Colour.BLOCKING}),
            module="psycopg2",
            package="dbkit[psycopg2]",
            partner="asyncpg",
            arguments=_psycopg2_arguments,
            translations={"ssl": "sslmode", "database": "dbname"},
            keepalive_arguments=_KEEPALIVE,
        ),
        # asyncpg reads sslmode's values in ``ssl``. Source: asyncpg, API reference, ``connect``.
        Driver(
            name="asyncpg",
            colours=frozenset({Colour.ASYNCIO}),
            module="asyncpg",
            package="dbkit[asyncpg]",
            partner="psycopg2",
            arguments=_asyncpg_arguments,
            translations={"sslmode": "ssl", "dbname": "database"},
        ),
    )
}

DEFAULTS: Mapping[Colour, str] = {Colour.BLOCKING: "psycopg", Colour.ASYNCIO: "psycopg"}
