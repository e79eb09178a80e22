"""PostgreSQL, through psycopg, psycopg2 and asyncpg."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy.engine import URL

from dbkit.backends.base import Role, SessionFacts, SessionSettings, Standing
from dbkit.backends.cord import Cord
from dbkit.backends.fencing import Fencing, StatusFencing
from dbkit.backends.limits import Limits
from dbkit.backends.postgresql import limits, primary, session
from dbkit.backends.postgresql.drivers import DEFAULTS, DRIVERS
from dbkit.backends.postgresql.errors import RULES
from dbkit.backends.provisioning import Provisioning
from dbkit.exceptions import DBReadOnly
from dbkit.spec import Isolation


class PostgreSQL:
    """PostgreSQL behind dbkit's protocol."""

    name = "postgresql"
    schemes = ("postgresql",)
    rules = RULES
    drivers = DRIVERS
    defaults = DEFAULTS
    ends_only_when_told = True
    begins_at_once = False
    standing = staticmethod(session.standing)
    is_remote = True
    keeps_facts = True

    def vet(self, url: URL) -> URL:
        return url

    def gate(self, url: URL) -> tuple[str, frozenset[Role]] | None:
        return None

    def one_connection(self, url: URL) -> bool:
        return False

    def is_unnamed(self, url: URL) -> bool:
        return False

    def anchor(self, url: URL) -> object | None:
        return None

    def engine_arguments(self, url: URL, driver: str, role: Role, settings: SessionSettings) -> dict[str, Any]:
        return session.engine_arguments(url, driver, role, settings)

    def open_session(self, connection: Any, driver: str, role: Role, settings: SessionSettings) -> SessionFacts:
        return session.open_session(connection, driver, role, settings)

    def begin(self, driver: str, role: Role, url: URL, settings: SessionSettings) -> Callable[[Any], None] | None:
        return None

    def isolate(self, connection: Any, dialect: Any, level: Isolation) -> Callable[[], None] | None:
        return session.isolate(connection, dialect.driver, dialect, level)

    def leave_autocommit(self, connection: Any, dialect: Any) -> Callable[[], None]:
        return session.leave_autocommit(connection, dialect.driver)

    def abandon(self, connection: Any, driver: str) -> None:
        """The socket closes with the objects."""

    def takes_writes(self, connection: Any, driver: str) -> bool:
        return primary.takes_writes(connection)

    def is_not_primary(self, connection: Any, driver: str, error: DBReadOnly) -> bool:
        return primary.is_not_primary(connection, driver)

    def before_close(self, connection: Any) -> None:
        """The server does it when the session ends."""

    def provisioning(self) -> Provisioning:
        """Test databases; their code is loaded by those who make some."""
        from dbkit.backends.postgresql.provision import PROVISIONING

        return PROVISIONING

    def fencing(self) -> Fencing:
        """The commit fence; its code is loaded by those who use it."""
        from dbkit.backends.postgresql.fence import PostgreSQLFence

        return PostgreSQLFence()

    def status_fencing(self) -> StatusFencing | None:
        """The fence that needs no table."""
        from dbkit.backends.postgresql.fence import PostgreSQLStatusFence

        return PostgreSQLStatusFence()

    def ask_standing(self, connection: Any, driver: str) -> Standing:
        return session.ask_standing(connection, driver)

    def cord(self, connection: Any, driver: str) -> Cord | None:
        return limits.cord(connection, driver)

    def limits(self, dialect: Any, *, whole: bool) -> Limits:
        return limits.PostgreSQLLimits(dialect.driver.removesuffix("_async"), dialect.server_version_info, whole)

    def hurried(self, driver: str, parameters: dict[str, Any], seconds: float) -> Callable[[Any], None] | None:
        limits.hurried(driver, parameters, seconds)
        return None


BACKEND = PostgreSQL()
