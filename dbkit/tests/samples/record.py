"""Record drivers' errors from real servers: ``python -m dbkit.tests.samples.record [product ...]``.

With another version of SQLAlchemy installed, ``--shaped-only`` adds what that version makes of the same errors.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import NullPool

from dbkit.testing import servers
from dbkit.tests.samples import on_mysql, on_postgresql, on_sqlite
from dbkit.tests.samples.rulesets import RULESETS
from dbkit.tests.samples.specimen import PRODUCTS, Sample, dissect, load, store, verdict_on
from dbkit.tests.samples.stage import Provocation, Stage

# Driver of the URL, package whose version is noted.
DRIVERS = {
    "postgresql": {
        "psycopg": "psycopg", "psycopg_async": "psycopg", "psycopg2": "psycopg2-binary", "asyncpg": "asyncpg",
    },
    "mysql": {"pymysql": "PyMySQL", "mysqldb": "mysqlclient", "asyncmy": "asyncmy", "aiomysql": "aiomysql"},
    "sqlite": {"pysqlite": "", "aiosqlite": "aiosqlite"},
}  # fmt: skip
_OTHERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "sqlite": "sqlite+pysqlite"}
_ON = {"postgresql": on_postgresql, "mysql": on_mysql, "sqlite": on_sqlite}
# SQLAlchemy's adapter gives these another shape in each of its versions, so they are recorded with every version.
_SHAPED_BY_SQLALCHEMY = frozenset({"asyncpg"})
_PORTS = {"postgresql": 5432, "mysql": 3306}


def provocations(product: str) -> tuple[Provocation, ...]:
    """Return what is provoked on a product."""
    found: tuple[Provocation, ...] = _ON[product].PROVOCATIONS
    return found


def prepare(product: str, url: URL) -> URL:
    """Create a database with the tables that the provocations need, and return its URL."""
    own = url.set(database="dbkit_samples")
    for place, statements in ((url, _ON[product].DATABASE), (own, _ON[product].SCHEMA)):
        with _open(product, place) as session:
            for statement in statements:
                session.exec_driver_sql(statement)
    return own


@contextmanager
def _place_of(product: str, url: URL) -> Iterator[URL]:
    """Return where one provocation takes place: a server's database, or a file that is made for it."""
    if product != "sqlite":
        yield url
        return
    with TemporaryDirectory() as folder:
        place = url.set(database=f"{folder}/sample.db")
        with _open(product, place) as session:
            for statement in on_sqlite.SCHEMA:
                session.exec_driver_sql(statement)
        yield place


def _others(product: str) -> Callable[[URL], Connection]:
    def connect(url: URL) -> Connection:
        return _engine(url.set(drivername=_OTHERS[product])).connect()

    return connect


@functools.lru_cache(maxsize=8)
def _engine(url: URL) -> Engine:
    """Return an engine that asks a server about itself once, not for each of hundreds of sessions; it keeps none."""
    return create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")


@contextmanager
def _open(product: str, url: URL) -> Iterator[Connection]:
    with _others(product)(url) as session:
        yield session
    session.engine.dispose()


def take(product: str, url: URL, driver: str, provocation: Provocation, server: str) -> Sample:
    """Provoke one error with one driver and return what was seen."""
    with _place_of(product, url.set(drivername=f"{product}+{driver}")) as place:
        stage = Stage(place, _others(product), _ON[product].WITNESS)
        try:
            caught = stage.play(provocation)
        finally:
            stage.close()
    package = DRIVERS[product][driver]
    sample = Sample(
        provocation=provocation.name,
        how=provocation.how,
        phase=provocation.phase,
        sql=provocation.sql,
        driver=driver,
        driver_version=version(package) if package else ".".join(map(str, sys.version_info[:3])),
        server_version=server,
        sqlalchemy=".".join(sqlalchemy.__version__.split(".")[:2]),
        is_disconnect=caught.is_disconnect,
        aftermath=caught.aftermath.value,
        layers=_without_port(dissect(caught.error), url.port, _PORTS.get(product)),
    )
    return Sample(**{**sample.__dict__, "expected": verdict_on(RULESETS[product], sample)})


def server_version(product: str, url: URL) -> str:
    """Return the version of the server, or of the SQLite library."""
    query = "SELECT sqlite_version()" if product == "sqlite" else "SELECT version()"
    with _open(product, url) as session:
        text = str(session.exec_driver_sql(query).scalar_one())
    return text.split(" on ")[0].split(" (")[0].removeprefix("PostgreSQL ")


