"""Processes of servers: started so that they cannot outlive their starter, and found by the folder they work in."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dbkit.testing.servers.account import Account, acting_as_owner
from dbkit.testing.servers.polling import Waiting, waiting

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_KILL_BOUND_S = 30.0


def spawn(
    argv: Sequence[str],
    *,
    folder: Path,
    log: Path,
    environment: Mapping[str, str],
    account: Account,
    death_signal: signal.Signals,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, with its output in the log.

    It gets ``death_signal`` when the calling thread ends, however that ends: call this from a thread that lasts.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
            preexec_fn=_dying_with(os.getpid(), death_signal),
            **account.process_arguments(),
        )


def _dying_with(parent: int, death_signal: signal.Signals) -> Callable[[], None]:
    # Runs in the child after the change of user, as it must: a change of credentials clears the setting (prctl(2)).
    # The library is loaded here, before the fork, because a forked child should do as little as possible.
    libc = ctypes.CDLL(None)

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:  # it died before the setting was made
            os._exit(1)

    return prepare


def processes_in(folder: Path) -> list[int]:
    """Return the ids of the processes whose working folder is this one or lies in it, oldest first.

    Parentage does not tell: PostgreSQL's processes lead sessions of their own, and lose their parent when it is killed.
    """
    inside = f"{folder}/"
    found = []
    try:
        with acting_as_owner(folder):
            for entry in os.listdir("/proc"):
                if entry.isdigit():
                    try:
                        where = os.readlink(f"/proc/{entry}/cwd")
                    except OSError:  # it has ended, or it is another user's
                        continue
                    if f"{where}/".startswith(inside):
                        found.append(int(entry))
    except FileNotFoundError:  # the folder is gone, and whoever works in it is not told apart any more
        return []
    return sorted(found)


def signal_all(folder: Path, which: signal.Signals) -> list[int]:
    """Send a signal to every process of the folder and return their ids."""
    found = processes_in(folder)
    for pid in found:
        try:
            os.kill(pid, which)
        except ProcessLookupError:
            continue
    return found


def killing(folder: Path) -> Waiting[None]:
    """Kill every process of the folder, and those that they start meanwhile, until none is left.

    :raises TimeoutError: one of them could not be killed.
    """
    yield from waiting(
        lambda: not signal_all(folder, signal.SIGKILL), _KILL_BOUND_S, f"the end of all processes in {folder}"
    )


def is_halted(pid: int) -> bool:
    """Return whether a process is stopped by a signal, or has ended."""
    return _state_of(pid) in "TtXZ"


def has_ended(pid: int) -> bool:
    """Return whether a process has ended, its parent informed or not."""
    return _state_of(pid) in "XZ"


def _state_of(pid: int) -> str:
    """Return the letter by which proc(5) names a process's state; that of a dead one if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "X"
