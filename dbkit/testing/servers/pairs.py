"""A primary and its replicas, to fail over and to fall behind at will."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

from dbkit.exceptions import UsageError
from dbkit.testing.servers.client import Client
from dbkit.testing.servers.origins import Origin
from dbkit.testing.servers.provider import Installation, Replication, Source, as_settings
from dbkit.testing.servers.server import Making, PrivateServer, together

#: Seconds for which :meth:`Pair.catch_up` waits, beyond a delay that was set.
CATCH_UP_S = 60.0


class Member(PrivateServer):
    """A server of a pair; it may become the primary or a replica.

    :ivar name: by which a primary knows it.
    :ivar number: of its data in the pair; it gets another one when they are made anew.
    """

    def __init__(
        self,
        client: Client,
        installation: Installation,
        settings: Mapping[str, object] | None,
        number: int,
        making: Making | None = None,
    ) -> None:
        super().__init__(client, installation, settings, making)
        self.name = _name_of(number)
        self.number = number


class Pair:
    """A primary with one replica or more, for use in a ``with`` statement, which starts and removes them.

    All are servers of one's own: each can be crashed, frozen, thawed, stopped and started. What is committed on the
    primary comes to the replicas by itself, a moment later; :meth:`catch_up` waits for it. A replica that was down
    catches up when it is started again.
    """

    def __init__(
        self,
        client: Client,
        installation: Installation,
        replication: Replication,
        replicas: int,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        if replicas < 1:
            raise UsageError(f"a pair has one replica or more, not {replicas}; for a single server use private()")
        self.kind = installation.kind
        self._client = client
        self._installation = installation
        self._replication = replication
        self._wanted = replicas
        self._settings = as_settings(settings)
        self._stack = contextlib.ExitStack()
        self._primary: Member | None = None
        self._replicas: tuple[Member, ...] = ()
        self._former: tuple[Member, ...] = ()
        self._delays: dict[Member, float] = {}
        self._numbers = itertools.count(1)

    def __repr__(self) -> str:
        replicas = ", ".join(str(replica.port) for replica in self._replicas)
        primary = "none" if self._primary is None else self._primary.port
        return f"<{type(self).__name__} {self.kind} primary at {primary}, replicas at {replicas or 'none'}>"

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(self._remove)
            self._primary = primary = self._member(next(self._numbers), is_replica=False).__enter__()
            self._replication.open_primary(primary.endpoint)
            for _ in range(self._wanted):
                self._add_replica(next(self._numbers), primary)
            self.catch_up()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def _remove(self) -> None:
        members, self._primary, self._replicas, self._former = self.members, None, (), ()
        together(members, "remove")

    @property
    def primary(self) -> Member:
        """The server that takes writes.

        :raises UsageError: outside the ``with`` block there is none.
        """
        if self._primary is None:
            raise UsageError(f"there is no {self.kind} pair; use it inside its with block")
        return self._primary

    @property
    def replicas(self) -> tuple[Member, ...]:
        """The servers that follow the primary."""
        return self._replicas

    @property
    def replica(self) -> Member:
        """The first of the replicas.

        :raises UsageError: there is none at the time.
        """
        if not self._replicas:
            raise UsageError(f"no server follows the {self.kind} primary; rejoin() brings the former ones back")
        return self._replicas[0]

    @property
    def former(self) -> tuple[Member, ...]:
        """The servers that follow nobody: primaries of the past, and replicas that were down at a promotion."""
        return self._former

    @property
    def members(self) -> tuple[Member, ...]:
        """All servers: the primary, the replicas, the former ones."""
        return (*(() if self._primary is None else (self._primary,)), *self._replicas, *self._former)

    def catch_up(self, replica: Member | None = None, *, bound_s: float = CATCH_UP_S) -> None:
        """Return when the replicas show all that is committed on the primary by now.

        :param replica: this one; None means all.
        :param bound_s: seconds to wait for each, beyond the delay that was set.
        :raises UsageError: replay is paused, and a replica is behind.
        :raises TimeoutError: a replica did not get there within the bound.
        :raises DBError: one of the servers does not answer, or a replica cannot follow any more.
        """
        position = self._replication.position(self.primary.endpoint)
        for each in self._chosen(replica):
            self._replication.replay_to(each.endpoint, position, bound_s + self._delays.get(each, 0.0))

    def pause_replay(self, replica: Member | None = None) -> None:
        """Stop showing what comes from the primary; it is received and kept.

        :param replica: this one; None means all.
        """
        for each in self._chosen(replica):
            self._replication.pause(each.endpoint)

    def resume_replay(self, replica: Member | None = None) -> None:
        """Go on showing what comes from the primary, and what was kept meanwhile.

        :param replica: this one; None means all.
        """
        for each in self._chosen(replica):
            self._replication.resume(each.endpoint)

    def delay(self, seconds: float, replica: Member | None = None) -> None:
        """Show each transaction this long after its commit; 0 ends the delay.

        MariaDB counts whole seconds: it may be up to two seconds longer there, and is never shorter.

        :param replica: this one; None means all.
        :raises UsageError: the number is negative.
        """
        if seconds < 0:
            raise UsageError(f"a delay is 0 seconds or more, not {seconds:g}")
        for each in self._chosen(replica):
            self._replication.delay(each.endpoint, seconds)
            self._delays[each] = seconds

    def promote(self, replica: Member | None = None) -> Member:
        """Make a replica the primary and return it when it takes writes; the other replicas follow it.

        It first shows all that it has received, paused or delayed as it may be. The old primary is left as it is, and
        is among the :attr:`former`: crash it before, to play a fail-over, or let it live, to play a split brain.

        :param replica: None means the running one that has received most.
        :raises UsageError: no replica is running, or this server is no replica.
        """
        old, running = self.primary, self._running(self._chosen(replica))
        if not running:
            raise UsageError(f"no replica of the {self.kind} primary is running, so none can be promoted")
        new = max(running, key=lambda each: self._replication.progress(each.endpoint)) if replica is None else replica
        self._replication.promote(new.endpoint)
        self._delays.pop(new, None)
        new.configure(self._settings_of(new.number, is_replica=False))
        others = [each for each in self._replicas if each is not new]
        following = self._running(others)
        self._primary = new
        self._replicas = tuple(following)
        self._former = (*self._former, old, *(each for each in others if each not in following))
        for each in following:
            self._replication.expect(new.endpoint, each.name)
            self._replication.follow(each.endpoint, new.endpoint, each.name)
        return new

    def rejoin(self, member: Member | None = None) -> None:
        """Make a server a replica of the primary, whatever it was and did: its data are made anew from the primary's.

        :param member: None means all of the former ones.
        :raises UsageError: it is the primary, or no server of this pair.
        """
        primary = self.primary
        if member is primary or (member is not None and member not in self.members):
            raise UsageError(f"{member!r} is not one that can rejoin; name a former member or a replica of {self!r}")
        for each in self._former if member is None else (member,):
            each.stop()
            self._replication.expect(primary.endpoint, each.name)
            # A MariaDB server takes what bears its own number for what it has done itself, and does not replay it.
            each.number = next(self._numbers)
            each.configure(self._settings_of(each.number, is_replica=True))
            self._delays.pop(each, None)
            each.rebuild(Origin.clone(Source(primary.port, each.name)))
            each.start()
            self._replication.follow(each.endpoint, primary.endpoint, each.name)
            self._former = tuple(other for other in self._former if other is not each)
            self._replicas = (*(other for other in self._replicas if other is not each), each)
            self.catch_up(each)

    def _member(self, number: int, *, is_replica: bool, making: Making | None = None) -> Member:
        settings = self._settings_of(number, is_replica=is_replica)
        return Member(self._client, self._installation, settings, number, making)

    def _settings_of(self, number: int, *, is_replica: bool) -> dict[str, str]:
        return {**self._replication.settings(number, is_replica=is_replica), **self._settings}

    def _add_replica(self, number: int, primary: Member) -> None:
        name = _name_of(number)
        self._replication.expect(primary.endpoint, name)
        making = Making(Origin.clone(Source(primary.port, name)))
        replica = self._member(number, is_replica=True, making=making).__enter__()
        self._replicas = (*self._replicas, replica)
        self._replication.follow(replica.endpoint, primary.endpoint, name)

    def _chosen(self, replica: Member | None) -> Sequence[Member]:
        if replica is None:
            return self._replicas
        if replica not in self._replicas:
            raise UsageError(f"{replica!r} is no replica of {self!r}")
        return (replica,)

    @staticmethod
    def _running(members: Iterable[Member]) -> list[Member]:
        found = []
        for each in members:
            each.look()
            if each.state == "running":
                found.append(each)
        return found


def _name_of(number: int) -> str:
    return f"member{number}"
