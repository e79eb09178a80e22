"""The errors that dbkit raises, and what each says about the transaction.

Every error that a database reports arrives as one :class:`DBError`. Its class says what a caller can do about it,
:attr:`DBError.transient` whether the same work may succeed when it is tried again from the start, and
:attr:`DBError.outcome` what became of the transaction. The driver's own exception is :attr:`DBError.orig` and the
``__cause__``.

Class names that oslo.db's users know keep their meaning and their constructors.
"""

from __future__ import annotations

from dbkit.exceptions.conflicts import (
    Conflict,
    LimitReached,
    Staleness,
    StaleRow,
)
from dbkit.exceptions.database import (
    CommitUnknown,
    DBAccessDenied,
    DBConnectionError,
    DBConsistencyError,
    DBConstraintError,
    DBDataError,
    DBDeadlock,
    DBDuplicateEntry,
    DBExclusionError,
    DBIntegrityError,
    DBInvalidUnicodeParameter,
    DBLockTimeout,
    DBNonExistentConstraint,
    DBNonExistentDatabase,
    DBNonExistentTable,
    DBNotNullError,
    DBNotPrimary,
    DBNotSupportedError,
    DBQueryCanceled,
    DBReadOnly,
    DBReferenceError,
    DBSerializationFailure,
    DBTooManyConnections,
    DeadlineExceeded,
    PoolOverloaded,
    PoolTimeout,
    ReplayDiverged,
    TransactionDoomed,
)
from dbkit.exceptions.root import (
    DBError,
    DriverError,
    Outcome,
)
from dbkit.exceptions.usage import (
    AlreadyStartedError,
    ArgumentNotRepeatable,
    BackendMissing,
    BackendNotAvailable,
    BlindUpdate,
    CantStartEngineError,
    DriverMissing,
    DriverRefused,
    HandleNotRequested,
    InvalidContext,
    InvalidDecoration,
    InvalidSetting,
    InvalidToken,
    InvalidURL,
    ModeConflict,
    NoTransaction,
    RetryRequest,
    TransactionManaged,
    TransactionOwnedElsewhere,
    UnknownSetting,
    UsageError,
)

NoEngineContextEstablished = NoTransaction
ContextNotRequestedError = HandleNotRequested

__all__ = [
    "AlreadyStartedError",
    "ArgumentNotRepeatable",
    "BackendMissing",
    "BackendNotAvailable",
    "BlindUpdate",
    "CantStartEngineError",
    "CommitUnknown",
    "Conflict",
    "ContextNotRequestedError",
    "DBAccessDenied",
    "DBConnectionError",
    "DBConsistencyError",
    "DBConstraintError",
    "DBDataError",
    "DBDeadlock",
    "DBDuplicateEntry",
    "DBError",
    "DBExclusionError",
    "DBIntegrityError",
    "DBInvalidUnicodeParameter",
    "DBLockTimeout",
    "DBNonExistentConstraint",
    "DBNonExistentDatabase",
    "DBNonExistentTable",
    "DBNotNullError",
    "DBNotPrimary",
    "DBNotSupportedError",
    "DBQueryCanceled",
    "DBReadOnly",
    "DBReferenceError",
    "DBSerializationFailure",
    "DBTooManyConnections",
    "DeadlineExceeded",
    "DriverError",
    "DriverMissing",
    "DriverRefused",
    "HandleNotRequested",
    "InvalidContext",
    "InvalidDecoration",
    "InvalidSetting",
    "InvalidToken",
    "InvalidURL",
    "LimitReached",
    "ModeConflict",
    "NoEngineContextEstablished",
    "NoTransaction",
    "Outcome",
    "PoolOverloaded",
    "PoolTimeout",
    "ReplayDiverged",
    "RetryRequest",
    "StaleRow",
    "Staleness",
    "TransactionDoomed",
    "TransactionManaged",
    "TransactionOwnedElsewhere",
    "UnknownSetting",
    "UsageError",
]

# Errors are pickled, logged and searched for by their public place, whatever file they are written in.
for _name in __all__:
    globals()[_name].__module__ = __name__
