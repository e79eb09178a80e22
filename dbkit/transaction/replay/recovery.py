"""One recovery: the lost transaction is begun anew, its statements are repeated, and each answer is compared."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any, NoReturn

from dbkit.clock import Clock
from dbkit.engines.guarded import GuardedConnection
from dbkit.engines.translate import doubt_others
from dbkit.engines.view import Sent
from dbkit.exceptions import DBError, Outcome, ReplayDiverged
from dbkit.transaction.replay.conditions import DEADLINE, DRIVER_CONNECTION, Condition
from dbkit.transaction.replay.counts import Replays
from dbkit.transaction.replay.digest import Incomparable, digest_of_result
from dbkit.transaction.replay.faults import Faults
from dbkit.transaction.replay.generated import ask_for, is_left_over
from dbkit.transaction.replay.log import Entry, Log

ATTEMPTS = 5
# The longest wait before each attempt. A server that is lost comes back after seconds; who has won a conflict is done
# in much less.
_LOST_WAITS_S = (0.0, 0.1, 0.4, 1.6, 6.4)
_VICTIM_WAITS_S = (0.05, 0.1, 0.2, 0.4, 0.8)
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Terms:
    """What a replay is allowed, and what it works with.

    :param max_size: see ``[database] replay_max_size``.
    :param max_time_s: see ``[database] replay_max_time``.
    :param writes: the block is a writer.
    :param sleep: waits, in the colour of the block.
    :param replays: counts them, and compares.
    """

    max_size: int
    max_time_s: float
    writes: bool
    clock: Clock
    sleep: Callable[[float], Any]
    replays: Replays


def digest_of(cursor: Any, rows: Any, tells_numbers: bool) -> bytes:
    """Return the digest of what a statement has just answered.

    :param tells_numbers: the driver tells the number that the server has given to a row.
    :raises Incomparable: a value in it cannot be compared.
    """
    return digest_of_result(cursor.rowcount, rows, cursor.lastrowid if tells_numbers and rows is None else None)


class Recovery:
    """The recovery of one transaction from one loss, and from those that come while it lasts.

    :param trouble: what the transaction was lost to.
    :ivar first: the same.
    :ivar attempts: how often it was begun anew.
    """

    def __init__(
        self,
        connection: GuardedConnection,
        log: Log,
        terms: Terms,
        faults: Faults,
        trouble: DBError,
    ) -> None:
        self._connection = connection
        self._log = log
        self._terms = terms
        self._faults = faults
        self.first = trouble
        self.attempts = 0
        self._asks_for_numbers = faults.tells_numbers
        self._is_soiled = False
        """The connection is of no use for anybody else: its next INSERT could get a number that is not meant for it."""

    def recover(self, trouble: DBError) -> str | None:
        """Bring the transaction back to where it was before the statement that met this trouble, and return None.

        :returns: why that was not done; nothing of the transaction is left then.
        :raises ReplayDiverged: the database answered otherwise than before; nothing is left either.
        """
        reason = None if self.attempts else self._why_not()
        if reason is not None:
            self._terms.replays.disabled(reason.name)
            return f"the transaction was not repeated: {reason.text}"
        try:
            while self.attempts < ATTEMPTS and self._may_try(trouble):
                self.attempts += 1
                try:
                    self._begin_anew(trouble)
                    if self._repeat():
                        return None
                except (DBError, OSError, TimeoutError, self._faults.drivers) as error:
                    typed = self._faults.typed(error, self._connection, None)
                    if isinstance(error, ReplayDiverged) or self._faults.is_final(typed):
                        raise
                    trouble = typed
        except ReplayDiverged:
            raise
        except (DBError, OSError, TimeoutError, self._faults.drivers) as error:
            trouble = self._faults.typed(error, self._connection, None)
        except BaseException:
            self._is_soiled = True  # an interrupted connection may wait for an answer still: no more is sent over it
            self._give_up(self.first)
            raise
        self._give_up(self.first)
        self._terms.replays.failed()
        return f"the transaction could not be repeated, after {self.attempts} attempts: {trouble}"

    def done(self) -> None:
        """Count a transaction that goes on."""
        self._terms.replays.replayed()

    def _why_not(self) -> Condition | None:
        if self._connection.is_exposed:
            return DRIVER_CONNECTION
        return DEADLINE if self._left_s <= 0 and self._log.left_s > 0 else self._log.why_not

    @property
    def _left_s(self) -> float:
        """Seconds that the block and the bounds of a replay leave."""
        time = self._connection.time
        return self._log.left_s if time is None else min(self._log.left_s, time.deadline.left_s)

    def _may_try(self, trouble: DBError) -> bool:
        """Wait as long as the next attempt demands; return False, at once, if there is no time for it."""
        longest_s = (_VICTIM_WAITS_S if self._faults.is_victim(trouble) else _LOST_WAITS_S)[self.attempts]
        wait_s = self._terms.clock.uniform(longest_s / 2, longest_s) if longest_s else 0.0
        if wait_s >= self._left_s:
            return False
        self._let_lost_go(trouble)
        if wait_s:
            self._terms.sleep(wait_s)
        return True

    def _let_lost_go(self, trouble: DBError) -> None:
        """Give back the place in the pool of a connection that was lost: others need it while this one waits."""
        connection = self._connection
        if connection.invalidated or self._faults.is_victim(trouble):
            return
        if not connection.was_cut:
            doubt_others(connection.engine, trouble)
        connection.let_lost_go()

    def _begin_anew(self, trouble: DBError) -> None:
        connection = self._connection
        if self._faults.is_victim(trouble) and not connection.invalidated:
            connection.begin_over()
        else:
            connection.take_again()

    # -- the statements -----------------------------------------------------------------------------------------------

    def _repeat(self) -> bool:
        """Send all statements again; return False if that has to be done once more, in another way.

        :raises ReplayDiverged: one was answered otherwise.
        """
        for number, entry in enumerate(self._log.entries, start=1):
            digest = self._answer(entry)
            if digest is None or not self._terms.replays.compare(entry.digest, digest):
                self._diverge(number, entry)
        if self._is_soiled:
            if is_left_over(self._connection):
                # a number was not taken, because the row had brought its own
                self._asks_for_numbers = False
                self._connection.let_lost_go()
                self._is_soiled = False
                return False
            self._is_soiled = False
        return True

    def _answer(self, entry: Entry) -> bytes | None:
        """Send one statement again; return the digest of the answer, or None for one that cannot be compared."""
        connection = self._connection
        cursor = connection.held_cursor()
        try:
            if entry.generated is not None and self._asks_for_numbers:
                self._is_soiled = True
                ask_for(connection, entry.generated)
            connection.pass_on(Sent(entry.call, cursor.real, entry.statement, entry.parameters, None))
            return digest_of(cursor, cursor.hold(), self._faults.tells_numbers)
        except Incomparable:
            return None
        except Exception as error:
            typed = self._faults.typed(error, connection, entry.statement)
            if self._faults.is_loss(typed) or self._faults.is_victim(typed):
                raise typed from error
            return self._faults.digest(error)
        finally:
            self._close(cursor)

    def _close(self, cursor: Any) -> None:
        try:
            cursor.close()
        except self._faults.drivers:
            pass  # the connection was lost, which the statement has told

    def _diverge(self, number: int, entry: Entry) -> NoReturn:
        total = len(self._log.entries)
        statement = " ".join(entry.statement.split())
        shown = statement if len(statement) <= _SHOWN else statement[:_SHOWN] + "..."
        diverged = ReplayDiverged(
            self.first.orig,
            message=(
                f"{_HAPPENED[self._faults.is_loss(self.first)]}, and when it was repeated, statement {number} of "
                f"{total} was answered otherwise than before: {shown}; nothing of the transaction is stored, run it "
                "again from its start"
            ),
            statement=entry.statement,
        )
        diverged.__cause__ = self.first
        self._terms.replays.diverged()
        self._give_up(diverged)
        raise diverged

    def _give_up(self, error: DBError) -> None:
        """Leave nothing of the transaction, and let nothing be added to it."""
        connection = self._connection
        connection.last_error = error
        if error.outcome is not Outcome.ROLLED_BACK:
            error = copy(error)  # what a savepoint could have saved is gone with the rest
            error.outcome = Outcome.ROLLED_BACK
        connection.condemn(error)
        if self._is_soiled:
            connection.let_lost_go()
        elif not connection.invalidated:
            connection.undo()


_HAPPENED = {
    True: "the connection was lost before COMMIT",
    False: "the server gave the transaction up in favour of another one",
}
