"""What kind of database something leads to, and which functions are meant for it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.dialects import registry
from sqlalchemy.engine import URL, Dialect
from sqlalchemy.exc import NoSuchModuleError
from sqlalchemy.orm import Session, scoped_session

from dbkit.exceptions import UsageError
from dbkit.schema.urls import make_url

ANY = "*"

Pair = tuple[str, str]
"""The name of a dialect and that of a driver, each of which may be ``*``."""

# A dialect, and the one whose functions serve it too.
_PARENTS = {"mariadb": "mysql"}

_EXPRESSION = re.compile(r"([^+\s]+?)(?:\+(\S+))?$")
_KNOWN = ("mariadb", "mssql", "mysql", "oracle", "postgresql", "sqlite", "postgres")


def pair(expression: str) -> Pair:
    """Return the dialect and the driver that ``mysql``, ``mysql+pymysql``, ``*+pyodbc`` or ``*`` name.

    :raises ValueError: it is no such expression.
    """
    found = _EXPRESSION.match(expression) if isinstance(expression, str) else None
    if found is None:
        raise ValueError(f"{expression!r} names no database; write dialect, dialect+driver, *+driver or *")
    return found.group(1), found.group(2) or ANY


def known_pair(expression: str) -> Pair:
    """Return what :func:`pair` does, of a dialect and driver that are there.

    :raises UsageError: SQLAlchemy knows no such dialect or driver; the text offers the nearest.
    """
    try:
        dialect, driver = pair(expression)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if dialect != ANY:
        try:
            registry.load(dialect if driver == ANY else f"{dialect}.{driver}")
        except NoSuchModuleError as missing:
            near = difflib.get_close_matches(dialect, [each for each in _KNOWN if each != dialect], n=1)
            advice = f"did you mean {_corrected(near[0])!r}? " if near and not _is_dialect(dialect) else ""
            raise UsageError(
                f"SQLAlchemy has no dialect {expression!r}: {advice}the function would never be called; where the "
                "dialect is a package of its own, install that"
            ) from missing
    return dialect, driver


def precedence(dialect: str, driver: str) -> Iterator[Pair]:
    """Yield what serves a dialect and driver, the most specific first; what serves MySQL serves MariaDB too."""
    for each in dict.fromkeys((dialect, _PARENTS.get(dialect, dialect), ANY)):
        if driver != ANY:
            yield each, driver
        yield each, ANY


def pair_of(target: Any) -> Pair:
    """Return the dialect and the driver of a URL, a dialect's name, or what is connected.

    A connection knows the product that it leads to, which may be MariaDB with a URL that says MySQL.

    :raises UsageError: it is nothing of the kind.
    """
    if isinstance(target, str) and "://" not in target:
        dialect, driver = pair(target)
        return (dialect, driver) if driver != ANY else _pair_of_url(URL.create(dialect))
    if isinstance(target, str | URL):
        return _pair_of_url(make_url(target))
    if isinstance(target, Dialect):
        return target.name, target.driver
    for name in ("sync_session", "sync_connection", "sync_engine"):  # of asyncio
        inner = getattr(target, name, None)
        if isinstance(inner, Session | Connection | Engine):
            target = inner
    if isinstance(target, scoped_session):
        target = target()
    if isinstance(target, Session):
        target = target.get_bind()
    if isinstance(target, Engine):
        return target.dialect.name, target.dialect.driver
    if isinstance(target, Connection):
        is_mariadb = target.dialect.name == "mysql" and getattr(target.dialect, "is_mariadb", False)
        return "mariadb" if is_mariadb else target.dialect.name, target.dialect.driver
    raise UsageError(
        "which database is meant is read from the first argument: a URL, the name of a dialect, an engine, a "
        f"connection or a session; an object of class {type(target).__name__} was given"
    )


def _pair_of_url(url: URL) -> Pair:
    dialect, _, driver = url.drivername.partition("+")
    if not driver:
        try:
            driver = url.get_dialect().driver
        except NoSuchModuleError:
            driver = ANY  # of a dialect that is not installed the name alone is known
    return dialect, driver


def _is_dialect(name: str) -> bool:
    try:
        registry.load(name)
    except NoSuchModuleError:
        return False
    return True


def _corrected(name: str) -> str:
    return "postgresql" if name == "postgres" else name
