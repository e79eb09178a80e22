"""Record drivers' errors from real servers: ``python -m dbkit.tests.samples.record [product ...] [--url URL]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import NullPool

from dbkit.backends.build import build_error
from dbkit.backends.rules import RuleSet
from dbkit.exceptions import DBError
from dbkit.tests.samples import on_mysql, on_postgresql, on_sqlite
from dbkit.tests.samples.specimen import PRODUCTS, Sample, dissect, load, store
from dbkit.tests.samples.stage import Provocation, Stage
from dbkit.tests.samples.rulesets import RULESETS

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
    return _ON[product].PROVOCATIONS


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
        other = url.set(drivername=_OTHERS[product])
        return create_engine(other, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect()

    return connect


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


def verdict_on(rules: RuleSet, sample: Sample) -> dict[str, Any]:
    """Return what becomes of a sample: the rule that catches it, and the error that is built."""
    orig = sample.exception()
    verdict = rules.classify(orig)
    error = build_error(
        rules,
        orig,
        statement=sample.sql if sample.phase == "statement" else None,
        is_disconnect=sample.is_disconnect,
        in_transaction=sample.phase != "connect",
        at_commit=sample.phase == "commit",
    )
    return {
        "rule": verdict.rule.label if verdict else None,
        "raises": type(error).__name__,
        "outcome": error.outcome.name,
        "transient": error.transient,
        "fields": _fields_of(error),
        "text": str(error),
    }


def _fields_of(error: DBError) -> dict[str, Any]:
    hidden = {"inner_exception", "cause", "statement", "outcome", "transient"}
    found = {name: getattr(error, name) for name in sorted(type(error).fields() - hidden)}
    return {name: value for name, value in found.items() if value not in (None, [])}


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


def record(product: str, url: URL, only: str = "", drivers: Iterable[str] = ()) -> list[Sample]:
    """Provoke everything with every driver of the product and return the samples, in the order of the provocations."""
    url = prepare(product, url) if product != "sqlite" else url
    server = server_version(product, url)
    samples = []
    for provocation in provocations(product):
        for driver in drivers or DRIVERS[product]:
            if only not in provocation.name or (provocation.drivers and driver not in provocation.drivers):
                continue
            samples.append(take(product, url, driver, provocation, server))
    return samples


def merge(old: list[Sample], new: list[Sample]) -> list[Sample]:
    """Return the new samples, and of the old ones those that another version of SQLAlchemy has shaped."""
    versions = {sample.sqlalchemy for sample in new}
    kept = [
        sample
        for sample in old
        if sample.driver in _SHAPED_BY_SQLALCHEMY and sample.sqlalchemy not in versions
    ]
    return sorted(
        [*new, *kept], key=lambda sample: (_place(sample, new), sample.driver, sample.sqlalchemy)
    )


def _place(sample: Sample, samples: list[Sample]) -> int:
    names = [known.provocation for known in samples]
    return names.index(sample.provocation) if sample.provocation in names else len(names)


def main() -> None:
    """Record the samples of the products that are named, or of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("products", nargs="*", default=PRODUCTS)
    parser.add_argument("--url", help="an existing server, with a superuser; else one is started")
    parser.add_argument("--shaped-only", action="store_true", help="only the drivers that SQLAlchemy's version shapes")
    parser.add_argument("--show", default=None, help="show what this provocation gives, and write nothing")
    arguments = parser.parse_args()
    for product in arguments.products:
        url = make_url(arguments.url) if arguments.url else obtain(product)
        if arguments.show is not None:
            for sample in record(product, url, arguments.show):
                print(sample.label, sample.layers, sample.expected, sep="\n  ")
            continue
        shaped = _SHAPED_BY_SQLALCHEMY.intersection(DRIVERS[product]) if arguments.shaped_only else ()
        new = record(product, url, drivers=shaped)
        old = load(product)
        if arguments.shaped_only:
            versions = {sample.sqlalchemy for sample in new}
            new = [*(one for one in old if one.driver not in shaped or one.sqlalchemy not in versions), *new]
        store(product, merge(old, new))
        print(f"{product}: {len(new)} samples")


def obtain(product: str) -> URL:
    """Start a throwaway server, or name a database in memory."""
    if product == "sqlite":
        return make_url("sqlite://")
    from dbkit.testing import servers  # only here, so that samples can be read where no server can be started

    return servers.obtain(product).url(driver=_OTHERS[product].partition("+")[2])


if __name__ == "__main__":
    main()
