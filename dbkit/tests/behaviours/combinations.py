"""Which product, driver, colour and face a behaviour runs on."""

from __future__ import annotations

import enum
import hashlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from dbkit.spec import Colour


class Product(enum.Enum):
    """A database that the behaviours run on."""

    SQLITE_FILE = "sqlite_file"
    SQLITE_MEMORY = "sqlite_memory"
    POSTGRESQL = "postgresql"
    MARIADB = "mariadb"


class Face(enum.Enum):
    """How the code reaches its transaction."""

    DATABASE = "database"
    CONTEXT = "context"


@dataclass(frozen=True)
class Combination:
    """One way to run a behaviour.

    :param scheme: the dialect's name in the URL.
    :param driver: its driver there.
    :param module: what must be importable.
    :param package: what to install if it is not.
    """

    product: Product
    scheme: str
    driver: str
    colour: Colour
    module: str
    package: str
    face: Face = Face.DATABASE

    @cached_property
    def name(self) -> str:
        """A word that ends the name of a test class."""
        parts = [self.product.value]
        if self.product in (Product.POSTGRESQL, Product.MARIADB):
            parts.append(self.driver if self.scheme != "mariadb" else f"mariadb_{self.driver}")
        parts.append(self.colour.value)
        if self.face is Face.CONTEXT:
            parts.append("context")
        return "_".join(parts)

    @cached_property
    def missing(self) -> str | None:
        """Why it cannot run here, or None."""
        if importlib.util.find_spec(self.module) is None:
            return f"the driver {self.driver} is not installed: pip install {self.package}"
        return None


def is_installed(driver: str) -> bool:
    """Return whether a driver can be used here; mysqlclient has no wheel, and is there only where it was built."""
    return importlib.util.find_spec({"mysqldb": "MySQLdb"}.get(driver, driver)) is not None


def drivers_in_turn(test: str, combinations: Iterable[Combination], turn: int = 1) -> frozenset[Combination]:
    """Return one driver of each product, colour and face, by the test's name: every driver has its turn.

    One that is not installed has none, unless no other is there.

    :param turn: another one gives the test the next driver; where there are two, those of 1 and 2 are both.
    """
    groups = _grouped(combinations, lambda each: (each.product, each.colour, each.face))
    chosen = set()
    for group in groups:
        candidates = [each for each in group if not each.missing] or group
        chosen.add(candidates[(_number(test, candidates[0].name) + turn) % len(candidates)])
    return frozenset(chosen)


def colours_in_turn(test: str, combinations: Iterable[Combination]) -> frozenset[Combination]:
    """Return one combination on SQLite and one on a server, for each face: product and colour have their turns too.

    Its driver is another one than :func:`drivers_in_turn` gives, where there are two.
    """
    others = drivers_in_turn(test, combinations, turn=2)
    chosen = set()
    for group in _grouped(others, lambda each: (each.scheme == "sqlite", each.face)):
        candidates = [each for each in group if not each.missing] or group
        chosen.add(candidates[_number("colour of", test, candidates[0].name) % len(candidates)])
    return frozenset(chosen)


_TURNS: Mapping[str, Callable[[str, Iterable[Combination]], frozenset[Combination]]] = {
    "drivers": drivers_in_turn,
    "colours": colours_in_turn,
}


def turn_named(name: str | None) -> Callable[[str, Iterable[Combination]], frozenset[Combination]] | None:
    """Return what a value of ``DBKIT_TEST_IN_TURN`` stands for; None: a behaviour runs on everything.

    :raises ValueError: it stands for nothing.
    """
    if not name:
        return None
    if name not in _TURNS:
        raise ValueError(f"DBKIT_TEST_IN_TURN is {name!r}; it may be {' or '.join(_TURNS)}, or empty for everything")
    return _TURNS[name]


def _grouped(
    combinations: Iterable[Combination], key: Callable[[Combination], tuple[object, ...]]
) -> list[list[Combination]]:
    groups: dict[tuple[object, ...], list[Combination]] = {}
    for each in sorted(combinations, key=lambda each: each.name):
        groups.setdefault(key(each), []).append(each)
    return list(groups.values())


