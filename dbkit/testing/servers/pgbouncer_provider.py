"""PgBouncer: its program, its configuration for tests, its signs of life."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from dbkit.testing.servers.binaries import obtain_program
from dbkit.testing.servers.endpoint import Endpoint
from dbkit.testing.servers.ports import LOOPBACK, is_listening
from dbkit.testing.servers.provider import Installation, Layout, Replication, Settings

#: Names the program; nothing else is looked at then.
PROGRAM_SETTING = "DBKIT_PGBOUNCER"

#: The files in PgBouncer's folder: its configuration, and the users that it lets in.
CONFIGURATION_FILE, USERS_FILE = "pgbouncer.ini", "users.txt"

_SETTINGS: Settings = {
    "listen_addr": LOOPBACK,
    "unix_socket_dir": "",
    "auth_type": "trust",
    "max_client_conn": "500",
    "default_pool_size": "20",
    # A server that is back is noticed within a second, not fifteen.
    "server_login_retry": "1",
    # What drivers ask for when they connect, and PgBouncer does not know.
    "ignore_startup_parameters": "extra_float_digits,options,search_path,statement_timeout,jit",
}


class PgBouncer:
    """PgBouncer 1.14 and later."""

    kind = "pgbouncer"
    speaks: str | None = "postgresql"
    replication: Replication | None = None
    accounts: Sequence[str] = ("postgres", "nobody")
    user = "dbkit"
    maintenance_database: str | None = "postgres"
    stop_signal: signal.Signals = signal.SIGTERM  # at once, with all connections
    death_signal: signal.Signals = signal.SIGKILL

    def find(self, environment: Mapping[str, str]) -> Installation:
        program = obtain_program("pgbouncer", PROGRAM_SETTING, environment, ("/usr/sbin", "/usr/local/bin"))
        return Installation(self.kind, {"pgbouncer": str(program)}, {})

    def version_command(self, installation: Installation) -> list[str]:
        return [installation.programs["pgbouncer"], "--version"]

    def creation_files(self) -> Mapping[str, str]:
        return {}

    def creation_command(self, installation: Installation, layout: Layout) -> list[str]:
        return ["mkdir", str(layout.data)]

    def server_command(self, installation: Installation, layout: Layout, port: int, settings: Settings) -> list[str]:
        return [installation.programs["pgbouncer"], str(layout.folder / CONFIGURATION_FILE)]

    def is_ready(self, layout: Layout, port: int, pid: int) -> bool:
        return is_listening(port)

    def scour(self, layout: Layout) -> None:
        return None


def configuration(folder: Path, port: int, server: Endpoint, settings: Settings) -> str:
    """Return PgBouncer's configuration for all databases of one server."""
    own = {**_SETTINGS, "listen_port": str(port), "auth_file": str(folder / USERS_FILE), **settings}
    lines = ["[databases]", f"* = host={server.host} port={server.port or 5432}", "[pgbouncer]"]
    return "\n".join([*lines, *(f"{name} = {value}" for name, value in own.items()), ""])


def users(server: Endpoint) -> str:
    """Return the file of the one user whom PgBouncer lets in, and by whom it connects to the server."""
    return " ".join(f'"{(text or "").replace(chr(34), chr(34) * 2)}"' for text in (server.user, server.password)) + "\n"
