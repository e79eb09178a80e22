"""The process that owns a run's servers, and the one beside it that clears up however the first one ends.

It is started by a client that holds the run's lock, and inherits it. The janitor is forked off before any server
exists, and shares the lock: so the next supervisor can start only when the last one's rest is gone. There is one way
to end, and a crash takes it too: the process ends, the kernel tells its servers to, the janitor removes the rest.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import socket
import sys
from pathlib import Path

from dbkit.clock import SYSTEM_CLOCK
from dbkit.testing.servers.estate import Estate
from dbkit.testing.servers.folders import Run
from dbkit.testing.servers.instance import removing
from dbkit.testing.servers.kinds import installed
from dbkit.testing.servers.locks import FileLock
from dbkit.testing.servers.loop import Loop
from dbkit.testing.servers.polling import finish, wait_until
from dbkit.testing.servers.ports import sweep_claims
from dbkit.testing.servers.processes import processes_in, signal_all

LOG = logging.getLogger(__name__)

_BACKLOG = 128
_FAREWELL_S = 5.0


def sweep(run: Run) -> None:
    """Remove all servers that the run's record names, whoever left them, and the port claims of ended processes."""
    for kind, folder in list(run.server_folders()):
        provider = installed().providers.get(kind)
        if provider is not None:
            _say_farewell(folder, provider.death_signal)
        finish(removing(run, provider, folder))
    sweep_claims()


def _say_farewell(folder: Path, death_signal: signal.Signals) -> None:
    # The kernel has sent the signal when the supervisor ended. It is sent again for servers that outlived a machine's
    # odd turns, and they are woken for it: a frozen process hears nothing else.
    signal_all(folder, death_signal)
    signal_all(folder, signal.SIGCONT)
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: not processes_in(folder), _FAREWELL_S, "the end of a server")


def _watch(run: Run, lock: FileLock, supervisor_lives: int) -> None:
    """Wait until the supervisor has ended, then remove what it left, the lock last."""
    os.read(supervisor_lives, 1)
    sweep(run)
    run.remove_files()
    lock.remove()
    run.remove_folder()


def main() -> int:
    """Start the supervisor and its janitor in the background; the caller returns when clients can connect."""
    parser = argparse.ArgumentParser(description="Owns the throwaway servers of one test run; started by its clients.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--lock", type=int, required=True, help="descriptor of the run's lock, which is held")
    parser.add_argument("--grace", type=float, required=True, help="seconds to stay after the last client has gone")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(name)s: %(message)s")

    run = Run(arguments.folder)
    os.set_inheritable(arguments.lock, False)  # servers must not hold it
    lock = FileLock(run.lock, arguments.lock)
    sweep(run)
    run.socket.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(run.socket))
    listener.listen(_BACKLOG)

    if os.fork():
        os._exit(0)
    os.setsid()
    supervisor_lives, held_open = os.pipe()
    if not os.fork():
        os.setsid()  # so that a signal to the supervisor's group leaves the janitor alone
        listener.close()
        os.close(held_open)
        _watch(run, lock, supervisor_lives)
        return 0
    os.close(supervisor_lives)

    Loop(listener, Estate(run), arguments.grace, SYSTEM_CLOCK).run()
    LOG.info("nobody is left: the run ends")
    run.socket.unlink(missing_ok=True)
    os._exit(0)  # without a farewell to the servers: see above


if __name__ == "__main__":
    sys.exit(main())
