"""A TCP relay on the loopback interface that counts what a client makes a server wait for.

A round trip begins whenever the client speaks after the server has spoken, whatever the protocol. What is a statement
depends on the protocol, see :mod:`benchmarks.wire`.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

_CHUNK = 1 << 16


class StatementReader(Protocol):
    """Reads what one client sends."""

    def feed(self, data: bytes) -> int:
        """Return how many statements begin in this part of the stream."""


@dataclass(slots=True)
class Counts:
    """What has passed so far, over all connections."""

    trips: int = 0
    statements: int = 0


@dataclass(slots=True)
class _Line:
    """A client's connection and the server's that belongs to it."""

    client: socket.socket
    server: socket.socket
    reader: StatementReader
    server_spoke: bool = True


class Relay:
    """Passes connections on to a server, in a thread of its own, until its ``with`` block ends.

    :param make_reader: makes, for each connection, what tells its statements.
    """

    def __init__(self, host: str, port: int, make_reader: Callable[[], StatementReader]) -> None:
        self._target = (host, port)
        self._make_reader = make_reader
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._waker, self._wake = socket.socketpair()
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._selector.register(self._waker, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self.counts = Counts()

    @property
    def host(self) -> str:
        """Where it listens."""
        return "127.0.0.1"

    @property
    def port(self) -> int:
        """The port on which it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._wake.send(b"!")
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._wake.close()
        self._selector.close()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._waker:
                    return
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._pass_on(key.fileobj, key.data)  # type: ignore[arg-type]

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._target)
        except OSError:
            client.close()
            return
        line = _Line(client, server, self._make_reader())
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(end, selectors.EVENT_READ, line)

    def _pass_on(self, speaker: socket.socket, line: _Line) -> None:
        if speaker.fileno() < 0:
            return  # closed by an earlier event of the same round
        try:
            data = speaker.recv(_CHUNK)
            if data:
                self._count(speaker is line.client, data, line)
                (line.server if speaker is line.client else line.client).sendall(data)
                return
        except OSError:
            pass
        for end in (line.client, line.server):
            self._selector.unregister(end)
            end.close()

    def _count(self, is_client: bool, data: bytes, line: _Line) -> None:
        if not is_client:
            line.server_spoke = True
            return
        if line.server_spoke:
            line.server_spoke = False
            self.counts.trips += 1
        self.counts.statements += line.reader.feed(data)
