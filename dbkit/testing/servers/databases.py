"""Databases of a server: made, dropped and looked at through whichever blocking driver is installed."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dbkit.backends.processlist import sessions_in
from dbkit.exceptions import BackendNotAvailable, DBConnectionError, DBError, DriverMissing
from dbkit.testing.servers.endpoint import Endpoint
from dbkit.testing.servers.polling import wait_until

_CONNECT_S = 10
_ANSWER_S = 60
_SESSIONS_S = 1.0


def server_version(endpoint: Endpoint) -> str:
    """Connect and return the version that the server tells.

    :raises BackendNotAvailable: it cannot be reached, or no driver is installed.
    """
    try:
        with connected(endpoint, None) as run:
            rows = run("SHOW server_version" if endpoint.kind == "postgresql" else "SELECT VERSION()")
    except (DBError, DriverMissing) as failed:
        raise BackendNotAvailable(
            f"the {endpoint.kind} server at {_place(endpoint)} cannot be used: {failed}"
        ) from failed
    return str(rows[0][0]).split()[0]


def create_database(endpoint: Endpoint, name: str) -> bool:
    """Create an empty UTF-8 database; return False if there is one of that name.

    :raises DBError: the server refused.
    """
    quoted = _quoted(endpoint, name)
    with connected(endpoint, None) as run:
        if run(_EXISTS[endpoint.kind], (name,)):
            return False
        run(
            f"CREATE DATABASE {quoted} ENCODING 'UTF8' TEMPLATE template0"
            if endpoint.kind == "postgresql"
            else f"CREATE DATABASE {quoted} CHARACTER SET utf8mb4"
        )
    return True


def drop_database(endpoint: Endpoint, name: str) -> None:
    """Drop a database with all that uses it: other sessions, and transactions prepared in it. None such is no error.

    :raises DBError: the server refused.
    """
    quoted = _quoted(endpoint, name)
    if endpoint.kind == "postgresql":
        with connected(endpoint, None) as run:
            if prepared := run("SELECT gid FROM pg_prepared_xacts WHERE database = %s", (name,)):
                with connected(endpoint, name) as inside:  # only there can they be rolled back
                    for (gid,) in prepared:
                        inside("ROLLBACK PREPARED '{}'".format(str(gid).replace("'", "''")))
            with contextlib.suppress(TimeoutError):  # FORCE does the same with a pause of 0.1 s, and is there for these
                wait_until(lambda: not run(_END_SESSIONS, (name,)), _SESSIONS_S, "the end of the database's sessions")
            run(f"DROP DATABASE IF EXISTS {quoted} WITH (FORCE)")
        return
    with connected(endpoint, None) as run:
        for session in sessions_in(run, name):
            with contextlib.suppress(DBError):  # it may have ended by itself
                run(f"KILL {session}")
        run(f"SET SESSION lock_wait_timeout = {_ANSWER_S // 2}")
        run(f"DROP DATABASE IF EXISTS {quoted}")


_EXISTS: Mapping[str, str] = {
    "postgresql": "SELECT 1 FROM pg_database WHERE datname = %s",
    "mysql": "SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s",
}


_END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"


def _quoted(endpoint: Endpoint, name: str) -> str:
    mark = '"' if endpoint.kind == "postgresql" else "`"
    return f"{mark}{name.replace(mark, mark * 2)}{mark}"


def _place(endpoint: Endpoint) -> str:
    return endpoint.host if endpoint.port is None else f"{endpoint.host}:{endpoint.port}"


def _libpq_arguments(endpoint: Endpoint, database: str | None) -> dict[str, Any]:
    arguments = {"host": endpoint.host, "port": endpoint.port, "user": endpoint.user, "password": endpoint.password}
    arguments |= {"dbname": database or endpoint.database, "connect_timeout": _CONNECT_S}
    return {name: value for name, value in {**arguments, **endpoint.query}.items() if value is not None}


def _mysql_arguments(endpoint: Endpoint, database: str | None) -> dict[str, Any]:
    arguments = {"host": endpoint.host, "port": endpoint.port, "user": endpoint.user, "password": endpoint.password}
    arguments |= {"database": database or endpoint.database, "unix_socket": endpoint.query.get("unix_socket")}
    arguments |= {"connect_timeout": _CONNECT_S, "read_timeout": _ANSWER_S, "charset": "utf8mb4", "autocommit": True}
    return {name: value for name, value in arguments.items() if value is not None}


#: Drivers of each kind, best first: what is imported, what is installed, and how its arguments are named.
_DRIVERS: Mapping[str, Sequence[tuple[str, str, Callable[[Endpoint, str | None], dict[str, Any]]]]] = {
    "postgresql": (("psycopg", "psycopg", _libpq_arguments), ("psycopg2", "psycopg2", _libpq_arguments)),
    "mysql": (("pymysql", "PyMySQL", _mysql_arguments), ("MySQLdb", "mysqlclient", _mysql_arguments)),
}


class Runner:
    """Runs statements on one connection, each in a transaction of its own."""

    def __init__(self, connection: Any, error: type[Exception], endpoint: Endpoint) -> None:
        self._connection = connection
        self._error = error
        self._endpoint = endpoint

    def __call__(self, statement: str, parameters: Sequence[Any] | None = None) -> Sequence[tuple[Any, ...]]:
        """Run a statement and return its rows.

        :raises DBError: the server refused it.
        """
        return self._run(statement, parameters)[1]

    def record(self, statement: str) -> Mapping[str, Any]:
        """Run a statement and return its first row by the names of the columns; empty if there is none.

        :raises DBError: the server refused it.
        """
        names, rows = self._run(statement, None)
        return dict(zip(names, rows[0], strict=True)) if rows else {}

    def _run(self, statement: str, parameters: Sequence[Any] | None) -> tuple[Sequence[str], Sequence[tuple[Any, ...]]]:
        cursor = self._connection.cursor()
        try:
            cursor.execute(statement, parameters)
            if not cursor.description:
                return [], []
            return [column[0] for column in cursor.description], list(cursor.fetchall())
        except self._error as failed:
            server = f"the {self._endpoint.kind} server at {_place(self._endpoint)}"
            message = f"{server} refused {statement!r}: {failed}"
            raise DBError(failed, message=message, statement=statement) from failed
        finally:
            cursor.close()


@contextlib.contextmanager
def connected(endpoint: Endpoint, database: str | None) -> Iterator[Runner]:
    """Give a connection on which statements can be run.

    :param database: None means the one for connections that need one.
    :raises DBConnectionError: the server does not answer.
    :raises DriverMissing: no blocking driver is installed.
    """
    driver, arguments = _driver_for(endpoint.kind)
    try:
        connection = driver.connect(**arguments(endpoint, database))
    except driver.Error as failed:
        message = f"no connection to the {endpoint.kind} server at {_place(endpoint)}: {failed}"
        raise DBConnectionError(failed, message=message) from failed
    run = Runner(connection, driver.Error, endpoint)
    try:
        if endpoint.kind == "postgresql":
            connection.autocommit = True
            run(f"SET statement_timeout = '{_ANSWER_S}s'")
        yield run
    finally:
        connection.close()


def _driver_for(kind: str) -> tuple[Any, Callable[[Endpoint, str | None], dict[str, Any]]]:
    for module, _package, arguments in _DRIVERS[kind]:
        try:
            return importlib.import_module(module), arguments
        except ImportError:
            continue
    packages = " or ".join(package for _module, package, _arguments in _DRIVERS[kind])
    raise DriverMissing(f"databases of {kind} servers are made through a driver, and none is installed: add {packages}")
