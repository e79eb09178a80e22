"""A MySQL database as statements that build it again, and what must be known to restore its rows."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.engine import Connection

from dbkit.backends.build import build_error
from dbkit.backends.mysql.errors import RULES
from dbkit.exceptions import UsageError

# Characters of one INSERT, and of the statements that are sent at once; the server takes 16 MB of bytes by default.
_INSERT_SIZE = 512 << 10

_MODE = "NO_AUTO_VALUE_ON_ZERO"

#: The session in which a dump is written and read: texts mean the same whatever the server's configuration.
SESSION = (
    f"SET SESSION sql_mode = '{_MODE}', time_zone = '+00:00', foreign_key_checks = 0, unique_checks = 0, "
    "sql_quote_show_create = 1, innodb_lock_wait_timeout = 5, lock_wait_timeout = 5"
)

_BINARY = frozenset(
    "binary varbinary tinyblob blob mediumblob longblob bit geometry point linestring polygon multipoint "
    "multilinestring multipolygon geometrycollection geomcollection vector".split()
)
_NUMBERS = frozenset("tinyint smallint mediumint int bigint decimal double year".split())
_COMPUTED = re.compile(r"\b(VIRTUAL|STORED|PERSISTENT) GENERATED\b")


@dataclass(frozen=True, slots=True)
class Table:
    """A table without its triggers.

    :param inserts: statements that bring its rows.
    :param checksum: as CHECKSUM TABLE tells it; asked for only where there are rows.
    :param counter: the next value of AUTO_INCREMENT, or None.
    """

    name: str
    creation: str
    inserts: Sequence[str] = ()
    checksum: int = 0
    counter: int | None = None


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger of a table; ``mode`` is the sql_mode that it was written in."""

    name: str
    table: str
    event: str
    mode: str
    creation: str


