"""PostgreSQL's test databases: a template database that the server copies."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import URL, Connection

from dbkit.backends.postgresql.contents import (
    Contents,
    contents_of,
    drop_all_objects,
    keep_rows,
    restore,
    structure_of,
)
from dbkit.backends.provisioning import Site, TemplateGone
from dbkit.exceptions import DBError

# A name of the driver's for what the server shows; psycopg and psycopg2 hand it on.
_APPLICATION = "dbkit provision"

_UNDEFINED_DATABASE = "3D000"
_STRATEGIES_SINCE = 150000
_IDLE_TIMEOUT_SINCE = 140000

# Up to this size the write-ahead log of a copy costs less than the two checkpoints of a copy by files, where
# checkpoints reach the disk. Source: PostgreSQL, CREATE DATABASE, STRATEGY.
_BY_LOG_UP_TO = 64 << 20

_ENDING = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name AND pid <> pg_backend_pid()"


class PostgreSQLProvisioning:
    """Templates are databases; each holds what identifies it as whole, and its rows' copy, in itself."""

    def connect_arguments(self, driver: str) -> Mapping[str, Any]:
        return {"application_name": _APPLICATION}

    def edition(self, site: Site) -> str:
        return ""  # the template lives and dies with its server

    def store(self, site: Site, key: str) -> TemplateDatabase:
        return TemplateDatabase(self, site, key)

    def prune(self, site: Site, prefix: str, keep: int) -> None:
        with site.connect(site.url) as admin:
            found = [
                (_manifest(comment).get("built", ""), str(name), bool(is_template))
                for name, is_template, comment in admin.execute(text(_TEMPLATES), {"prefix": _like(prefix)})
            ]
            whole = sorted((entry for entry in found if entry[2]), reverse=True)
            for _built, name, _is in [*whole[keep:], *(entry for entry in found if not entry[2])]:
                if _try_lock(admin, name):  # else somebody is building it
                    try:
                        with contextlib.suppress(DBError):  # it is just being copied, or is another user's
                            _drop(admin, name)
                    finally:
                        _unlock(admin, name)

    def name_of(self, site: Site, token: str) -> str:
        return f"dbkit_{token}"

    def url_of(self, site: Site, name: str) -> URL:
        return site.url.set(database=name)

    def drop(self, site: Site, name: str) -> None:
        with site.connect(site.url) as admin:
            prepared = admin.execute(
                text("SELECT gid FROM pg_prepared_xacts WHERE database = :name"), {"name": name}
            ).scalars()
            if gids := list(prepared):
                with site.connect(self.url_of(site, name)) as inside:  # only there can they be rolled back
                    for gid in gids:
                        _run(inside, f"ROLLBACK PREPARED {_literal(str(gid))}")
            _drop(admin, name)

    def drop_all_objects(self, connection: Connection) -> None:
        drop_all_objects(connection)


