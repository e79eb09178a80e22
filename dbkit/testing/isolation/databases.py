"""What a test's database must be able to do for each strategy."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from sqlalchemy.engine import URL


@runtime_checkable
class WorkerDatabase(Protocol):
    """A database that belongs to the tests of one process, such as ``template.worker_database()``."""

    def url(self, driver: str | None = None) -> URL:
        """Return its URL."""

    def clone(self) -> Any:
        """Return a new database like it, with ``url`` and ``drop``."""

    def empty(self) -> None:
        """Delete what was written since it was built."""

    def rebuild(self) -> None:
        """Build it anew, under the same URL."""
