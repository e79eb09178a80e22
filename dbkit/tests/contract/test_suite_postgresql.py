"""PostgreSQL passes the suite for backends, through each of its drivers."""

from __future__ import annotations

from dbkit.backends.postgresql import BACKEND
from dbkit.exceptions import (
    DBConstraintError,
    DBDuplicateEntry,
    DBNonExistentTable,
    DBNotNullError,
    DBReferenceError,
)
from dbkit.testing import servers
from dbkit.testing.suite import BackendUnderTest, Phrases, add_tests
from dbkit.testing.suite import Capability as Can


def url():
    """Return the URL of a database of this process."""
    server = servers.require_or_skip("postgresql")
    return server.url(database=server.create_database())


POSTGRESQL = BackendUnderTest(
    BACKEND,
    url,
    can=set(Can) - {Can.UNNAMED_DATABASES},
    phrases=Phrases(
        short_lock_timeout="SET lock_timeout = '50ms'",
        hasten_deadlock="SET LOCAL deadlock_timeout = '20ms'",
        own_session="SELECT pg_backend_pid()",
        end_session="SELECT pg_terminate_backend({session}, 5000)",
    ),
    fills={
        DBDuplicateEntry: {"columns", "constraint", "table"},
        DBReferenceError: {"table", "constraint", "key", "key_table"},
        DBNotNullError: {"columns", "table"},
        DBConstraintError: {"constraint", "table"},
        DBNonExistentTable: {"table"},
    },
)

add_tests(POSTGRESQL, to=__name__)
