"""SQLite's drivers: what each is called, installed as, and accepts in a URL."""

from __future__ import annotations

from collections.abc import Mapping

from dbkit.backends.base import Driver
from dbkit.spec import Colour

DRIVER_ARGUMENTS = frozenset(
    {"cached_statements", "check_same_thread", "detect_types", "isolation_level", "timeout", "uri"}
)
"""What reaches ``sqlite3.connect``. Source: SQLAlchemy, "Connect Strings" of the pysqlite dialect."""

URI_ARGUMENTS = frozenset({"cache", "immutable", "mode", "modeof", "nolock", "psow", "vfs"})
"""What SQLite itself reads, and only where ``uri=true`` stands too. Source: SQLite, "Uniform Resource Identifiers"."""


def _arguments() -> frozenset[str]:
    return DRIVER_ARGUMENTS | URI_ARGUMENTS


DRIVERS: Mapping[str, Driver] = {
    driver.name: driver
    for driver in (
        Driver(
            name="pysqlite",
            colours=frozenset({Colour.BLOCKING}),
            module="sqlite3",
            package="",
            partner="aiosqlite",
            arguments=_arguments,
        ),
        Driver(
            name="aiosqlite",
            colours=frozenset({Colour.ASYNCIO}),
            module="aiosqlite",
            package="dbkit[aiosqlite]",
            partner="pysqlite",
            arguments=_arguments,
        ),
    )
}

DEFAULTS: Mapping[Colour, str] = {Colour.BLOCKING: "pysqlite", Colour.ASYNCIO: "aiosqlite"}
