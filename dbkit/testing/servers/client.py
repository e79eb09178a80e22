"""The connection of a test process to its run's supervisor, which is started by whoever comes first."""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import os
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dbkit.exceptions import BackendNotAvailable, InvalidSetting
from dbkit.testing.servers.folders import Run
from dbkit.testing.servers.locks import FileLock
from dbkit.testing.servers.polling import wait_until
from dbkit.testing.servers.wire import Message, decode, encode, result_of

#: Seconds for which servers stay after the last test process has gone, for the next one to use.
GRACE_SETTING = "DBKIT_TEST_SERVERS_GRACE"

_GRACE_S = 5.0
_ELECTION_BOUND_S = 90.0
_LAUNCH_BOUND_S = 60.0
_ANSWER_BOUND_S = 300.0
_CHUNK = 65536
_TAIL = 3000

_CREATION = threading.Lock()


class Client:
    """One process's connection to the supervisor, made when it is first needed; it may be used by many threads.

    What was asked for through it lives until :meth:`close`, or until the process ends in whatever way.
    """

    def __init__(self, run: Run, grace_s: float) -> None:
        self._run = run
        self._grace_s = grace_s
        self._lock = threading.Lock()
        self._connection: _Connection | None = None
        self._numbers = itertools.count(1)
        itself = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _abandon(itself()))

    def next_number(self) -> int:
        """Return a number that this client has not returned before."""
        return next(self._numbers)

    def ask(self, request: str, **fields: Any) -> Message:
        """Send a request and return the value of the reply. A request that meets a dying supervisor goes to the next.

        :raises BackendNotAvailable: the supervisor says so, or there is none to be had.
        :raises UsageError: the supervisor says so.
        """
        with self._lock:
            if self._connection is not None:
                with contextlib.suppress(_Gone):
                    return result_of(self._connection.exchange({"do": request, **fields}))
                self._drop_connection()
            self._connection = self._connected()
            try:
                return result_of(self._connection.exchange({"do": request, **fields}))
            except _Gone as gone:
                self._drop_connection()
                raise BackendNotAvailable(f"the servers' supervisor ended while it was asked to {request}") from gone

    def close(self) -> None:
        """Give back all that was asked for through this client; the next request makes a new connection."""
        with self._lock:
            self._drop_connection()

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def abandon(self) -> None:
        """Close this process's copy of the connection, in a forked child or at the process's end, without a wait."""
        self._lock = threading.Lock()  # the old one may be held by a thread that does not exist in this process
        self._drop_connection()

    def _connected(self) -> _Connection:
        """Return a connection that a supervisor has confirmed, starting one where none is."""

        def look() -> _Connection | None:
            connection = self._reached()
            if connection is None:
                self._start_if_first()
            return connection or self._reached()

        try:
            return wait_until(look, _ELECTION_BOUND_S, f"a supervisor of servers at {self._run.socket}")
        except TimeoutError as late:
            raise BackendNotAvailable(str(late)) from late

    def _reached(self) -> _Connection | None:
        connection = _Connection(socket.socket(socket.AF_UNIX))
        try:
            connection.open(self._run.socket)
            connection.exchange({"do": "hello"})
        except (OSError, _Gone):  # none is there, or it is just ending
            connection.close()
            return None
        return connection

    def _start_if_first(self) -> None:
        try:
            self._run.create()
            lock = FileLock.take(self._run.lock)
        except FileNotFoundError:  # the last run's janitor has just removed the folder
            return
        if lock is None:
            return
        try:
            self._launch(lock)
        finally:
            lock.leave()

    def _launch(self, lock: FileLock) -> None:
        command = [sys.executable, "-m", "dbkit.testing.servers.supervisor", f"--folder={self._run.folder}"]
        command += [f"--lock={lock.fileno()}", f"--grace={self._grace_s}"]
        with self._run.log.open("ab") as log:
            ended = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(_import_path())},
                cwd="/",
                pass_fds=[lock.fileno()],
                start_new_session=True,  # so that an interrupt of the terminal does not reach it
                timeout=_LAUNCH_BOUND_S,
                check=False,
            )
        if ended.returncode:
            tail = self._run.log.read_text(errors="replace")[-_TAIL:]
            raise BackendNotAvailable(f"the servers' supervisor did not start; its log ends: {tail}")


class _Gone(Exception):
    """The other side has closed the connection."""


class _Connection:
    """One connection to a supervisor. An exchange that was interrupted does not disturb the next one."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._received = b""
        self._numbers = itertools.count(1)

    def open(self, path: Path) -> None:
        self._stream.settimeout(_ANSWER_BOUND_S)
        self._stream.connect(str(path))

    def close(self) -> None:
        self._stream.close()

    def exchange(self, request: Message) -> Message:
        number = next(self._numbers)
        try:
            self._stream.sendall(encode({**request, "number": number}))
            while True:
                reply = decode(self._line())
                if reply["number"] == number:  # else it answers a request whose sender was interrupted
                    return reply
        except TimeoutError as late:
            raise BackendNotAvailable(f"the servers' supervisor gave no answer in {_ANSWER_BOUND_S:g} s") from late
        except OSError as broken:
            raise _Gone(str(broken)) from broken

    def _line(self) -> bytes:
        while b"\n" not in self._received:
            data = self._stream.recv(_CHUNK)
            if not data:
                raise _Gone("the connection was closed")
            self._received += data
        line, _end, self._received = self._received.partition(b"\n")
        return line


def _abandon(client: Client | None) -> None:
    if client is not None:
        client.abandon()


def _import_path() -> list[str]:
    return [os.path.abspath(step) for step in sys.path]


def grace_of(environment: Mapping[str, str]) -> float:
    """Return the seconds of grace that the environment sets.

    :raises InvalidSetting: it is not a number of seconds.
    """
    text = environment.get(GRACE_SETTING, "")
    try:
        grace = float(text) if text else _GRACE_S
    except ValueError:
        grace = -1.0
    if not 0 <= grace < float("inf"):
        raise InvalidSetting(f"{GRACE_SETTING} must be a number of seconds, not {text!r}")
    return grace


@functools.cache
def _client(process: int, run: Run, grace_s: float) -> Client:
    client = Client(run, grace_s)
    atexit.register(client.abandon)
    return client


def process_client() -> Client:
    """Return the one client of this process, for the environment and the working folder that it has now."""
    with _CREATION:
        return _client(os.getpid(), Run.of(os.environ, Path.cwd()), grace_of(os.environ))
