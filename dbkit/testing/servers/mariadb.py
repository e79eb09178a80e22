"""MariaDB: its programs, its settings for tests, its signs of life."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from dbkit.exceptions import BackendNotAvailable
from dbkit.testing.servers.binaries import find_program, on_path
from dbkit.testing.servers.mariadb_replication import MariaDBReplication
from dbkit.testing.servers.ports import LOOPBACK
from dbkit.testing.servers.provider import Installation, Layout, Replication, Settings

#: Names the folder to which MariaDB's packages were unpacked; nothing else is looked at then.
HOME_SETTING = "DBKIT_MARIADB_HOME"

_SETTINGS: Settings = {
    "bind_address": LOOPBACK,
    "skip_name_resolve": "on",
    "max_connections": "500",
    "character_set_server": "utf8mb4",
    "default_time_zone": "+00:00",
    "performance_schema": "off",
    "innodb_lock_wait_timeout": "5",
    "innodb_buffer_pool_size": "32M",
    "innodb_log_file_size": "16M",
    "innodb_buffer_pool_dump_at_shutdown": "off",
    "innodb_buffer_pool_load_at_startup": "off",
    "key_buffer_size": "1M",
    "aria_pagecache_buffer_size": "8M",
    "table_open_cache": "400",
    # Durability is off.
    "innodb_flush_log_at_trx_commit": "0",
    "innodb_flush_method": "nosync",
    "innodb_doublewrite": "off",
    "innodb_use_native_aio": "off",
    "sync_binlog": "0",
    # The binary log gives transactions the ids by which a replica's state is compared.
    "log_bin": "binlog",
    "binlog_format": "ROW",
    "max_binlog_size": "64M",
    "server_id": "1",
    "gtid_strict_mode": "on",
}

_ACCOUNTS = """\
FLUSH PRIVILEGES;
DELETE FROM mysql.global_priv WHERE User = '';
CREATE USER 'dbkit'@'%';
CREATE USER 'dbkit'@'localhost';
CREATE USER 'root'@'%';
GRANT ALL PRIVILEGES ON *.* TO 'dbkit'@'%' WITH GRANT OPTION;
GRANT ALL PRIVILEGES ON *.* TO 'dbkit'@'localhost' WITH GRANT OPTION;
GRANT ALL PRIVILEGES ON *.* TO 'root'@'%' WITH GRANT OPTION;
"""

_LOOK_S = 0.2


class MariaDB:
    """Servers of MariaDB 10.4 and later."""

    kind = "mysql"
    speaks: str | None = "mysql"
    replication: Replication | None = MariaDBReplication()
    accounts: Sequence[str] = ("mysql", "nobody")
    user = "dbkit"
    maintenance_database: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL

    def find(self, environment: Mapping[str, str]) -> Installation:
        named = environment.get(HOME_SETTING)
        if named:
            prefix = Path(named)
            folders = [prefix / "usr/sbin", prefix / "usr/bin", prefix / "usr/libexec", prefix / "bin"]
        else:
            system = ("/usr/sbin", "/usr/libexec", "/usr/local/sbin", "/usr/bin")
            folders = [*on_path(environment), *map(Path, system)]
        server = find_program(["mariadbd"], folders)
        creator = find_program(["mariadb-install-db"], folders)
        if server and creator:
            programs = {"mariadbd": str(server), "mariadb-install-db": str(creator)}
            return Installation(self.kind, programs, _unpacked_environment(Path(named)) if named else {}, named)
        where = f"in {named}, which {HOME_SETTING} names" if named else "on PATH, in /usr/sbin and in /usr/libexec"
        raise BackendNotAvailable(
            f"MariaDB's programs mariadbd and mariadb-install-db were not found {where}; "
            "install the package mariadb-server"
        )

    def version_command(self, installation: Installation) -> list[str]:
        return [installation.programs["mariadbd"], "--no-defaults", "--version"]

    def creation_files(self) -> Mapping[str, str]:
        return {"accounts.sql": _ACCOUNTS}  # one statement a line: the server reads it so at this time

    def creation_command(self, installation: Installation, layout: Layout) -> list[str]:
        return [
            installation.programs["mariadb-install-db"],
            "--no-defaults",
            *_unpacked_options(installation),
            f"--datadir={layout.data}",
            f"--tmpdir={layout.temporary}",
            f"--extra-file={layout.folder / 'accounts.sql'}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
            "--innodb-flush-method=nosync",
            f"--innodb-log-file-size={_SETTINGS['innodb_log_file_size']}",
        ]

    def server_command(self, installation: Installation, layout: Layout, port: int, settings: Settings) -> list[str]:
        return [
            installation.programs["mariadbd"],
            "--no-defaults",
            *_unpacked_options(installation),
            f"--datadir={layout.data}",
            # Its own: a server that starts deletes others' temporary tables from a shared folder.
            f"--tmpdir={layout.temporary}",
            f"--socket={layout.folder / 'socket'}",
            f"--pid-file={layout.folder / 'pid'}",
            f"--port={port}",
            *(f"--{name.replace('_', '-')}={value}" for name, value in {**_SETTINGS, **settings}.items()),
        ]

    def is_ready(self, layout: Layout, port: int, pid: int) -> bool:
        # It listens before it is up, and loses a request to stop until then: only its greeting says that it is.
        try:
            with socket.create_connection((LOOPBACK, port), _LOOK_S) as probe:
                return bool(probe.recv(1))
        except OSError:
            return False

    def scour(self, layout: Layout) -> None:
        return None


def _unpacked_environment(prefix: Path) -> dict[str, str]:
    libraries = [prefix / "usr/lib", prefix / "lib", *sorted((prefix / "usr/lib").glob("*-linux-gnu*"))]
    programs = [prefix / "usr/bin", prefix / "usr/sbin", Path("/usr/bin"), Path("/bin")]
    return {
        "LD_LIBRARY_PATH": os.pathsep.join(str(folder) for folder in libraries if folder.is_dir()),
        "PATH": os.pathsep.join(map(str, programs)),
    }


def _unpacked_options(installation: Installation) -> list[str]:
    if installation.prefix is None:
        return []
    base = Path(installation.prefix) / "usr"
    return [
        f"--basedir={base}",
        f"--lc-messages-dir={base / 'share/mysql'}",
        f"--plugin-dir={base / 'lib/mysql/plugin'}",
    ]