@dataclass(frozen=True, slots=True)
class Dump:
    """All that a database holds.

    :param sequences: creation, and the statement that sets its value again.
    :param views: the statements that stand in until all views are there, and then the views themselves.
    :param code: routines and events, with the sql_mode of each.
    :param structure: see :func:`structure_of`.
    """

    tables: Sequence[Table] = ()
    triggers: Sequence[Trigger] = ()
    sequences: Sequence[tuple[str, str, str]] = ()
    views: Sequence[str] = ()
    routines: Sequence[tuple[str, str]] = ()
    events: Sequence[tuple[str, str]] = ()
    structure: str = ""

    def to_json(self) -> str:
        """Return the dump as text."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, dumped: str) -> Dump:
        """Return the dump that :meth:`to_json` wrote."""
        data = json.loads(dumped)
        data["tables"] = [Table(**each) for each in data["tables"]]
        for group in ("sequences", "routines", "events"):
            data[group] = [tuple(each) for each in data[group]]
        data["triggers"] = [Trigger(**each) for each in data["triggers"]]
        return cls(**data)

    def script(self) -> Iterator[str]:
        """Yield the statements that fill an empty database, in order.

        Functions come before the tables whose defaults may call them and the views that may; triggers after the rows.
        """
        yield SESSION
        for _name, creation, _value in self.sequences:
            yield creation
        yield from _in_modes(entry for entry in self.routines if _is_function(entry[1]))
        for table in self.tables:
            yield table.creation
        for table in self.tables:
            yield from table.inserts
        for _name, _creation, value in self.sequences:
            yield value
        yield from self.views
        yield from _in_modes(entry for entry in self.routines if not _is_function(entry[1]))
        yield from trigger_script(self.triggers)
        yield from _in_modes(self.events)


def trigger_script(triggers: Sequence[Trigger]) -> Iterator[str]:
    """Yield the statements that create triggers, in order."""
    yield from _in_modes((each.mode, each.creation) for each in triggers)


def dump_of(connection: Connection) -> Dump:
    """Return the database of the connection as a dump.

    :raises UsageError: it holds something that cannot be dumped.
    """
    run_script(connection, [SESSION])
    reader = _Reader(connection)
    kinds = [(str(name), str(kind)) for name, kind in ask(connection, _OBJECTS)]
    names = [name for name, kind in kinds if kind in ("BASE TABLE", "SYSTEM VERSIONED")]
    return Dump(
        tables=[reader.table(name) for name in names],
        triggers=[reader.trigger(*row) for row in ask(connection, _TRIGGERS)],
        sequences=[reader.sequence(name) for name, kind in kinds if kind == "SEQUENCE"],
        views=reader.views([name for name, kind in kinds if kind == "VIEW"]),
        routines=[reader.code(kind, name) for kind, name in ask(connection, _ROUTINES)],
        events=[reader.code("EVENT", name) for (name,) in ask(connection, _EVENTS)],
        structure=structure_of(connection),
    )


class _Reader:
    """Reads definitions, and leaves out the name of the database that they stand in and the author, if that is us."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        ((schema, user),) = ask(connection, "SELECT DATABASE(), CURRENT_USER()")
        account, _, host = str(user).rpartition("@")
        self._left_out = (
            f"{quoted(str(schema))}.",
            f" DEFINER={quoted(account)}@{quoted(host)}",
            f'"{schema}".',  # code that was written with ANSI_QUOTES
            f' DEFINER="{account}"@"{host}"',
        )
        self._counters = counters_of(connection)
        self._columns: dict[str, list[tuple[str, str, str]]] = {}
        for table, column, kind, extra in ask(connection, _COLUMNS):
            self._columns.setdefault(str(table), []).append((str(column), str(kind).lower(), str(extra).upper()))

    def table(self, name: str) -> Table:
        inserts = tuple(self._inserts(name))
        checksum = checksums_of(self._connection, [name])[name] if inserts else 0
        return Table(name, self._shown("TABLE", name, 1), inserts, checksum, self._counters.get(name))

    def trigger(self, name: str, table: str, event: str, mode: str) -> Trigger:
        return Trigger(name, table, event, mode, self._shown("TRIGGER", name, 2))

    def sequence(self, name: str) -> tuple[str, str, str]:
        ((following,),) = ask(self._connection, f"SELECT next_not_cached_value FROM {quoted(name)}")
        creation = self._shown("SEQUENCE", name, 1)
        return name, creation, f"ALTER SEQUENCE {quoted(name)} RESTART {int(following)}"

    def code(self, kind: str, name: str) -> tuple[str, str]:
        (row,) = ask(self._connection, f"SHOW CREATE {kind} {quoted(name)}")
        body = row[3 if kind == "EVENT" else 2]
        if body is None:
            raise UsageError(f"the {kind.lower()} {name!r} cannot be read by this user; it takes SHOW CREATE ROUTINE")
        return str(row[1]), self._cleared(str(body))

    def views(self, names: Sequence[str]) -> list[str]:
        """Return the views, each after one that stands in for it: they may name each other in any order."""
        stands = [
            f"CREATE VIEW {quoted(name)} AS SELECT "
            + ", ".join(f"1 AS {quoted(column)}" for column, _, _ in self._columns[name])
            for name in names
        ]
        return [*stands, *(self._shown("VIEW", name, 1).replace("CREATE ", "CREATE OR REPLACE ", 1) for name in names)]

    def _inserts(self, name: str) -> Iterator[str]:
        columns = [(column, kind) for column, kind, extra in self._columns[name] if not _COMPUTED.search(extra)]
        literals = ", ',', ".join(_literal(*column) for column in columns) or "''"
        head = f"INSERT INTO {quoted(name)} ({', '.join(quoted(column) for column, _ in columns)}) VALUES "
        rows: list[str] = []
        size = 0
        for (row,) in ask(self._connection, f"SELECT CONCAT('(', {literals}, ')') FROM {quoted(name)}"):
            if row is None:
                raise UsageError(
                    f"a row of the table {name!r} is too large for this server to write down; raise its "
                    f"max_allowed_packet to more than twice the size of the row"
                )
            if rows and size + len(row) > _INSERT_SIZE:
                yield head + ",".join(rows)
                rows, size = [], 0
            rows.append(row)
            size += len(row)
        if rows:
            yield head + ",".join(rows)

    def _shown(self, kind: str, name: str, at: int) -> str:
        (row,) = ask(self._connection, f"SHOW CREATE {kind} {quoted(name)}")
        return self._cleared(str(row[at]))

    def _cleared(self, definition: str) -> str:
        for part in self._left_out:
            definition = definition.replace(part, "")
        return definition


def checksums_of(connection: Connection, tables: Sequence[str]) -> dict[str, int]:
    """Return the checksum of the rows of each table."""
    if not tables:
        return {}
    statement = f"CHECKSUM TABLE {', '.join(map(quoted, tables))} EXTENDED"
    found = ask(connection, statement)
    return {name: int(checksum or 0) for name, (_, checksum) in zip(tables, found, strict=True)}


def structure_of(connection: Connection) -> str:
    """Return a digest of the schema: every change of it gives another one."""
    digest = hashlib.sha256()
    for query in _STRUCTURE:
        for row in ask(connection, query):
            digest.update(repr(tuple(row)).encode())
    return digest.hexdigest()


def run_script(connection: Connection, statements: Iterable[str]) -> None:
    """Execute statements in as few round trips as the driver allows; their results are dropped.

    :raises DBError: the server refused one.
    """
    batches = _batches(statements) if connection.dialect.driver in _BATCHING else ([each] for each in statements)
    native = connection.connection.dbapi_connection
    if native is None:
        raise UsageError("the connection is closed")
    cursor = native.cursor()
    try:
        for batch in batches:
            try:
                cursor.execute("\n;\n".join(batch))
                while cursor.nextset():  # the errors of all statements but the first come up here
                    pass
            except connection.dialect.loaded_dbapi.Error as error:
                raise build_error(RULES, error, statement=_shortened(batch)) from error
    finally:
        cursor.close()


def ask(connection: Connection, statement: str) -> Sequence[Any]:
    """Return the rows of a statement that is sent as it is: neither a colon nor a per cent sign is a parameter."""
    return connection.exec_driver_sql(statement, execution_options={"no_parameters": True}).all()


