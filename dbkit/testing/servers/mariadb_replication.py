"""How MariaDB servers follow each other: replication by global transaction ids.

Replicas refuse writes by ``read_only``, which binds nobody who has the privilege READ ONLY ADMIN. So the user of
clients loses it on the primary of a cluster, and with the primary on every member; ``root`` keeps it, and does here
what an administrator does.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dbkit.exceptions import DBError, UsageError
from dbkit.testing.servers.databases import Runner, connected
from dbkit.testing.servers.endpoint import Endpoint
from dbkit.testing.servers.polling import wait_until
from dbkit.testing.servers.ports import LOOPBACK
from dbkit.testing.servers.provider import Installation, Layout, Settings, Source

_SETTINGS: Settings = {
    "relay_log": "relay",
    "log_slave_updates": "on",
    "slave_net_timeout": "5",
    # What was committed outlives the death of the process.
    "innodb_flush_log_at_trx_commit": "2",
}

_ADMINISTRATOR = "root"
_REPLAY_BOUND_S = 60.0
_LOOK_S = 0.2


class MariaDBReplication:
    """Replication of MariaDB 10.5 and later."""

    def settings(self, number: int, *, is_replica: bool) -> Settings:
        return {**_SETTINGS, "server_id": str(number), "read_only": "on" if is_replica else "off"}

    def clone_command(self, installation: Installation, layout: Layout, source: Source) -> list[str] | None:
        # A new server replays all that the primary has done since it was new, for its log holds everything.
        return None

    def open_primary(self, primary: Endpoint) -> None:
        with _administered(primary) as run:
            privilege = "READ ONLY ADMIN" if _version(run) >= (10, 11) else "READ ONLY ADMIN, SUPER"
            for (host,) in run("SELECT Host FROM mysql.user WHERE User = %s", (primary.user,)):
                run(f"REVOKE {privilege} ON *.* FROM '{primary.user}'@'{host}'")

    def expect(self, primary: Endpoint, name: str) -> None:
        return None

    def follow(self, replica: Endpoint, primary: Endpoint, name: str) -> None:
        with _administered(replica) as run:
            run("STOP REPLICA")
            run(
                f"CHANGE MASTER TO MASTER_HOST='{LOOPBACK}', MASTER_PORT={primary.port}, "
                f"MASTER_USER='{_ADMINISTRATOR}', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1"
            )
            run("START REPLICA")

    def position(self, primary: Endpoint) -> str:
        with _administered(primary) as run:
            return str(run("SELECT @@gtid_binlog_pos")[0][0])

    def progress(self, replica: Endpoint) -> int:
        with _administered(replica) as run:
            return sum(int(number) for number in re.findall(r"\d+-\d+-(\d+)", _status(run)["Gtid_IO_Pos"]))

    def replay_to(self, replica: Endpoint, position: str, bound_s: float) -> None:
        with _administered(replica) as run:

            def is_there() -> bool:
                if run("SELECT MASTER_GTID_WAIT(%s, %s)", (position, _LOOK_S))[0][0] == 0:
                    return True
                status = _status(run)
                if status["Last_SQL_Errno"]:
                    raise DBError(
                        message=f"the replica at port {replica.port} cannot follow: {status['Last_SQL_Error']}; "
                        "rejoin() makes it anew from the primary"
                    )
                if status["Slave_SQL_Running"] != "Yes":
                    raise UsageError(
                        "the replay is paused, and a replica that is behind stays so: call resume_replay()"
                    )
                return False

            wait_until(is_there, bound_s, f"the replay of the replica at port {replica.port} up to the primary")

    def pause(self, replica: Endpoint) -> None:
        with _administered(replica) as run:
            run("STOP REPLICA SQL_THREAD")

    def resume(self, replica: Endpoint) -> None:
        with _administered(replica) as run:
            run("START REPLICA SQL_THREAD")

    def delay(self, replica: Endpoint, seconds: float) -> None:
        with _administered(replica) as run:
            is_paused = _status(run)["Slave_SQL_Running"] != "Yes"
            run("STOP REPLICA")
            # The time of a commit is written down in whole seconds, so that a delay ends up to one too early.
            run(f"CHANGE MASTER TO MASTER_DELAY={math.ceil(seconds) + 1 if seconds else 0}")
            run("START REPLICA IO_THREAD" if is_paused else "START REPLICA")

    def promote(self, replica: Endpoint) -> None:
        with _administered(replica) as run:
            run("STOP REPLICA")
            status = _status(run)
            # What was received and not replayed stands in the relay log, which a start by transaction ids would throw
            # away in order to fetch it again, from a primary that may be gone.
            run(
                f"CHANGE MASTER TO MASTER_USE_GTID=no, MASTER_DELAY=0, RELAY_LOG_FILE='{status['Relay_Log_File']}', "
                f"RELAY_LOG_POS={status['Relay_Log_Pos']}"
            )
            run("START REPLICA SQL_THREAD")
            self.replay_to(replica, status["Gtid_IO_Pos"], _REPLAY_BOUND_S)
            run("STOP REPLICA")
            run("RESET REPLICA ALL")
            run("SET GLOBAL read_only = 0")


def _administered(server: Endpoint) -> contextlib.AbstractContextManager[Runner]:
    return connected(replace(server, user=_ADMINISTRATOR), None)


def _status(run: Runner) -> Mapping[str, Any]:
    status = run.record("SHOW REPLICA STATUS")
    if not status:
        raise UsageError("the server is no replica any more: it follows no primary")
    return status


def _version(run: Runner) -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)", str(run("SELECT VERSION()")[0][0]))
    return tuple(map(int, found.groups())) if found else ()
