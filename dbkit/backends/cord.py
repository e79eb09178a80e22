"""What cuts a connection off from another thread, so that a call that waits on it returns."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Protocol


class Cord(Protocol):
    """A connection's end, in the hand of someone else than its user.

    It is made and let go by who uses the connection; :meth:`cut` may be called in any thread in between.
    """

    def cut(self) -> None:
        """End what the connection waits for, and with it the connection where there is no other way."""

    def let_go(self) -> None:
        """Free what the cord holds; the connection stays as it is."""

    def keep_alive(self, idle_s: int) -> None:
        """Let the operating system ask whether the peer is there when nothing has come for that many seconds."""


class SocketCord:
    """Shuts a connection's socket, below TLS and below whatever the driver keeps of it.

    It holds a duplicate of the descriptor: the driver may close its own at any time, and the number would then name
    someone else's file.

    :param descriptor: the driver's.
    """

    __slots__ = ("_socket",)

    def __init__(self, descriptor: int) -> None:
        self._socket: socket.socket | None = socket.socket(fileno=socket.dup(descriptor))

    def cut(self) -> None:
        """Let both directions end; the peer is told if it can be reached, and no one waits for it."""
        mine = self._socket
        if mine is not None:
            try:
                mine.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it has ended by itself

    def keep_alive(self, idle_s: int) -> None:
        """Have the system ask after ``idle_s`` and then four times within as long again; Unix sockets need none."""
        mine = self._socket
        if mine is None or mine.family not in (socket.AF_INET, socket.AF_INET6):
            return
        mine.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # the names are those of Linux; macOS calls the first one otherwise, and others may lack some
        values = {"TCP_KEEPIDLE": idle_s, "TCP_KEEPALIVE": idle_s, "TCP_KEEPINTVL": max(1, idle_s // 4)}
        for name, value in {**values, "TCP_KEEPCNT": 4}.items():
            if hasattr(socket, name):
                mine.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def let_go(self) -> None:
        """Close the duplicate."""
        mine, self._socket = self._socket, None
        if mine is not None:
            mine.close()


class CallCord:
    """Ends a wait by a call that the driver offers for other threads.

    :param call: makes the waiting call fail.
    """

    __slots__ = ("_call",)

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call: Callable[[], Any] | None = call

    def cut(self) -> None:
        """Make the call, unless the cord was let go."""
        call = self._call
        if call is not None:
            call()

    def keep_alive(self, idle_s: int) -> None:
        """There is no network between."""

    def let_go(self) -> None:
        """Forget the call."""
        self._call = None


def socket_cord(descriptor: object) -> SocketCord | None:
    """Return the cord of a descriptor as a driver gives it; None if the connection has none (any more)."""
    if not isinstance(descriptor, int) or descriptor < 0:
        return None
    try:
        return SocketCord(descriptor)
    except OSError:
        return None


def transport_cord(transport: Any) -> SocketCord | None:
    """Return the cord of an asyncio transport."""
    found = None if transport is None else transport.get_extra_info("socket")
    return None if found is None else socket_cord(found.fileno())