def counters_of(connection: Connection) -> dict[str, int]:
    """Return the next value of each AUTO_INCREMENT."""
    if not getattr(connection.dialect, "is_mariadb", False):
        run_script(connection, ["SET SESSION information_schema_stats_expiry = 0"])  # MySQL 8 remembers old values
    return {str(name): int(value) for name, value in ask(connection, _COUNTERS)}


def quoted(name: str) -> str:
    """Return a name as SQL writes it."""
    return "`" + name.replace("`", "``") + "`"


_BATCHING = frozenset({"pymysql", "mysqldb"})
_BATCH_SIZE = 768 << 10
_SHOWN = 500


def _batches(statements: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for statement in statements:
        if batch and size + len(statement) > _BATCH_SIZE:
            yield batch
            batch, size = [], 0
        batch.append(statement)
        size += len(statement)
    if batch:
        yield batch


def _shortened(batch: Sequence[str]) -> str:
    """Return what an error may tell of statements: rows are values, and stay out."""
    kept = "; ".join(each.split(" VALUES ")[0] for each in batch)
    return kept if len(kept) <= _SHOWN else f"{kept[:_SHOWN]}..."


def _in_modes(entries: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield statements, each to be read in its own sql_mode, which the server keeps with what it creates."""
    mode = None
    for wanted, statement in entries:
        if wanted != mode:
            yield f"SET SESSION sql_mode = '{wanted}'"
            mode = wanted
        yield statement
    if mode is not None:
        yield f"SET SESSION sql_mode = '{_MODE}'"


def _is_function(creation: str) -> bool:
    return re.match(r"CREATE (DEFINER=\S+ )?(AGGREGATE )?FUNCTION\b", creation, re.IGNORECASE) is not None


def _literal(column: str, kind: str) -> str:
    """Return the expression by which the server writes a value as SQL; it gives NULL for what grows too large."""
    name = quoted(column)
    if kind == "bit":
        value = f"CAST({name} + 0 AS CHAR)"
    elif kind == "float":
        value = f"CAST({name} + 0e0 AS CHAR)"  # as it is, and not rounded to six digits
    elif kind in _NUMBERS:
        value = f"CAST({name} AS CHAR)"
    elif kind in _BINARY:
        value = f"CONCAT('x''', HEX({name}), '''')"
    else:
        value = f"QUOTE(CONVERT({name} USING utf8mb4))"
    return f"IF({name} IS NULL, 'NULL', {value})"


_MINE = "REPLACE({}, CONCAT('`', DATABASE(), '`.'), '')"

_OBJECTS = "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1"
_COUNTERS = (
    "SELECT TABLE_NAME, AUTO_INCREMENT FROM information_schema.TABLES "
    "WHERE TABLE_SCHEMA = DATABASE() AND AUTO_INCREMENT IS NOT NULL"
)
_TRIGGERS = (
    "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, EVENT_MANIPULATION, SQL_MODE "
    "FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = DATABASE() "
    "ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER"
)
_ROUTINES = (
    "SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() ORDER BY 1, 2"
)
_EVENTS = "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE() ORDER BY 1"
_COLUMNS = (
    "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, EXTRA FROM information_schema.COLUMNS "
    "WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME, ORDINAL_POSITION"
)

_STRUCTURE = (
    "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_COLLATION, CREATE_OPTIONS, TABLE_COMMENT"
    " FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1",
    f"SELECT TABLE_NAME, COLUMN_NAME, ORDINAL_POSITION, {_MINE.format('COLUMN_DEFAULT')}, IS_NULLABLE, COLUMN_TYPE,"
    f" COLLATION_NAME, EXTRA, {_MINE.format('GENERATION_EXPRESSION')}, COLUMN_COMMENT"
    " FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1, 3",
    "SELECT TABLE_NAME, INDEX_NAME, NON_UNIQUE, SEQ_IN_INDEX, COLUMN_NAME, SUB_PART, INDEX_TYPE"
    " FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1, 2, 4",
    "SELECT TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME"
    " FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1, 2, ORDINAL_POSITION",
    "SELECT TABLE_NAME, CONSTRAINT_NAME, UPDATE_RULE, DELETE_RULE"
    " FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE() ORDER BY 1, 2",
    "SELECT CONSTRAINT_NAME, CHECK_CLAUSE"
    " FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE() ORDER BY 1, 2",
    f"SELECT TABLE_NAME, {_MINE.format('VIEW_DEFINITION')}"
    " FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1",
    "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, EVENT_MANIPULATION, ACTION_TIMING, ACTION_ORDER, ACTION_STATEMENT"
    " FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = DATABASE() ORDER BY 1",
    "SELECT ROUTINE_NAME, ROUTINE_TYPE, ROUTINE_DEFINITION, IS_DETERMINISTIC, SQL_DATA_ACCESS"
    " FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() ORDER BY 1, 2",
    "SELECT EVENT_NAME, EVENT_DEFINITION, INTERVAL_VALUE, INTERVAL_FIELD, STATUS"
    " FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE() ORDER BY 1",
)
