"""The process in which the proxies of one test process live. It ends with its owner, however that ends.

It is a process of its own because some drivers keep Python's global lock while they wait for a server: MariaDB
Connector/Python does while it connects, and would wait for ever for a proxy in a thread.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import socket
import sys
from typing import Any

from dbkit.exceptions import BackendNotAvailable, DBError
from dbkit.testing.faults.loop import READ, WRITE, Loop
from dbkit.testing.faults.relay import Relay
from dbkit.testing.servers.wire import decode, encode, error_reply, value_reply

LOG = logging.getLogger(__name__)

_CHUNK = 65536


class Desk:
    """Where requests come in: each of the channels that the owner sends belongs to one proxy.

    A proxy is made by the first request of its first channel and lives as long as that channel.
    """

    def __init__(self, main: socket.socket, loop: Loop) -> None:
        self._main = main
        self._loop = loop
        self._relays: dict[int, Relay] = {}
        self._numbers = 0

    def open(self) -> None:
        """Begin to listen to the owner."""
        self._main.setblocking(False)
        self._loop.watch(self._main, READ, self._take_channel)

    def _take_channel(self, mask: int) -> None:
        try:
            data, descriptors, _flags, _address = socket.recv_fds(self._main, 1, 1)
        except BlockingIOError:
            return
        except OSError as lost:
            LOG.info("the owner has gone: %s", lost)
            data = b""
        if not data:
            self._loop.end()
            return
        for descriptor in descriptors:
            _Channel(socket.socket(fileno=descriptor), self, self._loop)

    def create(self, kind: str, host: str, port: int) -> tuple[int, Relay]:
        """Make a proxy and return its number with it."""
        relay = Relay(self._loop, kind, host, port)
        self._numbers += 1
        self._relays[self._numbers] = relay
        return self._numbers, relay

    def find(self, number: int) -> Relay:
        """Return a proxy that has been made.

        :raises BackendNotAvailable: it has been closed.
        """
        try:
            return self._relays[number]
        except KeyError:
            raise BackendNotAvailable("the fault proxy has been closed; use it inside its with block") from None

    def close(self, number: int) -> None:
        """End a proxy."""
        self._relays.pop(number).close()

    def close_all(self) -> None:
        """End all proxies."""
        for number in list(self._relays):
            self.close(number)


class _Channel:
    """One stream of requests, one JSON object a line."""

    def __init__(self, stream: socket.socket, desk: Desk, loop: Loop) -> None:
        self._stream = stream
        self._desk = desk
        self._loop = loop
        self._unread = b""
        self._unsent = bytearray()
        self._relay: Relay | None = None
        self._owns: int | None = None
        stream.setblocking(False)
        loop.watch(stream, READ, self._ready)

    def _ready(self, mask: int) -> None:
        if mask & WRITE:
            self._send()
        if not mask & READ:
            return
        try:
            data = self._stream.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close()
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._hear(decode(line))

    def _hear(self, request: dict[str, Any]) -> None:
        def answer(value: dict[str, Any]) -> None:
            self._reply({"number": request["number"], **value_reply(value)})

        try:
            if request["do"] == "open":
                self._owns, self._relay = self._desk.create(request["kind"], request["host"], request["port"])
                answer({"proxy": self._owns, "port": self._relay.port})
            elif request["do"] == "attach":
                self._relay = self._desk.find(request["proxy"])
                answer({})
            elif self._relay is not None:
                self._relay.hear(request, answer)
        except Exception as failed:  # the boundary: the test is told, and the other proxies go on
            if not isinstance(failed, DBError):
                LOG.warning("request %r failed", request.get("do"), exc_info=failed)
                failed = BackendNotAvailable(f"the fault proxy failed: {type(failed).__name__}: {failed}")
            self._reply({"number": request["number"], **error_reply(failed)})

    def _reply(self, message: dict[str, Any]) -> None:
        self._unsent += encode(message)
        self._send()

    def _send(self) -> None:
        if self._stream.fileno() < 0:  # who asked has gone
            return
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            del self._unsent[: self._stream.send(self._unsent)]
        self._loop.watch(self._stream, READ | WRITE * bool(self._unsent), self._ready)

    def _close(self) -> None:
        self._loop.watch(self._stream, 0, self._ready)
        self._stream.close()
        self._unsent.clear()
        if self._owns is not None:
            self._desk.close(self._owns)


def main() -> int:
    """Serve until the owner has gone."""
    parser = argparse.ArgumentParser(description="Holds the fault proxies of one test process, which starts it.")
    parser.add_argument("--channel", type=int, required=True, help="descriptor of the socket to the owner")
    parser.add_argument("--owner", type=int, required=True, help="the owner's process id")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(name)s: %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt of the terminal is the owner's business
    loop = Loop()
    # A fork of the owner's may keep the channel open after its end; this tells the end itself.
    with contextlib.suppress(AttributeError, OSError):
        loop.watch(_Owner(arguments.owner), READ, lambda mask: loop.end())
    if os.getppid() != arguments.owner:
        return 0
    desk = Desk(socket.socket(fileno=arguments.channel), loop)
    desk.open()
    loop.run()
    desk.close_all()
    return 0


class _Owner:
    """A process whose end can be watched."""

    def __init__(self, pid: int) -> None:
        self._descriptor = os.pidfd_open(pid)

    def fileno(self) -> int:
        """Return the descriptor, which can be read from when the process has ended."""
        return self._descriptor


if __name__ == "__main__":
    sys.exit(main())
