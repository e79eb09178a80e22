"""HAProxy: its program, its configuration for tests, its signs of life."""

from __future__ import annotations

import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dbkit.testing.servers.binaries import obtain_program
from dbkit.testing.servers.endpoint import Endpoint
from dbkit.testing.servers.ports import LOOPBACK, is_listening
from dbkit.testing.servers.provider import Installation, Layout, Replication, Settings

#: Names the program; nothing else is looked at then.
PROGRAM_SETTING = "DBKIT_HAPROXY"

#: The files in HAProxy's folder: its configuration, and the socket on which it takes commands.
CONFIGURATION_FILE, COMMAND_SOCKET = "haproxy.cfg", "commands"


class HAProxy:
    """HAProxy 2.2 and later."""

    kind = "haproxy"
    speaks: str | None = None  # whatever the servers behind it speak
    replication: Replication | None = None
    accounts: Sequence[str] = ("haproxy", "nobody")
    user = ""
    maintenance_database: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM  # at once, with all connections
    death_signal: signal.Signals = signal.SIGKILL

    def find(self, environment: Mapping[str, str]) -> Installation:
        program = obtain_program("haproxy", PROGRAM_SETTING, environment, ("/usr/sbin", "/usr/local/sbin"))
        return Installation(self.kind, {"haproxy": str(program)}, {})

    def version_command(self, installation: Installation) -> list[str]:
        return [installation.programs["haproxy"], "-v"]

    def creation_files(self) -> Mapping[str, str]:
        return {}

    def creation_command(self, installation: Installation, layout: Layout) -> list[str]:
        return ["mkdir", str(layout.data)]

    def server_command(self, installation: Installation, layout: Layout, port: int, settings: Settings) -> list[str]:
        return [installation.programs["haproxy"], "-db", "-f", str(layout.folder / CONFIGURATION_FILE)]

    def is_ready(self, layout: Layout, port: int, pid: int) -> bool:
        if not is_listening(port):
            return False
        # It gets its name after the ports are open; one that a killed process left refuses.
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(layout.folder / COMMAND_SOCKET)) == 0

    def scour(self, layout: Layout) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Target:
    """A server to which connections are passed on.

    :param health_port: where it is told over HTTP what part the server plays.
    """

    name: str
    endpoint: Endpoint
    health_port: int


@dataclass(frozen=True, slots=True)
class Door:
    """A port at which clients connect.

    :param part: what a server must play to be connected to.
    :param balance: how one of several is chosen, as HAProxy names it.
    """

    part: str
    port: int
    balance: str


def configuration(folder: Path, doors: Sequence[Door], targets: Sequence[Target]) -> str:
    """Return HAProxy's configuration for these doors, each of which leads to all of these servers."""
    text = f"""\
global
    nbthread 1
    maxconn 500
    stats socket {folder / COMMAND_SOCKET} mode 600 level admin
defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    timeout check 1s
    retries 1
    option redispatch
    default-server inter 100ms fall 3 rise 1 on-marked-down shutdown-sessions
"""
    for door in doors:
        text += f"""\
listen {door.part}
    bind {LOOPBACK}:{door.port}
    balance {door.balance}
    option httpchk GET /{door.part}
"""
        for target in targets:
            place = f"{target.endpoint.host}:{target.endpoint.port}"
            text += f"    server {target.name} {place} check addr {LOOPBACK} port {target.health_port}\n"
    return text
