"""Galera nodes: MariaDB with the replication library, its settings for tests, and how a node tells of its state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dbkit.exceptions import BackendNotAvailable
from dbkit.testing.servers.binaries import find_program, on_path
from dbkit.testing.servers.mariadb import MariaDB
from dbkit.testing.servers.provider import Installation, Layout, Replication, Settings

_LIBRARY = "libgalera_smm.so"
_LIBRARY_FOLDERS = ("lib/galera", "lib64/galera-4", "lib64/galera", "lib/galera-4")

_SETTINGS: Settings = {
    "wsrep_on": "on",
    "wsrep_cluster_name": "dbkit",
    "wsrep_node_address": "127.0.0.1",
    "wsrep_slave_threads": "2",
    "wsrep_sst_method": "rsync",
    "innodb_autoinc_lock_mode": "2",
}

#: The file in a node's folder that holds the last state of which the node has told.
STATE_FILE = "state"

#: The file in a node's folder that the node runs when its state changes.
NOTIFY_FILE = "notify"

#: The program of that file. Its parent is the server: so what an earlier process of the node told counts no more.
NOTIFY_PROGRAM = f"""\
while [ $# -gt 1 ]; do
    case $1 in
        --status) status=$2 ;;
        --primary) primary=$2 ;;
    esac
    shift
done
echo "$PPID $status $primary" > ../{STATE_FILE}.new
mv ../{STATE_FILE}.new ../{STATE_FILE}
"""


class Galera(MariaDB):
    """Nodes of Galera 4, which comes with MariaDB 10.4 and later."""

    kind = "galera"
    replication: Replication | None = None

    def find(self, environment: Mapping[str, str]) -> Installation:
        found = super().find(environment)
        bases = [Path(found.prefix) / "usr"] if found.prefix else [Path("/usr"), Path("/usr/local")]
        library = next((path for base in bases for path in _libraries(base) if path.is_file()), None)
        if library is None:
            raise BackendNotAvailable(
                f"the library {_LIBRARY} was not found below {' or '.join(map(str, bases))}; "
                "install the package galera-4"
            )
        path = [Path(step) for step in ("/usr/bin", "/bin", "/usr/local/bin")]
        path += [Path(found.prefix) / "usr/bin"] if found.prefix else on_path(environment)
        if find_program(["rsync"], path) is None:  # by which a node that was away gets what it missed
            raise BackendNotAvailable("the program rsync was not found; install the package rsync")
        return replace(found, programs={**found.programs, _LIBRARY: str(library)})

    def server_command(self, installation: Installation, layout: Layout, port: int, settings: Settings) -> list[str]:
        own = {
            **_SETTINGS,
            "wsrep_provider": installation.programs[_LIBRARY],
            # By the shell's name, because the folder may lie where nothing can be executed.
            "wsrep_notify_cmd": f"exec /bin/sh {layout.folder / NOTIFY_FILE}",
        }
        command = super().server_command(installation, layout, port, {**own, **settings})
        # The nodes' positions say it all, and a node that gets another one's data would not get its log.
        return command if "log_bin" in settings else [*command, "--skip-log-bin"]

    def is_ready(self, layout: Layout, port: int, pid: int) -> bool:
        try:
            told = (layout.folder / STATE_FILE).read_text().split()
        except OSError:
            return False
        return told == [str(pid), "synced", "yes"] and super().is_ready(layout, port, pid)


def _libraries(base: Path) -> list[Path]:
    return [base / folder / _LIBRARY for folder in _LIBRARY_FOLDERS]
