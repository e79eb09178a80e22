"""What provokes SQLite's errors, one entry for each thing that can go wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import URL

from dbkit.tests.samples.stage import Provocation, Stage, Witness

WITNESS = Witness(
    write="INSERT INTO witness VALUES (1)", clear="DELETE FROM witness", look="SELECT count(*) FROM witness"
)

SCHEMA = (
    "BEGIN",
    "CREATE TABLE witness (id int)",
    "CREATE TABLE parent (id int PRIMARY KEY, name text UNIQUE)",
    "CREATE TABLE child (id int, pid int CONSTRAINT child_pid_fkey REFERENCES parent (id))",
    "CREATE TABLE late (id int, pid int REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)",
    "CREATE TABLE pair (a int, b int, UNIQUE (a, b))",
    "CREATE TABLE keyed (id INTEGER PRIMARY KEY, name text)",
    "CREATE UNIQUE INDEX keyed_lower_name ON keyed (lower(name))",
    "CREATE TABLE limited (id int, n int NOT NULL, pct int CONSTRAINT pct_range CHECK (pct <= 100), "
    "own int CHECK (own > 0))",
    "CREATE TABLE exact (n INT) STRICT",
    "CREATE TABLE guarded (words text)",
    "CREATE TRIGGER guard BEFORE INSERT ON guarded BEGIN SELECT RAISE(ABORT, 'database is locked'); END",
    "CREATE TRIGGER undo BEFORE DELETE ON pair BEGIN SELECT RAISE(ROLLBACK, 'no such table: x'); END",
    "INSERT INTO parent VALUES (1, 'One'), (2, 'Two')",
    "INSERT INTO child VALUES (1, 1)",
    "INSERT INTO pair VALUES (1, 2)",
    "INSERT INTO keyed VALUES (1, 'One')",
    "COMMIT",
)
_BLOCKING = ("pysqlite",)
_AT_ONCE = {"timeout": 0.0}
_FOREIGN_KEYS = ("PRAGMA foreign_keys = ON",)

_TEXTS = (
    "database is locked",
    "no such table: x",
    "no such savepoint: x",
    "1213",
    "Cannot operate on a closed database.",
)


def _plain(name: str, *statements: str, **others: Any) -> Provocation:
    """A provocation of which the last statement fails."""
    return Provocation(name, statements[-1], lambda stage: stage.run(*statements), **others)


def _bound(name: str, sql: str, value: object) -> Provocation:
    """A provocation by a parameter, which the driver may refuse before the database does."""
    return Provocation(name, sql, lambda stage: stage.connection.execute(text(sql), {"value": value}))


def _path(stage: Stage) -> Path:
    return Path(stage.url.database or "")


def _uri(stage: Stage, query: str) -> URL:
    return stage.url.set(database=f"file:{_path(stage)}").update_query_string(f"{query}&uri=true")


def _shared(stage: Stage) -> URL:
    return stage.url.set(database="file:dbkit_sample").update_query_string("mode=memory&cache=shared&uri=true")


def _written_elsewhere(stage: Stage) -> None:
    stage.elsewhere("BEGIN IMMEDIATE", "DELETE FROM child")


def _read_elsewhere(stage: Stage) -> None:
    reader = stage.other()
    reader.exec_driver_sql("BEGIN")
    reader.exec_driver_sql("SELECT * FROM parent").fetchall()


def _late_commit(stage: Stage) -> None:
    _read_elsewhere(stage)
    stage.connection.commit()


def _late_child(stage: Stage) -> None:
    stage.run("INSERT INTO late VALUES (1, 99)")
    stage.connection.commit()


def _stale(stage: Stage) -> None:
    stage.run("BEGIN", "SELECT * FROM parent").fetchall()
    stage.elsewhere("DELETE FROM child")
    stage.run("DELETE FROM child")


def _lost_savepoint(stage: Stage) -> None:
    stage.run("SAVEPOINT place")
    try:
        stage.run("INSERT OR ROLLBACK INTO parent VALUES (1, 'x')")
    except Exception as expected:  # it is only the way to what follows
        del expected
    stage.run("ROLLBACK TO SAVEPOINT place")


def _shared_cache(stage: Stage) -> None:
    rival = stage.other(_shared(stage))
    for statement in ("CREATE TABLE t (a int)", "BEGIN IMMEDIATE", "INSERT INTO t VALUES (1)"):
        rival.exec_driver_sql(statement)
    stage.run("SELECT * FROM t")


def _in_use(stage: Stage) -> None:
    cursor = _driver_connection(stage).execute("SELECT * FROM parent")
    cursor.fetchone()
    stage.run("DROP TABLE parent")


def _driver_connection(stage: Stage) -> Any:
    return stage.connection.connection.driver_connection


def _interrupted(stage: Stage) -> None:
    _driver_connection(stage).set_progress_handler(lambda: 1, 1)
    try:
        stage.run("INSERT INTO pair SELECT a.id, b.id FROM parent a, parent b")
    finally:
        _driver_connection(stage).set_progress_handler(None, 0)


def _forbidden(stage: Stage) -> None:
    _driver_connection(stage).set_authorizer(lambda action, *_: 1 if action == 9 else 0)  # 9: SQLITE_DELETE
    try:
        stage.run("DELETE FROM child")
    finally:
        _driver_connection(stage).set_authorizer(None)


def _damaged(stage: Stage) -> None:
    path = _path(stage)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\x99" * (len(content) - 4096)
    path.write_bytes(content)


def _closed(stage: Stage) -> None:
    stage.connection.connection.dbapi_connection.close()  # type: ignore[union-attr]
    stage.run("SELECT 1")


PROVOCATIONS = (
    # -- conflicts
    _plain("busy at BEGIN", "BEGIN IMMEDIATE", prepare=_written_elsewhere, arguments=_AT_ONCE, bare=True),
    Provocation("busy at COMMIT", "COMMIT", _late_commit, phase="commit", arguments=_AT_ONCE),
    Provocation("write after a stale read", "DELETE FROM child", _stale, arguments=_AT_ONCE, bare=True,
                prepare=lambda stage: stage.elsewhere("PRAGMA journal_mode = WAL")),
    Provocation("table locked in a shared cache", "SELECT * FROM t", _shared_cache, url=_shared, bare=True),
    Provocation("table in use", "DROP TABLE parent", _in_use, drivers=_BLOCKING),
    Provocation("interrupted", "INSERT INTO pair SELECT a.id, b.id FROM parent a, parent b", _interrupted,
                drivers=_BLOCKING),
    # -- the file
    _plain("file opened to be read", "DELETE FROM child", url=lambda stage: _uri(stage, "mode=ro"), bare=True),
    _plain("query_only", "PRAGMA query_only = ON", "DELETE FROM child"),
    Provocation("no such folder", "", phase="connect", url=lambda stage: stage.url.set(database="/nowhere/at/all.db")),
    _plain("no database", "SELECT * FROM parent", prepare=lambda stage: _path(stage).write_text("no database" * 99),
           bare=True),
    _plain("damaged", "SELECT * FROM parent", prepare=_damaged, bare=True),
    _plain("disk full", "PRAGMA max_page_count = 1", "INSERT INTO keyed VALUES (2, zeroblob(1000000))"),
    Provocation("forbidden", "DELETE FROM child", _forbidden, drivers=_BLOCKING),
    # -- integrity
    _plain("duplicate key", "INSERT INTO parent VALUES (1, 'Three')"),
    _plain("duplicate rowid", "INSERT INTO keyed VALUES (1, 'Two')"),
    _plain("duplicate key of two columns", "INSERT INTO pair VALUES (1, 2)"),
    _plain("duplicate expression", "INSERT INTO keyed VALUES (2, 'ONE')"),
    _plain("duplicate key, OR ROLLBACK", "INSERT OR ROLLBACK INTO parent VALUES (1, 'Three')"),
    _plain("child without parent", "INSERT INTO child VALUES (9, 99)", before=_FOREIGN_KEYS),
    _plain("parent with child", "DELETE FROM parent WHERE id = 1", before=_FOREIGN_KEYS),
    Provocation("deferred child without parent", "COMMIT", _late_child, phase="commit", before=_FOREIGN_KEYS),
    _plain("check", "INSERT INTO limited (n, pct) VALUES (2, 101)"),
    _plain("check of a column", "INSERT INTO limited (n, own) VALUES (2, -1)"),
    _plain("not null", "INSERT INTO limited (n) VALUES (NULL)"),
    _plain("trigger", "INSERT INTO guarded VALUES ('x')"),
    _plain("trigger that rolls back", "DELETE FROM pair"),
    _plain("wrong type in a strict table", "INSERT INTO exact VALUES ('abc')"),
    # -- data
    _plain("no whole number as rowid", "INSERT INTO keyed VALUES ('abc', 'x')"),
    _plain("too big", "SELECT zeroblob(2147483647)"),
    _bound("number too large", "SELECT :value", 2**70),
    _bound("half a character in a parameter", "SELECT :value", "\ud800"),
    _bound("parameter of a wrong type", "SELECT :value", frozenset()),
    # -- names and statements
    _plain("no such table", "SELECT * FROM nowhere"),
    _plain("no such table, with its schema", "SELECT * FROM main.nowhere"),
    _plain("no such index", "DROP INDEX no_such_index"),
    _plain("no such column", "SELECT nothing FROM parent"),
    _plain("table exists", "CREATE TABLE parent (a int)"),
    _plain("syntax error", "SELEC 1"),
    Provocation("savepoint lost to a rollback", "ROLLBACK TO SAVEPOINT place", _lost_savepoint),
    _plain("no such savepoint", "ROLLBACK TO SAVEPOINT nowhere"),
    _plain("no transaction to commit", "COMMIT", bare=True),
    _plain("two statements", "SELECT 1; SELECT 2"),
    Provocation("too few parameters", "SELECT ?, ?", lambda stage: stage.run("SELECT ?, ?", parameters=(1,))),
    Provocation("closed", "SELECT 1", _closed),
    # -- user's texts that look like errors
    *(
        _plain(f"check with the text of an error, {number}",
               f'CREATE TABLE quoting (a int CONSTRAINT "{words}" CHECK (a > 0))', "INSERT INTO quoting VALUES (0)")
        for number, words in enumerate(_TEXTS, 1)
    ),
    *(
        _plain(f"column with the text of an error, {number}", f"SELECT [{words}] FROM parent")
        for number, words in enumerate(_TEXTS, 1)
    ),
)  # fmt: skip
