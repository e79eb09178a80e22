"""SQLite, through the standard library's sqlite3 and through aiosqlite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy.engine import URL

from dbkit.backends.base import Role, SessionFacts, SessionSettings, Standing
from dbkit.backends.cord import Cord
from dbkit.backends.fencing import Fencing, StatusFencing
from dbkit.backends.limits import Limits
from dbkit.backends.provisioning import Provisioning
from dbkit.backends.sqlite import limits, session
from dbkit.backends.sqlite.drivers import DEFAULTS, DRIVERS
from dbkit.backends.sqlite.errors import RULES
from dbkit.exceptions import DBReadOnly
from dbkit.spec import Isolation


class SQLite:
    """SQLite behind dbkit's protocol."""

    name = "sqlite"
    schemes = ("sqlite",)
    rules = RULES
    drivers = DRIVERS
    defaults = DEFAULTS
    ends_only_when_told = True
    begins_at_once = True
    standing = staticmethod(session.standing)
    is_remote = False
    keeps_facts = False

    def vet(self, url: URL) -> URL:
        return session.vet(url)

    def gate(self, url: URL) -> tuple[str, frozenset[Role]] | None:
        return session.gate(url)

    def one_connection(self, url: URL) -> bool:
        return session.is_memory(url)

    def is_unnamed(self, url: URL) -> bool:
        return session.is_unnamed(url)

    def anchor(self, url: URL) -> object | None:
        return session.anchor(url)

    def engine_arguments(self, url: URL, driver: str, role: Role, settings: SessionSettings) -> dict[str, Any]:
        return session.engine_arguments(url, driver, role, settings)

    def open_session(self, connection: Any, driver: str, role: Role, settings: SessionSettings) -> SessionFacts:
        return session.open_session(connection, role, settings)

    def begin(self, driver: str, role: Role, url: URL, settings: SessionSettings) -> Callable[[Any], None] | None:
        return session.begin(url, driver, role)

    def isolate(self, connection: Any, dialect: Any, level: Isolation) -> Callable[[], None] | None:
        return None

    def leave_autocommit(self, connection: Any, dialect: Any) -> Callable[[], None]:
        raise NotImplementedError("SQLite's readers never autocommit")

    def abandon(self, connection: Any, driver: str) -> None:
        if driver == "aiosqlite":
            session.stop_worker(connection)

    def takes_writes(self, connection: Any, driver: str) -> bool:
        """A file has no other server."""
        return True

    def is_not_primary(self, connection: Any, driver: str, error: DBReadOnly) -> bool:
        """A file has no other server."""
        return False

    def before_close(self, connection: Any) -> None:
        session.before_close(connection)

    def provisioning(self) -> Provisioning:
        """Test databases; their code is loaded by those who make some."""
        from dbkit.backends.sqlite.provision import PROVISIONING

        return PROVISIONING

    def fencing(self) -> Fencing:
        """The commit fence; its code is loaded by those who use it."""
        from dbkit.backends.sqlite.fence import SQLiteFence

        return SQLiteFence()

    def status_fencing(self) -> StatusFencing | None:
        """The fence that needs no table."""
        return None

    def ask_standing(self, connection: Any, driver: str) -> Standing:
        return session.standing(connection, driver)

    def cord(self, connection: Any, driver: str) -> Cord | None:
        return limits.cord(connection, driver)

    def limits(self, dialect: Any, *, whole: bool) -> Limits:
        return limits.SQLiteLimits()

    def hurried(self, driver: str, parameters: dict[str, Any], seconds: float) -> Callable[[Any], None] | None:
        """Opening a file waits for nobody."""
        return None


BACKEND = SQLite()
