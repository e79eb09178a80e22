"""MySQL's and MariaDB's drivers: what each is called, installed as, and accepts in a URL."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from dbkit.backends.base import Driver
from dbkit.spec import Colour

PYMYSQL = frozenset(
    """
    bind_address charset client_flag collation connect_timeout database db host init_command local_infile
    max_allowed_packet passwd password port program_name read_default_file read_default_group read_timeout sql_mode
    ssl_key_password ssl_verify_cert ssl_verify_identity unix_socket use_unicode user write_timeout
    """.split()
)
"""Source: PyMySQL, "Connection Object". What a text cannot express, or would turn round ("false" is true), is left out:
``autocommit``, ``auth_plugin_map``, ``conv``, ``cursorclass``, ``ssl``, ``ssl_disabled`` and the like go into the
setting ``connect_args``."""

MYSQLCLIENT = frozenset(
    """
    auth_plugin charset client_flag collation compress connect_timeout database db executemany_fallback host
    init_command local_infile named_pipe passwd password port read_default_file read_default_group read_timeout
    server_public_key_path sql_mode ssl_mode unix_socket use_unicode user write_timeout
    """.split()
)
"""Source: mysqlclient, ``MySQLdb.connections.Connection``."""

ASYNCMY = frozenset(
    """
    charset client_flag connect_timeout database db host init_command local_infile password port program_name
    read_default_file read_default_group read_timeout sql_mode unix_socket use_unicode user
    """.split()
)
"""Source: asyncmy, ``asyncmy.connection.Connection``."""

AIOMYSQL = frozenset(
    """
    auth_plugin charset client_flag connect_timeout db host init_command local_infile password port program_name
    read_default_file read_default_group sql_mode unix_socket use_unicode user
    """.split()
)
"""Source: aiomysql, "Connection"."""

_OF_SQLALCHEMY = frozenset({"ssl_ca", "ssl_capath", "ssl_cert", "ssl_check_hostname", "ssl_cipher", "ssl_key"})
"""Gathered into the argument ``ssl``. Source: SQLAlchemy, MySQL dialects, "SSL Connections"."""


def _known_to(module: str, connect: str, known: frozenset[str]) -> Callable[[], frozenset[str]]:
    """Return what gives the names that the installed version accepts, or all where that cannot be asked."""

    def arguments() -> frozenset[str]:
        try:
            target: Any = import_module(module)
            parameters = inspect.signature(getattr(target, connect)).parameters
        except (ImportError, AttributeError, TypeError, ValueError):
            return known | _OF_SQLALCHEMY
        return (known & frozenset(parameters)) | _OF_SQLALCHEMY

    return arguments


def _mysqlclient_arguments() -> frozenset[str]:
    return MYSQLCLIENT | _OF_SQLALCHEMY


DRIVERS: Mapping[str, Driver] = {
    driver.name: driver
    for driver in (
        Driver(
            name="pymysql",
            colours=frozenset({Colour.BLOCKING}),
            module="pymysql",
            package="dbkit[mysql]",
            partner="asyncmy",
            arguments=_known_to("pymysql.connections", "Connection", PYMYSQL),
        ),
        Driver(
            name="mysqldb",
            colours=frozenset({Colour.BLOCKING}),
            module="MySQLdb",
            package="dbkit[mysqlclient]",
            partner="asyncmy",
            arguments=_mysqlclient_arguments,
        ),
        Driver(
            name="asyncmy",
            colours=frozenset({Colour.ASYNCIO}),
            module="asyncmy",
            package="dbkit[asyncmy]",
            partner="pymysql",
            arguments=_known_to("asyncmy", "connect", ASYNCMY),
        ),
        Driver(
            name="aiomysql",
            colours=frozenset({Colour.ASYNCIO}),
            module="aiomysql",
            package="dbkit[aiomysql]",
            partner="pymysql",
            arguments=_known_to("aiomysql", "connect", AIOMYSQL),
        ),
    )
}

DEFAULTS: Mapping[Colour, str] = {Colour.BLOCKING: "pymysql", Colour.ASYNCIO: "asyncmy"}
