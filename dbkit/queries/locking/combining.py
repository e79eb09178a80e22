"""Who waits to be counted: one of the waiting leads and stores what all have handed in."""

from __future__ import annotations

import asyncio
import enum
import threading
from collections import deque
from copy import copy
from typing import Any

from dbkit.engines.bell import Bell
from dbkit.exceptions import CommitUnknown, DBError, Outcome, PoolOverloaded


class Stage(enum.Enum):
    """How far a ticket has come."""

    WAITING = "waiting"
    TAKEN = "taken"
    DONE = "done"


class Ticket(Bell):
    """What one caller has handed in.

    :ivar leads: whoever waits with it is to store what is waiting.
    :ivar alone: it is stored without others, because one of those with which it was to be stored cannot be.
    """

    __slots__ = ("alone", "by", "error", "key", "leads", "stage", "value")

    def __init__(self, key: tuple[Any, ...], by: Any, loop: asyncio.AbstractEventLoop | None) -> None:
        super().__init__(loop)
        self.key = key
        self.by = by
        self.stage = Stage.WAITING
        self.leads = False
        self.alone = False
        self.value: Any = None
        self.error: BaseException | None = None

    @property
    def outcome(self) -> Outcome:
        """What became of it, for one whose caller was interrupted."""
        if self.stage is not Stage.DONE:
            return Outcome.NOT_STARTED
        if self.error is None:
            return Outcome.COMMITTED
        return Outcome.UNKNOWN if isinstance(self.error, CommitUnknown) else Outcome.ROLLED_BACK


class WaitingLine:
    """The tickets of those who wait, first come, first served, and the question of who leads.

    Each leader stores once, its own ticket among others, and then hands on to the first who waits: nobody works for the
    others for longer than it would have waited.

    :param limit: how many may wait.
    :param most: how many are stored at once.
    """

    def __init__(self, limit: int, most: int) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Ticket] = deque()
        self._is_led = False
        self._limit = limit
        self._most = most

    def enter(self, ticket: Ticket) -> None:
        """Take a place; with nobody else there, the ticket leads.

        :raises PoolOverloaded: too many wait.
        """
        with self._lock:
            if len(self._waiting) >= self._limit:
                raise PoolOverloaded(
                    message=f"{self._limit} callers wait for a combiner already; let some go without an answer, or "
                    "raise max_waiting"
                )
            self._waiting.append(ticket)
            ticket.leads = not self._is_led
            self._is_led = True

    def take(self) -> list[Ticket]:
        """Return what is to be stored now."""
        with self._lock:
            taken: list[Ticket] = []
            while self._waiting and len(taken) < self._most and not (taken and self._waiting[0].alone):
                ticket = self._waiting.popleft()
                ticket.stage, ticket.leads = Stage.TAKEN, False
                taken.append(ticket)
                if ticket.alone:
                    break
            return taken

    def hand_on(self) -> None:
        """Let the first who waits lead; with nobody there, whoever comes next."""
        with self._lock:
            self._hand_on()

    def _hand_on(self) -> None:
        while self._waiting:
            self._waiting[0].leads = True
            if self._waiting[0].ring():
                return
            self._waiting.popleft()
        self._is_led = False

    def withdraw(self, ticket: Ticket) -> bool:
        """Take a ticket back; return False if it is too late: it is stored just now, or was."""
        with self._lock:
            if ticket.stage is not Stage.WAITING or ticket not in self._waiting:
                return False
            self._waiting.remove(ticket)
            if ticket.leads:
                ticket.leads = False
                self._hand_on()
            return True

    def give_back(self, tickets: list[Ticket]) -> None:
        """Let tickets wait again, before all others: whoever was to store them has not."""
        with self._lock:
            for ticket in reversed(tickets):
                ticket.stage = Stage.WAITING
                self._waiting.appendleft(ticket)


def settle(tickets: list[Ticket], results: dict[int, Any]) -> None:
    """Tell those whose transaction is committed.

    :param results: values or errors by the places of the tickets.
    """
    for place, ticket in enumerate(tickets):
        result = results[place]
        if isinstance(result, BaseException):
            ticket.error = result
        else:
            ticket.value = result
        _done(ticket)


def fail(tickets: list[Ticket], error: Exception) -> None:
    """Tell all of them of the error that has ended their transaction; each gets one of its own."""
    for ticket in tickets:
        ticket.error = copy(error) if isinstance(error, DBError) else error
        _done(ticket)


def in_doubt(token: str | None) -> CommitUnknown:
    """Return the error for those whose leader was interrupted while COMMIT was on its way."""
    error = CommitUnknown(message=f"{CommitUnknown.summary}; {CommitUnknown.advice}")
    error.token = token
    return error


def _done(ticket: Ticket) -> None:
    ticket.stage = Stage.DONE
    ticket.ring()
