"""The owner's end: the process of the proxies, started when the first is needed, and the channels into it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import os
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from typing import IO, Any

from dbkit.exceptions import BackendNotAvailable
from dbkit.testing.servers.wire import Message, decode, encode, result_of

_ANSWER_BOUND_S = 30.0
_END_BOUND_S = 5.0
_CHUNK = 65536
_TAIL = 2000

_CREATION = threading.Lock()


class Host:
    """The process of the proxies of this process."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._log: IO[bytes] = tempfile.TemporaryFile(prefix="dbkit-faults-")
        self._main, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "dbkit.testing.faults.process"]
            command += [f"--channel={theirs.fileno()}", f"--owner={self._owner}"]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(step) for step in sys.path)},
                pass_fds=[theirs.fileno()],
            )
        self._channels: weakref.WeakSet[Channel] = weakref.WeakSet()
        itself = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _abandon(itself()))

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process runs, and is this process's own."""
        return self._owner == os.getpid() and self._process.poll() is None

    def channel(self) -> Channel:
        """Return a new way to ask a proxy.

        :raises BackendNotAvailable: the process has ended.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._main, [b"c"], [theirs.fileno()])
            except OSError as gone:
                ours.close()
                raise self.has_ended() from gone
        channel = Channel(ours, self)
        self._channels.add(channel)
        return channel

    def has_ended(self) -> BackendNotAvailable:
        """Return the error that says that the process has ended, and how."""
        if self._owner != os.getpid():
            return BackendNotAvailable(
                f"the fault proxy belongs to process {self._owner}, and this one was forked from it; make a proxy here"
            )
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_BOUND_S)
        self._log.seek(0)
        words = self._log.read()[-_TAIL:].decode(errors="replace").strip()
        status = self._process.returncode
        return BackendNotAvailable(
            f"the fault proxy's process {self.pid} has ended with status {status}, and its connections with it; "
            + (f"its log ends: {words}" if words else "it has written nothing")
        )

    def end(self) -> None:
        """End the process, with all its proxies."""
        self._main.close()
        if self._owner == os.getpid():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_BOUND_S)
        self._log.close()

    def abandon(self) -> None:
        """Close a forked process's copies, which would keep the proxies alive."""
        self._main.close()
        for channel in list(self._channels):
            channel.abandon()


class Channel:
    """One way to ask one proxy. Several threads may use it, one at a time."""

    def __init__(self, stream: socket.socket, host: Host) -> None:
        self._stream = stream
        self._host = host
        self._lock = threading.Lock()
        self._received = b""
        self._numbers = itertools.count(1)

    def ask(self, request: str, *, bound_s: float = _ANSWER_BOUND_S, **fields: Any) -> Message:
        """Send a request and return the value of the reply.

        :raises BackendNotAvailable: the process has ended, or does not answer.
        :raises UsageError: the proxy refuses; the text says why.
        """
        with self._lock:
            try:
                return result_of(self._exchange({**fields, "do": request, "number": next(self._numbers)}, bound_s))
            except TimeoutError as late:
                raise BackendNotAvailable(f"the fault proxy gave no answer to {request} in {bound_s:g} s") from late
            except OSError as gone:
                raise self._host.has_ended() from gone

    def close(self) -> None:
        """Close it; what it owns in the process ends."""
        self._stream.close()

    def abandon(self) -> None:
        """Close a forked process's copy."""
        self._lock = threading.Lock()  # the old one may be held by a thread that does not exist in this process
        self._stream.close()

    def _exchange(self, request: Message, bound_s: float) -> Message:
        self._stream.settimeout(bound_s)
        self._stream.sendall(encode(request))
        while True:
            while b"\n" not in self._received:
                data = self._stream.recv(_CHUNK)
                if not data:
                    raise ConnectionResetError("the channel was closed")
                self._received += data
            line, _end, self._received = self._received.partition(b"\n")
            reply = decode(line)
            if reply["number"] == request["number"]:  # else it answers a request that was interrupted
                return reply


def _abandon(host: Host | None) -> None:
    if host is not None:
        host.abandon()


class _Keeper:
    """Keeps the host of a process, and starts another when that one has ended."""

    def __init__(self) -> None:
        self._host: Host | None = None

    def host(self) -> Host:
        if self._host is None or not self._host.is_alive:
            self._host = Host()
            atexit.register(self._host.end)
        return self._host


@functools.cache
def _keeper(process: int) -> _Keeper:
    return _Keeper()


def process_host() -> Host:
    """Return the process of this process's proxies, started if it does not run."""
    with _CREATION:
        return _keeper(os.getpid()).host()
