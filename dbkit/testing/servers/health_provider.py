"""The helper of load balancers, as a server among the others: its program is this interpreter."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence

from dbkit.testing.servers.ports import is_listening
from dbkit.testing.servers.provider import Installation, Layout, Replication, Settings

#: The file in the helper's folder that says what it watches.
WATCHED_FILE = "watched.json"


class Health:
    """Processes that answer a load balancer's questions."""

    kind = "health"
    speaks: str | None = None
    replication: Replication | None = None
    # The caller itself: this is dbkit's own code, which may lie where no other user can read it.
    accounts: Sequence[str] = ("root",)
    user = ""
    maintenance_database: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL

    def find(self, environment: Mapping[str, str]) -> Installation:
        path = os.pathsep.join(os.path.abspath(step) for step in sys.path)
        return Installation(self.kind, {"python": sys.executable}, {"PYTHONPATH": path})

    def version_command(self, installation: Installation) -> list[str]:
        return [installation.programs["python"], "--version"]

    def creation_files(self) -> Mapping[str, str]:
        return {}

    def creation_command(self, installation: Installation, layout: Layout) -> list[str]:
        return ["mkdir", str(layout.data)]

    def server_command(self, installation: Installation, layout: Layout, port: int, settings: Settings) -> list[str]:
        program = installation.programs["python"]
        return [program, "-m", "dbkit.testing.servers.health", str(layout.folder / WATCHED_FILE)]

    def is_ready(self, layout: Layout, port: int, pid: int) -> bool:
        return is_listening(port)

    def scour(self, layout: Layout) -> None:
        return None
