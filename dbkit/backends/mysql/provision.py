"""MySQL's and MariaDB's test databases: a dump in a file, replayed, for these servers cannot copy a database."""

from __future__ import annotations

import contextlib
import functools
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL, Connection

from dbkit.backends import kept_files
from dbkit.backends.mysql.dump import (
    SESSION,
    Dump,
    ask,
    checksums_of,
    counters_of,
    dump_of,
    quoted,
    run_script,
    structure_of,
    trigger_script,
)
from dbkit.backends.processlist import sessions_in
from dbkit.backends.provisioning import Site, TemplateGone
from dbkit.exceptions import DBError

# CLIENT_MULTI_STATEMENTS of the client protocol
_MULTI_STATEMENTS = 1 << 16

# Above so many rows DELETE, which writes the log for each, costs more than TRUNCATE, which makes a new file.
_TRUNCATE_FROM = 2000

# For sessions that use what is to be dropped; the server's own patience is a day.
_LOCK_TIMEOUT_S = 5

_EDITION = (
    "SELECT CONCAT_WS(' ', @@version, @@lower_case_table_names, @@character_set_server, @@collation_server, "
    "@@default_storage_engine, @@explicit_defaults_for_timestamp)"
)


class MySQLProvisioning:
    """Templates are files in the cache, so that they outlive their servers."""

    def connect_arguments(self, driver: str) -> Mapping[str, Any]:
        return {"client_flag": _MULTI_STATEMENTS} if driver == "pymysql" else {}

    def edition(self, site: Site) -> str:
        with site.connect(site.url) as admin:
            return str(ask(admin, _EDITION)[0][0])

    def store(self, site: Site, key: str) -> TemplateDump:
        return TemplateDump(self, site, site.cache / f"{key}.json")

    def prune(self, site: Site, prefix: str, keep: int) -> None:
        kept_files.prune(site.cache, f"{prefix}*.json", keep)

    def name_of(self, site: Site, token: str) -> str:
        return f"dbkit_{token}"

    def url_of(self, site: Site, name: str) -> URL:
        return site.url.set(database=name)

    def drop(self, site: Site, name: str) -> None:
        with site.connect(site.url) as admin:
            for session in sessions_in(functools.partial(ask, admin), name):
                with contextlib.suppress(DBError):  # it may have ended by itself
                    run_script(admin, [f"KILL {session}"])
            run_script(admin, ["SET SESSION lock_wait_timeout = 30", f"DROP DATABASE IF EXISTS {quoted(name)}"])

    def drop_all_objects(self, connection: Connection) -> None:
        kinds = {"VIEW": "VIEW", "SEQUENCE": "SEQUENCE"}
        script = []
        found = [(str(name), kinds.get(str(kind), "TABLE")) for name, kind in ask(connection, _OBJECTS)]
        for wanted in ("VIEW", "TABLE", "SEQUENCE"):  # a table may take its defaults from a sequence
            script += [f"DROP {kind} IF EXISTS {quoted(name)}" for name, kind in found if kind == wanted]
        script += [f"DROP {kind} IF EXISTS {quoted(name)}" for kind, name in ask(connection, _CODE)]
        run_script(connection, [f"SET SESSION foreign_key_checks = 0, lock_wait_timeout = {_LOCK_TIMEOUT_S}"])
        try:
            run_script(connection, script)
        finally:
            run_script(connection, ["SET SESSION foreign_key_checks = 1, lock_wait_timeout = DEFAULT"])


