"""A transaction with protections: a deadline, a commit fence, a replay. Plain ones pay for none of them."""

from __future__ import annotations

from functools import partial
from typing import Any

from dbkit.deadline import Deadline
from dbkit.engines.connection import TrackedConnection
from dbkit.engines.guarded import guarded
from dbkit.engines.timekeeper import TimeKeeper
from dbkit.spec import Colour, Mode, Protection, TransactionSpec
from dbkit.transaction.factory import Factory
from dbkit.transaction.fence import CommitFence
from dbkit.transaction.replay.guard import Replayer
from dbkit.transaction.replay.recovery import Terms
from dbkit.transaction.transaction import Transaction

_NONE = Protection()


class ProtectedTransaction(Transaction):
    """A transaction whose connection has the guards that there is work for; where there is none, it is a plain one.

    :ivar deadline: when it must have ended.
    """

    __slots__ = ("_fence", "deadline")

    def __init__(
        self, factory: Factory, spec: TransactionSpec, owner: Any, colour: Colour, deadline: Deadline | None
    ) -> None:
        super().__init__(factory, spec, owner, colour)
        self.deadline = deadline
        self._fence: CommitFence | None = None

    @property
    def token(self) -> str | None:
        """By what any process can ask for its outcome later; None where nothing of the kind was written."""
        return None if self._fence is None else self._fence.token

    @property
    def commit_token(self) -> str | None:
        """The token that COMMIT will carry, known before it is sent."""
        self.connect()  # no connection is taken by that
        return None if self._fence is None else self._fence.announce()

    def make_connection(self) -> TrackedConnection:
        """Make the connection, with its guards."""
        connection = super().make_connection()
        self._guard(connection, self.spec.protection or _NONE)
        return connection

    def _guard(self, connection: TrackedConnection, protection: Protection) -> None:
        """Give the connection the guards that the block asks for."""
        settings = self.source.settings
        asked = protection.exactly_once
        fenced = self.spec.mode is Mode.WRITER and (settings.exactly_once if asked is None else asked)
        replays = settings.replay if protection.replays is None else protection.replays
        replays = replays and connection.backend.is_remote
        if not fenced and not replays and self.deadline is None:
            return
        watched = guarded(connection)
        if fenced:
            self._fence = watched.fence = CommitFence(self.source, self._lane, self.colour, self.deadline)
        if self.deadline is not None:
            watched.time = TimeKeeper(self.deadline, keeps_reserve=fenced)
        if replays:
            watched.replay = Replayer(watched, self._terms())

    def _terms(self) -> Terms:
        """Return what a replay is allowed."""
        factory = self.source
        settings, sleep = factory.settings, partial(factory.pause, colour=self.colour)
        return Terms(
            max_size=settings.replay_max_size,
            max_time_s=settings.replay_max_time,
            writes=self.spec.mode is Mode.WRITER,
            clock=factory.clock,
            sleep=sleep,
            replays=factory.replays,
        )
