"""Free TCP ports of the loopback, each claimed by one process so that parallel runs keep apart."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from dbkit.clock import SYSTEM_CLOCK, Clock
from dbkit.testing.servers.folders import own_folder, shared_base
from dbkit.testing.servers.locks import FileLock

LOOPBACK = "127.0.0.1"

_LOWEST = 12000
_TRIES = 500
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL_EPHEMERAL = 32768
_LOOK_S = 0.2


class PortClaim:
    """A port that no other run takes while the claim is held; it is released with the process at the latest."""

    def __init__(self, port: int, lock: FileLock) -> None:
        self.port = port
        self._lock = lock

    def release(self) -> None:
        """Give the port back."""
        self._lock.remove()


def claim_port(clock: Clock = SYSTEM_CLOCK) -> PortClaim:
    """Claim a port below the range from which the kernel serves outgoing connections.

    A port of that range may be taken by an outgoing connection between its choice and the server's start.

    :raises OSError: no free port was found.
    """
    below = _first_ephemeral()
    for _ in range(_TRIES):
        port = int(clock.uniform(_LOWEST, below))
        with contextlib.suppress(FileNotFoundError):  # another run has just removed the empty folder
            lock = FileLock.take(own_folder(_claims()) / str(port))
            if lock is None:
                continue
            if is_free(port):
                return PortClaim(port, lock)
            lock.remove()
    raise OSError(f"no free loopback port was found between {_LOWEST} and {below} in {_TRIES} tries")


def is_free(port: int) -> bool:
    """Return whether a server could listen on this port of the loopback now."""
    with socket.socket() as probe:
        # As servers do: connections that have ended linger for a minute, and do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def is_listening(port: int) -> bool:
    """Return whether a server takes connections at this port of the loopback now."""
    try:
        with socket.create_connection((LOOPBACK, port), _LOOK_S):
            return True
    except OSError:
        return False


def is_claimed(port: int) -> bool:
    """Return whether a claim on the port stands, or has been left behind."""
    return (_claims() / str(port)).exists()


def sweep_claims() -> None:
    """Remove the claims whose holders have ended."""
    with contextlib.suppress(FileNotFoundError):  # another run's sweep has just removed the folder
        folder = own_folder(_claims())
        for left in list(folder.iterdir()):
            lock = FileLock.take(left)
            if lock is not None:
                lock.remove()
    with contextlib.suppress(OSError):  # others hold claims in it
        _claims().rmdir()


def _claims() -> Path:
    return shared_base() / f"dbkit-ports-{os.geteuid()}"


def _first_ephemeral() -> int:
    try:
        first = int(_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _USUAL_EPHEMERAL
    # Where the range leaves no room below it, the usual ports serve: a lost race is answered by a second try.
    return first if first > _LOWEST + _TRIES else _USUAL_EPHEMERAL
