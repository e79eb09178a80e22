"""One side of a conversation: a socket, and what is still to be sent into it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

from dbkit.testing.faults.loop import READ, WRITE, Loop

_CHUNK = 262_144
_AT_ONCE = struct.pack("ii", 1, 0)


class Side:
    """A socket that never blocks.

    :param on_data: is called with what has come; with nothing when the other end has closed in order.
    :param on_loss: is called when the connection is lost, or cannot be made.
    :param on_room: is called when all has been sent.
    """

    def __init__(
        self,
        stream: socket.socket,
        loop: Loop,
        *,
        on_data: Callable[[bytes], None],
        on_loss: Callable[[OSError], None],
        on_room: Callable[[], None],
    ) -> None:
        self._stream = stream
        self._loop = loop
        self._on_data = on_data
        self._on_loss = on_loss
        self._on_room = on_room
        self._unsent = bytearray()
        self._reads = False
        self._is_connecting = False
        self._finishes = False
        self.is_closed = False
        stream.setblocking(False)
        if stream.family != socket.AF_UNIX:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def backlog(self) -> int:
        """How many bytes are still to be sent."""
        return len(self._unsent)

    def connect(self, address: tuple[object, ...]) -> None:
        """Begin to connect; what is sent meanwhile waits."""
        self._is_connecting = True
        try:
            self._stream.connect(address)
        except BlockingIOError:
            pass
        except OSError as refused:
            self._on_loss(refused)
            return
        self._look()

    def read(self, reads: bool) -> None:
        """Read from now on, or no more."""
        if self._reads != reads:
            self._reads = reads
            self._look()

    def write(self, data: bytes) -> None:
        """Have data sent; :meth:`flush` sends it."""
        if not (self._finishes or self.is_closed):
            self._unsent += data

    def flush(self) -> None:
        """Send what there is, as far as the other end takes it; the rest follows by itself."""
        if self.is_closed or self._is_connecting:
            return
        if not self._unsent:
            return
        try:
            del self._unsent[: self._stream.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError as lost:
            self._unsent.clear()
            self._on_loss(lost)
            return
        if self._finishes and not self._unsent:
            self._shut()
        self._look()

    def finish(self) -> None:
        """Send what there is, and then the end."""
        self._finishes = True
        if not self._unsent and not self._is_connecting:
            self._shut()
        self.flush()

    def close(self, *, reset: bool = False) -> None:
        """Close the socket: with a reset, or in order after what the other end takes at once."""
        if self.is_closed:
            return
        self._loop.watch(self._stream, 0, self._ready)
        self.is_closed = True
        self._unsent.clear()
        if reset:
            self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        else:
            self._shut()
        self._stream.close()

    def _shut(self) -> None:
        try:
            self._stream.shutdown(socket.SHUT_WR)
        except OSError:  # it is not connected any more
            return

    def _look(self) -> None:
        if not self.is_closed:
            writes = self._is_connecting or bool(self._unsent)
            self._loop.watch(self._stream, READ * self._reads | WRITE * writes, self._ready)

    def _ready(self, mask: int) -> None:
        if mask & WRITE:
            if not self._connected():
                return
            self.flush()
            if not self._unsent and not self.is_closed:
                self._look()
                self._on_room()
        if mask & READ and not self.is_closed and self._reads:
            try:
                data = self._stream.recv(_CHUNK)
            except BlockingIOError:
                return
            except OSError as lost:
                self._on_loss(lost)
                return
            self._on_data(data)

    def _connected(self) -> bool:
        if self._is_connecting:
            self._is_connecting = False
            number = self._stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                self._on_loss(OSError(number, "the server cannot be reached"))
                return False
            if self._finishes and not self._unsent:
                self._shut()
        return True
