"""A TCP relay on the loopback interface that counts what a client makes a server wait for.

A round trip begins whenever the client speaks after the server has spoken, whatever the protocol. What is a statement
depends on the protocol, and who wants to know brings what reads it.
"""

from __future__ import annotations

import contextlib
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
    reader: StatementReader | None
    server_spoke: bool = True


class Relay:
    """Passes connections on to a server, in a thread of its own, until its ``with`` block ends.

    :param make_reader: makes, for each connection, what tells its statements; None leaves them uncounted.
    :param once: serve one connection, and end with it; :meth:`start` it without a ``with`` block then.
    """

    def __init__(
        self, host: str, port: int, make_reader: Callable[[], StatementReader] | None = None, *, once: bool = False
    ) -> None:
        self._target = (host, port)
        self._make_reader = make_reader
        self._once = once
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

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """End, and close what passes through."""
        with contextlib.suppress(OSError):  # it has ended by itself
            self._wake.send(b"!")
        self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            self._serve()
        finally:
            for key in list(self._selector.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]
            self._wake.close()
            self._selector.close()

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._waker:
                    return
                if key.fileobj is self._listener:
                    self._accept()
                elif not self._pass_on(key.fileobj, key.data) and self._once:  # type: ignore[arg-type]
                    return

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if self._once:
            self._selector.unregister(self._listener)
            self._listener.close()
        try:
            server = socket.create_connection(self._target)
        except OSError:
            client.close()
            return
        line = _Line(client, server, None if self._make_reader is None else self._make_reader())
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(end, selectors.EVENT_READ, line)

    def _pass_on(self, speaker: socket.socket, line: _Line) -> bool:
        """Return whether the connection goes on."""
        if speaker.fileno() < 0:
            return True  # closed by an earlier event of the same round
        try:
            data = speaker.recv(_CHUNK)
            if data:
                self._count(speaker is line.client, data, line)
                (line.server if speaker is line.client else line.client).sendall(data)
                return True
        except OSError:
            pass
        for end in (line.client, line.server):
            self._selector.unregister(end)
            end.close()
        return False

    def _count(self, is_client: bool, data: bytes, line: _Line) -> None:
        if not is_client:
            line.server_spoke = True
            return
        if line.server_spoke:
            line.server_spoke = False
            self.counts.trips += 1
        if line.reader is not None:
            self.counts.statements += line.reader.feed(data)
