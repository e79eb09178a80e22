"""MariaDB passes the suite for backends, through each of its drivers and under both names of the dialect."""

from __future__ import annotations

from dbkit.backends.mysql import BACKEND
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
    server = servers.require_or_skip("mysql")
    return server.url(database=server.create_database())


MYSQL = BackendUnderTest(
    BACKEND,
    url,
    can=set(Can) - {Can.UNNAMED_DATABASES, Can.DEFERRED_CONSTRAINTS, Can.TRANSACTIONAL_DDL, Can.SERIALIZATION_FAILURES},
    phrases=Phrases(
        short_lock_timeout="SET SESSION innodb_lock_wait_timeout = 1",
        own_session="SELECT CONNECTION_ID()",
        end_session="KILL {session}",
    ),
    fills={
        DBDuplicateEntry: {"constraint"},
        DBReferenceError: {"table", "constraint", "key", "key_table"},
        DBNotNullError: {"columns"},
        DBConstraintError: {"constraint"},
        DBNonExistentTable: {"table"},
    },
)

add_tests(MYSQL, to=__name__)