def _number(*words: str) -> int:
    # not a checksum: those of names that differ in one letter hang together
    return int.from_bytes(hashlib.blake2b(" ".join(words).encode(), digest_size=4).digest(), "big")


def _rows() -> tuple[Combination, ...]:
    rows = []
    for product in (Product.SQLITE_FILE, Product.SQLITE_MEMORY):
        rows += [
            Combination(product, "sqlite", "pysqlite", Colour.BLOCKING, "sqlite3", "python3"),
            Combination(product, "sqlite", "aiosqlite", Colour.ASYNCIO, "aiosqlite", "aiosqlite"),
        ]
    for driver, colour in (
        ("psycopg", Colour.BLOCKING),
        ("psycopg", Colour.ASYNCIO),
        ("psycopg2", Colour.BLOCKING),
        ("asyncpg", Colour.ASYNCIO),
    ):
        package = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary"}.get(driver, driver)
        rows.append(Combination(Product.POSTGRESQL, "postgresql", driver, colour, driver, package))
    for scheme, driver, colour in (
        ("mysql", "pymysql", Colour.BLOCKING),
        ("mysql", "mysqldb", Colour.BLOCKING),
        ("mariadb", "pymysql", Colour.BLOCKING),
        ("mysql", "asyncmy", Colour.ASYNCIO),
        ("mysql", "aiomysql", Colour.ASYNCIO),
        ("mariadb", "asyncmy", Colour.ASYNCIO),
    ):
        module = "MySQLdb" if driver == "mysqldb" else driver
        package = {"mysqldb": "mysqlclient", "pymysql": "PyMySQL"}.get(driver, driver)
        rows.append(Combination(Product.MARIADB, scheme, driver, colour, module, package))
    faces = [
        Combination(**{**vars(each), "face": Face.CONTEXT})
        for each in rows
        if each.product is Product.SQLITE_FILE or each.driver == "psycopg"
    ]
    return (*rows, *faces)


def _where(choice: object, pick: object) -> frozenset[Combination]:
    return frozenset(each for each in choice if pick(each))  # type: ignore[attr-defined,operator]


#: In a stable order, so that tests are always listed alike.
ALL = _rows()

#: MariaDB under its own name in the URL: for what reads the URL or the name of the dialect. The sets below are without.
SPELLINGS = _where(ALL, lambda each: each.scheme == "mariadb")

#: Each driver, in each colour, through the Database and through context objects.
EVERY_FACE = frozenset(ALL) - SPELLINGS

#: Each driver in each colour.
EVERY_DRIVER = _where(EVERY_FACE, lambda each: each.face is Face.DATABASE)

SQLITE_FILE = _where(EVERY_DRIVER, lambda each: each.product is Product.SQLITE_FILE)
SQLITE_MEMORY = _where(EVERY_DRIVER, lambda each: each.product is Product.SQLITE_MEMORY)
SQLITE = SQLITE_FILE | SQLITE_MEMORY
POSTGRESQL = _where(EVERY_DRIVER, lambda each: each.product is Product.POSTGRESQL)
MARIADB = _where(EVERY_DRIVER, lambda each: each.product is Product.MARIADB)
SERVERS = POSTGRESQL | MARIADB

BLOCKING = _where(ALL, lambda each: each.colour is Colour.BLOCKING)
ASYNCIO = _where(ALL, lambda each: each.colour is Colour.ASYNCIO)

#: Each product once in each colour, SQLite as a file: for what does not depend on the driver.
ONE_PER_PRODUCT = SQLITE_FILE | _where(SERVERS, lambda each: each.driver in ("psycopg", "pymysql", "asyncmy"))

#: One database in each colour: for what does not depend on the database.
ONE = SQLITE_FILE

#: Both faces on one database.
BOTH_FACES = _where(ALL, lambda each: each.product is Product.SQLITE_FILE)
