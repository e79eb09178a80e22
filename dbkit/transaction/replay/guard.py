"""The guard of a block that replays: it keeps the log of what was sent and answered, and sees when all is lost."""

from __future__ import annotations

from typing import Any

from dbkit.engines.guarded import GuardedConnection
from dbkit.engines.held import HeldCursor
from dbkit.engines.view import Sent
from dbkit.engines.watch import Watch
from dbkit.exceptions import DBError, Outcome
from dbkit.transaction.replay.conditions import STRANGE_VALUE, is_setting, reason_against
from dbkit.transaction.replay.digest import Incomparable
from dbkit.transaction.replay.faults import Faults
from dbkit.transaction.replay.generated import execute, generated_by
from dbkit.transaction.replay.log import Entry, Log
from dbkit.transaction.replay.recovery import ATTEMPTS, Recovery, Terms, digest_of


class Replayer:
    """Repeats the transaction of one block; see :class:`dbkit.engines.guarded.ReplayGuard`."""

    def __init__(self, connection: GuardedConnection, terms: Terms) -> None:
        self._terms = terms
        self._log = Log(terms.max_size, terms.max_time_s, terms.clock.now)
        self._known_faults: Faults | None = None
        self._failed_commits = 0
        connection.holds_results = True

    def carry_out(self, connection: GuardedConnection, sent: Sent) -> None:
        """Send a statement; if the transaction is lost by it, repeat it all.

        :raises ReplayDiverged: the database answered otherwise than before.
        """
        entry = self._entry(connection, sent)
        recovery: Recovery | None = None
        while True:
            try:
                rows = self._send(connection, sent)
                break
            except Exception as error:
                faults = self._faults(connection)
                trouble = faults.typed(error, connection, sent.statement)
                if faults.is_final(trouble):
                    self._add(entry, faults.digest(error))
                    if recovery is not None:
                        recovery.done()
                    raise
                recovery = recovery or self._recovery(connection, trouble)
                why = recovery.recover(trouble)
                if why is not None and not recovery.attempts:
                    error.add_note(why)
                    raise
                if why is not None:
                    # SQLAlchemy could not judge the driver's own error any more: its connection is gone
                    raise self._lost(connection, recovery.first, why) from recovery.first.__cause__
                connection.renew_cursor(sent.cursor)
        if recovery is not None:
            recovery.done()
        self._answered(connection, entry, sent, rows)

    def recovers(self, connection: GuardedConnection, error: DBError) -> bool:
        """COMMIT is known to have failed with this error; return whether all was repeated, to send it again.

        :raises ReplayDiverged: the database answered otherwise than before.
        """
        if error.outcome is Outcome.UNKNOWN or self._faults(connection).is_final(error):
            return False
        self._failed_commits += 1
        if self._failed_commits > ATTEMPTS:
            error.add_note(f"the transaction was repeated {ATTEMPTS} times, and its COMMIT failed each time")
            return False
        recovery = self._recovery(connection, error)
        why = recovery.recover(error)
        if why is not None:
            error.add_note(why)
            return False
        connection.absolve()
        recovery.done()
        return True

    def mends(self, connection: GuardedConnection) -> bool:
        """Look whether the connection is lost before COMMIT is sent; return whether all was repeated on another one.

        :raises ReplayDiverged: the database answered otherwise than before.
        :raises DBConnectionError: it is lost, and nothing could be repeated.
        """
        try:
            execute(connection, "SELECT 1")
        except Exception as error:
            trouble = self._faults(connection).typed(error, connection, "SELECT 1")
            if self._faults(connection).is_final(trouble):
                return False
            recovery = self._recovery(connection, trouble)
            why = recovery.recover(trouble)
            if why is not None:
                raise self._lost(connection, trouble, why) from error
            recovery.done()
            return True
        return False

    @staticmethod
    def _lost(connection: GuardedConnection, error: DBError, why: str) -> DBError:
        judged = connection.judged(error)
        judged.add_note(why)
        connection.failed(judged)
        return judged

    def _faults(self, connection: GuardedConnection) -> Faults:
        if self._known_faults is None:
            self._known_faults = Faults(connection.backend, connection.engine.dialect, self._terms.writes)
        return self._known_faults

    def _recovery(self, connection: GuardedConnection, trouble: DBError) -> Recovery:
        return Recovery(connection, self._log, self._terms, self._faults(connection), trouble)

    # -- the log ------------------------------------------------------------------------------------------------------

    def _entry(self, connection: GuardedConnection, sent: Sent) -> Entry | None:
        """Return what is to be kept of a statement; None for nothing."""
        log = self._log
        if log.reason is not None:
            return None
        reason = reason_against(sent.statement, sent.context)
        if reason is not None:
            log.disable(reason)
            return None
        if connection.is_asking or connection.watch & Watch.AUTOCOMMIT and not is_setting(sent.statement):
            return None  # it stands alone: it is sent again, and needs no other
        return log.kept(sent)

    @staticmethod
    def _send(connection: GuardedConnection, sent: Sent) -> Any:
        held = sent.cursor
        if type(held) is not HeldCursor:
            connection.pass_on(sent)  # a server-side cursor, whose rows come later: the log was given up
            return None
        connection.pass_on(Sent(sent.call, held.real, sent.statement, sent.parameters, sent.context))
        return held.hold()

    def _answered(self, connection: GuardedConnection, entry: Entry | None, sent: Sent, rows: Any) -> None:
        if entry is None:
            return
        faults = self._faults(connection)
        if faults.tells_numbers:
            entry.generated = generated_by(sent.statement, sent.cursor, rows, sent.context)
        try:
            self._add(entry, digest_of(sent.cursor, rows, faults.tells_numbers))
        except Incomparable:
            self._log.disable(STRANGE_VALUE)

    def _add(self, entry: Entry | None, digest: bytes) -> None:
        if entry is not None and self._log.reason is None:
            entry.digest = digest
            self._log.add(entry)
