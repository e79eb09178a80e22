"""A worker's database as the isolation kit asks for it, made by hand."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from dbkit.testing import servers
from dbkit.tests.behaviours.combinations import Combination, Product
from dbkit.tests.behaviours.tables import Base

_KINDS = {Product.POSTGRESQL: "postgresql", Product.MARIADB: "mysql"}
_OBSERVERS = {"postgresql": "psycopg", "mysql": "pymysql", "sqlite": "pysqlite"}


class Yard:
    """A database with the tables of the behaviours; ``done`` says what was asked of it."""

    def __init__(self, combination: Combination) -> None:
        self.done: list[str] = []
        self.clones: list[Yard] = []
        self._combination = combination
        self._server: Any = None
        self._folder = ""
        if combination.product in _KINDS:
            self._server = servers.require_or_skip(_KINDS[combination.product])
            self.name = self._server.create_database()
        else:
            self._folder = tempfile.mkdtemp(prefix="dbkit-yard-")
            self.name = str(Path(self._folder) / "yard.db")
        self._build()

    def url(self, driver: str | None = None) -> URL:
        driver = driver or self._combination.driver
        if self._server is None:
            return URL.create(f"sqlite+{driver}", database=self.name)
        scheme = self._combination.scheme
        url: URL = self._server.url(driver=driver, database=self.name, scheme=scheme)
        return url

    def _build(self) -> None:
        engine = self._observer()
        Base.metadata.create_all(engine)

    def _observer(self) -> Any:
        driver = _OBSERVERS[self.url().get_backend_name().replace("mariadb", "mysql")]
        return create_engine(self.url(driver), poolclass=NullPool, isolation_level="AUTOCOMMIT")

    def ask(self, sql: str) -> list[Any]:
        """Return the first column of what another client reads."""
        with self._observer().connect() as connection:
            return list(connection.exec_driver_sql(sql).scalars())

    def clone(self) -> Yard:
        self.done.append("clone")
        self.clones.append(Yard(self._combination))
        return self.clones[-1]

    def empty(self) -> None:
        self.done.append("empty")
        with self._observer().connect() as connection:
            for table in reversed(Base.metadata.sorted_tables):
                connection.exec_driver_sql(f"DELETE FROM {table.name}")

    def rebuild(self) -> None:
        self.done.append("rebuild")
        engine = self._observer()
        Base.metadata.drop_all(engine)
        Base.metadata.create_all(engine)

    def drop(self) -> None:
        self.done.append("drop")
        if self._server is None:
            shutil.rmtree(self._folder, ignore_errors=True)
        else:
            self._server.drop_database(self.name)
