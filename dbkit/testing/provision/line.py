"""A connection to a test database that is kept, because making one costs more than what is done on it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.pool import QueuePool

from dbkit.testing.provision.ground import Ground, opened


class Line:
    """A connection that is kept for the next use, in the process that made it."""

    def __init__(self, ground: Ground, url: URL) -> None:
        self._ground = ground
        self.url = url
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._process = 0

    @contextlib.contextmanager
    def taken(self) -> Iterator[Connection]:
        """Give the connection, or a further one while it is in use."""
        with self._lock:
            if self._engine is not None and self._process != os.getpid():
                self._engine.dispose(close=False)  # the connection is the parent's
                self._engine = None
            if self._engine is None:
                self._process = os.getpid()
                self._engine = self._ground.engine(
                    self.url, isolation_level="AUTOCOMMIT", poolclass=QueuePool, pool_size=1, pool_pre_ping=True
                )
            engine = self._engine
        with opened(self._ground.backend, engine) as connection:
            yield connection

    def close(self) -> None:
        """Close the connection; the next use makes another one."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose(close=self._process == os.getpid())
