"""Which errors of a driver mean that a transaction is lost and can be repeated: by the product's rules, not by text."""

from __future__ import annotations

from typing import Any

from dbkit.backends.base import Backend
from dbkit.backends.build import build_error
from dbkit.engines.connection import TrackedConnection
from dbkit.engines.translate import with_role
from dbkit.exceptions import CommitUnknown, DBConnectionError, DBDeadlock, DBError, DBLockTimeout, DBNotPrimary, Outcome
from dbkit.transaction.replay.digest import digest_of_error

_BEGIN = "BEGIN"


class Faults:
    """Judges the errors that a driver raises on the connections of one engine.

    :param dialect: the engine's own.
    :param writes: the engine is a writer's.
    :ivar drivers: the root of the driver's errors.
    :ivar tells_numbers: its cursors tell the number that the server has given to a row.
    """

    def __init__(self, backend: Backend, dialect: Any, writes: bool) -> None:
        self._backend = backend
        self._writes = writes
        self._dialect = dialect
        self.drivers: type[Exception] = dialect.loaded_dbapi.Error
        self.tells_numbers = bool(dialect.postfetch_lastrowid)

    def typed(self, error: Exception, connection: TrackedConnection, statement: str | None) -> DBError:
        """Return the typed error for what a driver raised, as the block would get it."""
        if isinstance(error, DBError):
            return error
        dead = False
        if isinstance(error, self.drivers):
            # what SQLAlchemy asks before the rules are asked
            native = None if connection.invalidated else connection.driver_level
            dead = bool(self._dialect.is_disconnect(error, native, None))
        typed = build_error(self._backend.rules, error, statement=statement or _BEGIN, is_disconnect=dead)
        return with_role(self._backend, connection, typed) if self._writes else typed

    @staticmethod
    def is_loss(error: DBError) -> bool:
        """Return whether another connection is needed: this one is lost, or its server is not the primary any more."""
        return isinstance(error, (DBConnectionError, DBNotPrimary, CommitUnknown))

    @staticmethod
    def is_victim(error: DBError) -> bool:
        """Return whether the server gave the transaction up in favour of another one.

        A lock that was not granted in time is not that: whoever holds it may hold it longer.
        """
        if not isinstance(error, DBDeadlock) or isinstance(error, DBLockTimeout):
            return False
        return error.outcome in (Outcome.ROLLED_BACK, Outcome.ABORTED)

    def is_final(self, error: DBError) -> bool:
        """Return whether another attempt would be of no use."""
        return not (self.is_loss(error) or self.is_victim(error))

    def digest(self, error: Exception) -> bytes:
        """Return the digest of the answer that an error is."""
        signature = self._backend.rules.signature(error)
        codes = () if signature is None else signature.codes
        return digest_of_error(codes, type(error).__qualname__)