@dataclass(frozen=True, slots=True)
class TemplateDatabase:
    """A database that is a template once it is whole."""

    provisioning: PostgreSQLProvisioning
    site: Site
    key: str

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        # Advisory locks are a database's own: who names another database in the server's URL is not kept waiting, and
        # meets the template half-built, as an error.
        with self.site.connect(self.site.url) as admin:
            _run(admin, "SET statement_timeout = 0; SET lock_timeout = 0")
            if _version(admin) >= _IDLE_TIMEOUT_SINCE:
                _run(admin, "SET idle_session_timeout = 0")
            admin.execute(text("SELECT pg_advisory_lock(:number)"), {"number": _lock_number(self.key)})
            try:
                yield
            finally:
                _unlock(admin, self.key)

    def is_ready(self) -> bool:
        with self.site.connect(self.site.url) as admin:
            return bool(admin.execute(text(_IS_TEMPLATE), {"name": self.key}).scalar())

    def build(self, fill: Callable[[URL], None]) -> None:
        url = self.provisioning.url_of(self.site, self.key)
        with self.site.connect(self.site.url) as admin:
            _drop(admin, self.key)
            _run(admin, f"CREATE DATABASE {_quoted(self.key)} ENCODING 'UTF8' TEMPLATE template0")
            try:
                fill(url)
                with self.site.connect(url) as inside:
                    contents = keep_rows(inside)
                    structure = structure_of(inside)
                manifest = {"structure": structure, **contents.to_json()}
                moment = admin.execute(text("SELECT extract(epoch FROM clock_timestamp())::text")).scalar_one()
                comment = _literal(json.dumps({"built": str(moment), **manifest}))
                _run(admin, f"COMMENT ON DATABASE {_quoted(self.key)} IS {comment}")
                # From here on it is ready: both at once, and only now.
                _run(admin, f"ALTER DATABASE {_quoted(self.key)} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false")
            except BaseException:
                with contextlib.suppress(DBError):  # the next builder drops it; the first error is worth more
                    _drop(admin, self.key)
                raise
            list(admin.execute(text(_ENDING), {"name": self.key}))  # what the filling left open would forbid copies

    def clone(self, name: str) -> OriginalDatabase:
        with self.site.connect(self.site.url) as admin:
            manifest = _manifest(admin.execute(text(_COMMENT), {"name": self.key}).scalar())
            if not manifest:
                raise TemplateGone(self.key)
            strategy = self._strategy(admin)
            try:
                _run(admin, f"CREATE DATABASE {_quoted(name)} TEMPLATE {_quoted(self.key)}{strategy}")
            except DBError as failed:
                if failed.sqlstate == _UNDEFINED_DATABASE:
                    raise TemplateGone(self.key) from failed
                raise
        return OriginalDatabase(manifest["structure"], contents_of(manifest))

    def _strategy(self, admin: Connection) -> str:
        """Copy by files where checkpoints cost nothing or the log would be long; before 15 there is no choice."""
        if _version(admin) < _STRATEGIES_SINCE:
            return ""
        size, fsync = admin.execute(text(_SIZE_AND_FSYNC), {"name": self.key}).one()
        by_log = fsync == "on" and size is not None and size <= _BY_LOG_UP_TO
        return " STRATEGY WAL_LOG" if by_log else " STRATEGY FILE_COPY"


@dataclass(frozen=True, slots=True)
class OriginalDatabase:
    """What the template was; the numbers in it are those of the clone's own catalogue too."""

    structure: str
    contents: Contents

    def restore(self, connection: Connection, *, restart_sequences: bool) -> None:
        restore(connection, self.contents, restart_sequences=restart_sequences)

    def is_as_built(self, connection: Connection) -> bool:
        return structure_of(connection) == self.structure

    def let_go(self) -> None:
        """The server keeps it."""


_IS_TEMPLATE = "SELECT datistemplate FROM pg_database WHERE datname = :name"
_COMMENT = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = :name"
_TEMPLATES = (
    "SELECT datname, datistemplate, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname LIKE :prefix"
)
_SIZE_AND_FSYNC = (
    "SELECT (SELECT pg_database_size(oid) FROM pg_database WHERE datname = :name), current_setting('fsync')"
)


def _run(connection: Connection, statement: str) -> None:
    """Send text as it is: a per cent sign in it is no parameter."""
    connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def _drop(admin: Connection, name: str) -> None:
    if admin.execute(text(_IS_TEMPLATE), {"name": name}).scalar():
        _run(admin, f"ALTER DATABASE {_quoted(name)} WITH IS_TEMPLATE false")
    _run(admin, f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")


def _manifest(comment: object) -> Mapping[str, Any]:
    """Return what a comment tells of a template; nothing for a comment of another's."""
    try:
        manifest = json.loads(str(comment))
    except ValueError:
        return {}
    return manifest if isinstance(manifest, dict) else {}


def _version(connection: Connection) -> int:
    return int(connection.execute(text("SELECT current_setting('server_version_num')")).scalar_one())


def _lock_number(key: str) -> int:
    return int.from_bytes(hashlib.sha256(f"dbkit template {key}".encode()).digest()[:8], "big", signed=True)


def _try_lock(connection: Connection, key: str) -> bool:
    number = _lock_number(key)
    return bool(connection.execute(text("SELECT pg_try_advisory_lock(:number)"), {"number": number}).scalar())


def _unlock(connection: Connection, key: str) -> None:
    with contextlib.suppress(DBError):  # the session is gone, and the lock with it
        connection.execute(text("SELECT pg_advisory_unlock(:number)"), {"number": _lock_number(key)})


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(value: str) -> str:
    # The escape form, whatever standard_conforming_strings says.
    return "E'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _like(prefix: str) -> str:
    return prefix.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%") + "%"


PROVISIONING = PostgreSQLProvisioning()