def _without_port(found: Any, port: int | None, usual: int | None) -> Any:
    """Return the same with the usual port in the place of the throwaway server's."""
    if isinstance(found, str):
        return found.replace(str(port), str(usual)) if port else found
    if isinstance(found, list):
        return [_without_port(item, port, usual) for item in found]
    if isinstance(found, dict):
        return {name: _without_port(item, port, usual) for name, item in found.items()}
    return found


@dataclass(frozen=True)
class Place:
    """Where the errors of a product are provoked.

    :param standby: a server in recovery, where the product has such.
    """

    url: URL
    standby: URL | None = None


@contextmanager
def place_of(product: str) -> Iterator[Place]:
    """Start throwaway servers, or name SQLite; the tables are there.

    :raises BackendNotAvailable: there is no server of this product here.
    """
    if product == "sqlite":
        yield Place(make_url("sqlite://"))
        return
    with ExitStack() as stack:
        server = stack.enter_context(servers.private(product, {"max_connections": 40}))
        standby = None
        if product == "postgresql":
            standby = stack.enter_context(servers.private(product))
            standby.stop()
            (Path(str(standby.folder)) / "data" / "standby.signal").touch()
            standby.start()
        url = server.url(driver=_OTHERS[product].partition("+")[2])
        yield Place(prepare(product, url), standby.url() if standby else None)


def record(product: str, place: Place, only: str = "", drivers: Iterable[str] = ()) -> list[Sample]:
    """Provoke everything with every driver of the product and return the samples, in the order of the provocations."""
    version_there = server_version(product, place.url)
    samples = []
    for provocation in provocations(product):
        url = place.standby if provocation.standby else place.url
        for driver in drivers or DRIVERS[product]:
            if url is None or only not in provocation.name or driver not in (provocation.drivers or (driver,)):
                continue
            samples.append(take(product, url, driver, provocation, version_there))
    return samples


def merge(product: str, old: list[Sample], new: list[Sample], shaped: frozenset[str]) -> list[Sample]:
    """Return the new samples with the old ones that they do not replace, in the order of the provocations.

    :param shaped: the drivers that were recorded; empty means all.
    """
    here = ".".join(sqlalchemy.__version__.split(".")[:2])
    names = [provocation.name for provocation in provocations(product)]
    kept = [
        sample
        for sample in old
        if sample.provocation in names
        and (sample.driver not in shaped if shaped else sample.driver in _SHAPED_BY_SQLALCHEMY)
        or (sample.driver in _SHAPED_BY_SQLALCHEMY and sample.sqlalchemy != here and sample.provocation in names)
    ]
    kept = [sample for sample in kept if not (sample.driver in _SHAPED_BY_SQLALCHEMY and sample.sqlalchemy == here)]
    order = {name: number for number, name in enumerate(names)}
    return sorted([*new, *kept], key=lambda sample: (order[sample.provocation], sample.driver, sample.sqlalchemy))


def main() -> None:
    """Record the samples of the products that are named, or of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("products", nargs="*", default=PRODUCTS)
    parser.add_argument("--shaped-only", action="store_true", help="only the drivers that SQLAlchemy's version shapes")
    parser.add_argument("--show", help="show what the provocations with this in their name give, and write nothing")
    parser.add_argument(
        "--judge-only", action="store_true", help="apply the rules of today to the samples there are, without servers"
    )
    arguments = parser.parse_args()
    for product in arguments.products:
        if arguments.judge_only:
            rules = RULESETS[product]
            store(product, [replace(sample, expected=verdict_on(rules, sample)) for sample in load(product)])
            continue
        shaped = _SHAPED_BY_SQLALCHEMY.intersection(DRIVERS[product]) if arguments.shaped_only else frozenset()
        if arguments.shaped_only and not shaped:
            continue
        with place_of(product) as place:
            new = record(product, place, arguments.show or "", shaped)
        if arguments.show is not None:
            for sample in new:
                print(sample.label, sample.layers, sample.expected, sep="\n  ")
            continue
        samples = merge(product, load(product), new, shaped)
        store(product, samples)
        print(f"{product}: {len(new)} recorded, {len(samples)} in all")


if __name__ == "__main__":
    main()
