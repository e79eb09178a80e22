"""What was measured with."""

from __future__ import annotations

import platform
import sqlite3
from importlib import metadata

_PACKAGES = (
    "dbkit",
    "SQLAlchemy",
    "oslo.db",
    "Django",
    "peewee",
    "psycopg",
    "psycopg2-binary",
    "asyncpg",
    "PyMySQL",
    "mysqlclient",
    "asyncmy",
    "aiomysql",
    "aiosqlite",
    "greenlet",
)


def versions() -> dict[str, str]:
    """Return the versions of Python, SQLite and the packages that are installed, by name."""
    found = {"Python": platform.python_version(), "SQLite": sqlite3.sqlite_version}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
