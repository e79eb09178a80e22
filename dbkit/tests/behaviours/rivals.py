"""Other clients of the database, which stand in the way: plain SQLAlchemy, outside dbkit."""

from __future__ import annotations

import threading
from typing import Any, Self

from sqlalchemy import text
from sqlalchemy.engine import Connection

from dbkit.testing.servers.polling import wait_until
from dbkit.tests.behaviours.combinations import Product
from dbkit.tests.behaviours.places import Place

_WAIT_S = 20.0

_POSTGRESQL_WAITS = "SELECT pid FROM pg_locks WHERE NOT granted AND pid = :session"


class Rival:
    """A client with a transaction of its own, never chosen as a deadlock's victim.

    A statement that must wait runs in a thread; :meth:`join` says what became of it.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._connection: Connection = place.bare_engine.connect()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        ask = "pg_backend_pid()" if place.product is Product.POSTGRESQL else "CONNECTION_ID()"
        self.session: int = self._connection.execute(text(f"SELECT {ask}")).scalar_one()
        self._connection.rollback()
        if place.product is Product.POSTGRESQL:
            # who looks for deadlocks first is the one that is rolled back
            self._connection.exec_driver_sql("SET deadlock_timeout = '60s'")
            self._connection.commit()

    def outweigh(self) -> None:
        """Make the transaction heavier than the other: InnoDB rolls back the lighter one."""
        if self._place.product is Product.MARIADB:
            values = ", ".join(f"({number})" for number in range(1000, 1040))
            self.execute(f"INSERT INTO audits (id) VALUES {values}")

    def execute(self, sql: str, **parameters: Any) -> None:
        """Execute a statement that need not wait."""
        self._connection.execute(text(sql), parameters)

    def start(self, sql: str, **parameters: Any) -> None:
        """Execute a statement in a thread and return when the server says that it waits for a lock."""

        def work() -> None:
            try:
                self._connection.execute(text(sql), parameters)
            except BaseException as error:  # told by join()
                self._error = error

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()
        wait_until(self._is_waiting, _WAIT_S, f"a lock that {sql!r} waits for")

    def _is_waiting(self) -> bool:
        if self._place.product is Product.POSTGRESQL:
            return bool(self._place.ask(_POSTGRESQL_WAITS, session=self.session))
        # not INNODB_TRX: that view is renewed only when nobody has read it for 0.1 s
        with self._place.observer.connect() as connection:
            status = connection.exec_driver_sql("SHOW ENGINE INNODB STATUS").one()[2]
        transactions = status.split("---TRANSACTION")
        return any("LOCK WAIT" in each and f"thread id {self.session}," in each for each in transactions)

    def join(self) -> None:
        """Wait for the started statement, and raise what it raised."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(_WAIT_S)
            assert not thread.is_alive(), "the rival's statement has not ended"
        if self._error is not None:
            raise self._error

    def commit(self) -> None:
        """Wait for the started statement and commit."""
        self.join()
        self._connection.commit()

    def rollback(self) -> None:
        """Wait for the started statement and roll back."""
        self.join()
        self._connection.rollback()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(_WAIT_S)
        if thread is None or not thread.is_alive():
            self._connection.close()
