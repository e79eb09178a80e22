"""SQLite passes the suite for backends: as a file, and in memory."""

from __future__ import annotations

import atexit
import tempfile
from pathlib import Path

from dbkit.backends.sqlite import BACKEND
from dbkit.exceptions import DBConstraintError, DBDuplicateEntry, DBNonExistentTable, DBNotNullError
from dbkit.testing.suite import BackendUnderTest, Phrases, add_tests
from dbkit.testing.suite import Capability as Can

CAN = {
    Can.ENTRY_POINT,
    Can.BLOCKING,
    Can.ASYNCIO,
    Can.SAVEPOINTS,
    Can.FOREIGN_KEYS,
    Can.CHECK_CONSTRAINTS,
    Can.DEFERRED_CONSTRAINTS,
    Can.TRANSACTIONAL_DDL,
    Can.READ_ONLY_READERS,
    Can.TRANSACTION_STATUS,
    Can.UNNAMED_DATABASES,
    Can.PROVISIONING,
}

FILLS = {
    DBDuplicateEntry: {"columns", "table"},
    DBNotNullError: {"columns", "table"},
    DBConstraintError: {"constraint"},
    DBNonExistentTable: {"table"},
}


def file_url() -> str:
    """Return the URL of a file that goes with the process."""
    folder = tempfile.TemporaryDirectory(prefix="dbkit-suite-")
    atexit.register(folder.cleanup)
    return f"sqlite:///{Path(folder.name) / 'suite.db'}"


FILE = BackendUnderTest(
    BACKEND,
    file_url,
    can=CAN | {Can.FORK, Can.LOCK_TIMEOUT},
    phrases=Phrases(short_lock_timeout={"sqlite_busy_timeout": 0.05}),
    fills=FILLS,
    unnamed="sqlite://",
    label="file",
)
MEMORY = BackendUnderTest(
    BACKEND,
    "sqlite:///file:/dbkit-suite?vfs=memdb&uri=true",
    can=CAN,
    fills=FILLS,
    unnamed="sqlite://",
    label="memory",
)

add_tests(FILE, to=__name__)
add_tests(MEMORY, to=__name__)