@dataclass(frozen=True, slots=True)
class TemplateDump:
    """A file in the cache; it gets its name when it is whole."""

    provisioning: MySQLProvisioning
    site: Site
    path: Path

    def locked(self) -> AbstractContextManager[None]:
        # A builder elsewhere has a cache and a scratch database of its own, so this machine's lock is enough.
        return kept_files.building(self.path)

    def is_ready(self) -> bool:
        return self.path.exists()

    def build(self, fill: Callable[[URL], None]) -> None:
        name = self.provisioning.name_of(self.site, f"build_{secrets.token_hex(6)}")
        self.site.adopt(name)
        try:
            with self.site.connect(self.site.url) as admin:
                run_script(admin, [_creation(name)])
            url = self.provisioning.url_of(self.site, name)
            fill(url)
            with self.site.connect(url) as inside:
                dump = dump_of(inside)
            draft = self.path.with_suffix(".draft")
            with open(draft, "w", encoding="utf-8", opener=kept_files.private) as file:
                file.write(dump.to_json())
            draft.replace(self.path)
        finally:
            self.provisioning.drop(self.site, name)
            self.site.forget(name)

    def clone(self, name: str) -> OriginalDump:
        kept_files.touch(self.path)
        dump = self._dump()
        with self.site.connect(self.site.url) as admin:
            try:
                run_script(admin, [_creation(name), f"USE {quoted(name)}", *dump.script()])
            except BaseException:
                with contextlib.suppress(DBError):  # the first error is worth more
                    run_script(admin, [f"DROP DATABASE IF EXISTS {quoted(name)}"])
                raise
            finally:
                run_script(admin, ["USE information_schema"])  # who drops the database ends the sessions in it
        return OriginalDump(dump)

    def _dump(self) -> Dump:
        try:
            found = self.path.stat()
        except FileNotFoundError as gone:
            raise TemplateGone(str(self.path)) from gone
        return _read(self.path, found.st_ino, found.st_size)


@dataclass(frozen=True, slots=True)
class OriginalDump:
    """The dump that a clone was made of."""

    dump: Dump

    def restore(self, connection: Connection, *, restart_sequences: bool) -> None:
        dump = self.dump
        run_script(connection, [SESSION])
        filled = {table.name: table for table in dump.tables if table.inserts}
        sums = checksums_of(connection, list(filled))
        changed = {name for name, found in sums.items() if found != filled[name].checksum}
        others = [table.name for table in dump.tables if not table.inserts]
        script = list(_emptying(connection, [*_with_rows(connection, others), *sorted(changed)], dump))
        firing = [each for each in dump.triggers if each.table in changed and each.event == "INSERT"]
        script += [f"DROP TRIGGER {quoted(each.name)}" for each in firing]
        for name in sorted(changed):
            script += filled[name].inserts
        script += trigger_script([each for each in dump.triggers if each in firing])
        run_script(connection, script)
        if restart_sequences:
            now = counters_of(connection)
            run_script(
                connection,
                [
                    *(
                        f"ALTER TABLE {quoted(table.name)} AUTO_INCREMENT = {table.counter or 1}"
                        for table in dump.tables
                        if table.name in now and now[table.name] != (table.counter or 1)
                    ),
                    *(value for _name, _creation, value in dump.sequences),
                ],
            )

    def is_as_built(self, connection: Connection) -> bool:
        return structure_of(connection) == self.dump.structure

    def let_go(self) -> None:
        """The server keeps it."""


@functools.lru_cache(maxsize=4)
def _read(path: Path, inode: int, size: int) -> Dump:
    return Dump.from_json(path.read_text(encoding="utf-8"))


def _creation(name: str) -> str:
    return f"CREATE DATABASE {quoted(name)} CHARACTER SET utf8mb4"


def _with_rows(connection: Connection, tables: Sequence[str]) -> list[str]:
    """Return the tables that have rows, with one question."""
    if not tables:
        return []
    parts = [f"(SELECT {number} FROM {quoted(name)} LIMIT 1)" for number, name in enumerate(tables)]
    return [tables[int(number)] for (number,) in ask(connection, " UNION ALL ".join(parts))]


def _emptying(connection: Connection, tables: Sequence[str], dump: Dump) -> Iterator[str]:
    """Yield what empties tables without firing a trigger; foreign keys are off in this session."""
    firing = {each.table for each in dump.triggers if each.event == "DELETE"}
    large = _large(connection, tables)
    for name in tables:
        yield f"TRUNCATE TABLE {quoted(name)}" if name in firing or name in large else f"DELETE FROM {quoted(name)}"


def _large(connection: Connection, tables: Sequence[str]) -> set[str]:
    if not tables:
        return set()
    parts = [
        f"(SELECT {number} FROM {quoted(name)} LIMIT 1 OFFSET {_TRUNCATE_FROM})" for number, name in enumerate(tables)
    ]
    return {tables[int(number)] for (number,) in ask(connection, " UNION ALL ".join(parts))}


_OBJECTS = "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
_CODE = (
    "SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() "
    "UNION ALL SELECT 'EVENT', EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()"
)


PROVISIONING = MySQLProvisioning()
