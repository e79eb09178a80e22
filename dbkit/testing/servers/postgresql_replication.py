"""How PostgreSQL servers follow each other: streaming replication with a physical slot for each standby."""

from __future__ import annotations

from dbkit.exceptions import BackendNotAvailable, DBError, UsageError
from dbkit.testing.servers.databases import connected
from dbkit.testing.servers.endpoint import Endpoint
from dbkit.testing.servers.polling import wait_until
from dbkit.testing.servers.ports import LOOPBACK
from dbkit.testing.servers.provider import Installation, Layout, Settings, Source

_SETTINGS: Settings = {
    # A standby that was left behind finds what it needs for as long as it has its slot. This is for one that begins to
    # follow another primary, where it had none.
    "wal_keep_size": "128MB",
    "wal_retrieve_retry_interval": "100ms",
    "wal_receiver_status_interval": "1s",
}

_ADMINISTRATOR = "dbkit"
_PAGE = 8192
# What stands before the first record of a page, and of a segment: src/include/access/xlog_internal.h
_PAGE_HEADERS = frozenset({24, 40})
_PAUSE_BOUND_S = 30.0
_PROMOTE_BOUND_S = 50


class PostgreSQLReplication:
    """Streaming replication of PostgreSQL 13 and later."""

    def settings(self, number: int, *, is_replica: bool) -> Settings:
        return _SETTINGS

    def clone_command(self, installation: Installation, layout: Layout, source: Source) -> list[str] | None:
        program = installation.programs.get("pg_basebackup")
        if program is None:
            raise BackendNotAvailable(
                f"PostgreSQL's program pg_basebackup was not found beside {installation.programs['postgres']}; "
                "install the package postgresql-client"
            )
        return [
            program,
            f"--dbname={_conninfo(source.port, source.name)}",
            f"--pgdata={layout.data}",
            f"--slot={source.name}",
            "--wal-method=stream",
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--no-sync",
        ]

    def open_primary(self, primary: Endpoint) -> None:
        return None

    def expect(self, primary: Endpoint, name: str) -> None:
        with connected(primary, None) as run:
            if not run("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", (name,)):
                run("SELECT pg_create_physical_replication_slot(%s, true)", (name,))

    def follow(self, replica: Endpoint, primary: Endpoint, name: str) -> None:
        with connected(replica, None) as run:
            run(f"ALTER SYSTEM SET primary_conninfo = '{_conninfo(primary.port, name)}'")
            run(f"ALTER SYSTEM SET primary_slot_name = '{name}'")
            run("SELECT pg_reload_conf()")

    def position(self, primary: Endpoint) -> str:
        with connected(primary, None) as run:
            # Where the next record will be written, because with synchronous_commit = off a commit is told before it
            # is in the part of the log that is flushed.
            ((position,),) = run("SELECT pg_current_wal_insert_lsn() - '0/0'")
        number = int(position)
        # Behind a page's header no record ends: what is committed ends where the page before does.
        return str(number - number % _PAGE if number % _PAGE in _PAGE_HEADERS else number)

    def progress(self, replica: Endpoint) -> int:
        with connected(replica, None) as run:
            ((received,),) = run("SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'")
        return int(received)

    def replay_to(self, replica: Endpoint, position: str, bound_s: float) -> None:
        with connected(replica, None) as run:

            def is_there() -> bool:
                ((replayed, is_paused),) = run("SELECT pg_last_wal_replay_lsn() - '0/0', pg_is_wal_replay_paused()")
                if int(replayed) >= int(position):
                    return True
                if is_paused:
                    raise UsageError(
                        "the replay is paused, and a replica that is behind stays so: call resume_replay()"
                    )
                return False

            wait_until(is_there, bound_s, f"the replay of the standby at port {replica.port} up to the primary")

    def pause(self, replica: Endpoint) -> None:
        with connected(replica, None) as run:
            run("SELECT pg_wal_replay_pause()")
            ((version, delay),) = run(f"SELECT current_setting('server_version_num'), {_DELAY}")
            # A transaction that waits out its delay is stopped at the end of it, and until then the pause is not told.
            # PostgreSQL 13 never tells it.
            if int(version) >= 140000 and delay == "0":
                wait_until(
                    lambda: run("SELECT 1 WHERE pg_get_wal_replay_pause_state() = 'paused'"),
                    _PAUSE_BOUND_S,
                    f"the pause of the standby at port {replica.port}",
                )

    def resume(self, replica: Endpoint) -> None:
        with connected(replica, None) as run:
            run("SELECT pg_wal_replay_resume()")

    def delay(self, replica: Endpoint, seconds: float) -> None:
        milliseconds = round(seconds * 1000)
        with connected(replica, None) as run:
            run(f"ALTER SYSTEM SET recovery_min_apply_delay = '{milliseconds}ms'")
            run("SELECT pg_reload_conf()")
        told = f"the new delay of the standby at port {replica.port}"
        wait_until(lambda: self._delay_of(replica) == str(milliseconds), _PAUSE_BOUND_S, told)

    def _delay_of(self, replica: Endpoint) -> str:
        # A new session has what the server has; by then it has told the process that replays.
        with connected(replica, None) as run:
            ((delay,),) = run(f"SELECT {_DELAY}")
            return str(delay)

    def promote(self, replica: Endpoint) -> None:
        # The promotion itself ends a pause and a delay; but the setting would stay, and go to every clone.
        self.delay(replica, 0)
        with connected(replica, None) as run:
            ((is_done,),) = run("SELECT pg_promote(true, %s)", (_PROMOTE_BOUND_S,))
            if not is_done:
                raise DBError(message=f"the standby at port {replica.port} was not promoted in {_PROMOTE_BOUND_S} s")


_DELAY = "(SELECT setting FROM pg_settings WHERE name = 'recovery_min_apply_delay')"  # in milliseconds


def _conninfo(port: int | None, name: str) -> str:
    return f"host={LOOPBACK} port={port} user={_ADMINISTRATOR} application_name={name}"
