"""The supervisor's loop: it hears clients, advances work that waits, and ends when all have been gone for a while."""

from __future__ import annotations

import logging
import selectors
import socket
from collections import deque
from collections.abc import Callable
from typing import Protocol

from dbkit.clock import Clock
from dbkit.testing.servers.polling import PAUSE_S, Waiting
from dbkit.testing.servers.wire import Message, decode, encode, error_reply, value_reply

LOG = logging.getLogger(__name__)

_CHUNK = 65536
_IDLE_S = 1.0

#: Seconds for the client that has started the supervisor to come, however short the time of grace is.
_ARRIVAL_S = 10.0


class ClientLink:
    """The connection of one client."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._unread = b""

    def fileno(self) -> int:
        """Return the descriptor, for the selector."""
        return self.connection.fileno()

    def requests(self) -> list[Message] | None:
        """Return the requests that have come whole, or None if the client has gone or speaks nonsense."""
        try:
            data = self.connection.recv(_CHUNK)
            if not data:
                return None
            *lines, self._unread = (self._unread + data).split(b"\n")
            return [decode(line) for line in lines]
        except BlockingIOError:
            return []
        except (OSError, ValueError) as wrong:
            LOG.warning("a client is dropped: %s", wrong)
            return None

    def reply(self, message: Message) -> None:
        """Send a reply, unless the client has gone."""
        try:
            self.connection.sendall(encode(message))
        except OSError as gone:
            LOG.info("a reply found no reader: %s", gone)


class Service(Protocol):
    """What the loop serves."""

    def answering(self, client: ClientLink, request: Message) -> Waiting[Message]:
        """Do what a client asks and return the value of the reply."""

    def leaving(self, client: ClientLink) -> Waiting[None]:
        """Clear away what a client that has gone owned."""


class Loop:
    """Serve clients in one thread, because the servers' lives are tied to the thread that started them."""

    def __init__(self, listener: socket.socket, service: Service, grace_s: float, clock: Clock) -> None:
        self._listener = listener
        self._service = service
        self._grace_s = grace_s
        self._patience_s = max(grace_s, _ARRIVAL_S)
        self._clock = clock
        self._clients: set[ClientLink] = set()
        self._jobs: deque[Waiting[None]] = deque()
        self._idle_since = clock.now()
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Serve until no client has been connected, and no work been under way, for the time of grace."""
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._welcome)
        while not self._is_over():
            for key, _events in self._selector.select(self._pause()):
                heard: Callable[[], None] = key.data
                heard()
            self._advance()

    def _is_over(self) -> bool:
        now = self._clock.now()
        if self._clients or self._jobs:
            self._idle_since = now
            return False
        return now - self._idle_since >= self._patience_s

    def _pause(self) -> float:
        return PAUSE_S if self._jobs else max(PAUSE_S, min(_IDLE_S, self._patience_s))

    def _welcome(self) -> None:
        try:
            connection, _address = self._listener.accept()
        except OSError as gone:  # it has left the queue again
            LOG.info("no client after all: %s", gone)
            return
        connection.setblocking(False)
        client, self._patience_s = ClientLink(connection), self._grace_s
        self._clients.add(client)
        self._selector.register(client, selectors.EVENT_READ, lambda: self._hear(client))

    def _hear(self, client: ClientLink) -> None:
        requests = client.requests()
        if requests is None:
            self._selector.unregister(client)
            self._clients.discard(client)
            client.connection.close()
            self._jobs.append(self._clearing(client))
            return
        for request in requests:
            self._jobs.append(self._serving(client, request))

    def _advance(self) -> None:
        for _ in range(len(self._jobs)):
            job = self._jobs.popleft()
            try:
                next(job)
            except StopIteration:
                continue
            self._jobs.append(job)

    def _serving(self, client: ClientLink, request: Message) -> Waiting[None]:
        try:
            reply = value_reply((yield from self._service.answering(client, request)))
        except Exception as failed:  # the boundary: the client is told, and the other clients go on
            LOG.warning("request %r failed", request.get("do"), exc_info=failed)
            reply = error_reply(failed)
        client.reply({"number": request.get("number"), **reply})

    def _clearing(self, client: ClientLink) -> Waiting[None]:
        try:
            yield from self._service.leaving(client)
        except Exception as failed:  # the boundary: what is left is removed with the run
            LOG.warning("a client's belongings could not all be removed", exc_info=failed)
