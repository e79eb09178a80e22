"""What a database may be able to do, so that a backend declares it and is held to it."""

from __future__ import annotations

import enum


class Capability(enum.Enum):
    """What not every database can do; the sentence says what is promised by who declares it.

    Where it is not declared its tests are skipped, and say so. Where it is declared they must succeed.

    .. versionadded:: 0.1
    """

    ENTRY_POINT = "an installed distribution names the backend as an entry point dbkit.backends"
    BLOCKING = "one of the drivers serves blocking code"
    ASYNCIO = "one of the drivers serves asyncio"
    SERVER = "clients reach the database through a network, at the URL's host and port"
    SAVEPOINTS = "a savepoint undoes a part of a transaction"
    INDEPENDENT_WRITERS = "two transactions can write different rows at the same time"
    FOREIGN_KEYS = "a row that points to no row is refused"
    CHECK_CONSTRAINTS = "a row that a CHECK constraint excludes is refused"
    DEFERRED_CONSTRAINTS = "a foreign key that is INITIALLY DEFERRED is checked at COMMIT"
    STRICT_COLUMNS = "a text that is longer than its column is refused"
    TRANSACTIONAL_DDL = "a change of the schema is rolled back with its transaction"
    READ_ONLY_READERS = "the database itself refuses the writes of a reader's connection"
    TRANSACTION_STATUS = "the driver or the server tells whether a transaction is open"
    ISOLATION_LEVELS = "READ COMMITTED sees what others commit, REPEATABLE READ sees one snapshot"
    SERIALIZATION_FAILURES = "at SERIALIZABLE, a transaction that cannot be ordered with others is refused"
    DEADLOCK_DETECTION = "of two transactions that wait for each other one is refused"
    LOCK_TIMEOUT = "a statement that waits for a lock too long is refused"
    CONNECTION_LOSS = "another client can end a session"
    FORK = "several processes can use one database"
    UNNAMED_DATABASES = "a URL may name no database, and dbkit makes one up"
    PROVISIONING = "the backend makes test databases: it has a method provisioning()"
