"""What provokes PostgreSQL's errors, one entry for each thing that can go wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import URL

from dbkit.tests.samples.stage import Provocation, Stage, Witness

DATABASE = ("DROP DATABASE IF EXISTS dbkit_samples WITH (FORCE)", "CREATE DATABASE dbkit_samples")
SCHEMA = (
    "CREATE TABLE witness (id int)",
    "GRANT SELECT ON witness TO PUBLIC",
    "CREATE TABLE parent (id int PRIMARY KEY, name text)",
    "CREATE UNIQUE INDEX parent_lower_name ON parent (lower(name), (id + 1))",
    "CREATE TABLE child (id int PRIMARY KEY, pid int CONSTRAINT child_pid_fkey REFERENCES parent (id))",
    "CREATE TABLE tree (id int PRIMARY KEY, up int CONSTRAINT tree_up_fkey REFERENCES tree (id))",
    'CREATE TABLE "Odd table" ("a, b" int, "c""d" text, CONSTRAINT "odd, key" UNIQUE ("a, b", "c""d"))',
    "CREATE TABLE strict (id int PRIMARY KEY, n int NOT NULL, pct int CONSTRAINT pct_range CHECK (pct <= 100))",
    "CREATE TABLE booking (during int4range, CONSTRAINT booking_during_excl EXCLUDE USING gist (during WITH &&))",
    "CREATE TABLE typed (small smallint, short varchar(3), day date)",
    "CREATE VIEW low AS SELECT * FROM strict WHERE n < 10 WITH CHECK OPTION",
    "CREATE TABLE late (id int CONSTRAINT late_key UNIQUE DEFERRABLE INITIALLY DEFERRED)",
    "CREATE TABLE on_duty (name text PRIMARY KEY, duty bool)",
    "INSERT INTO parent VALUES (1, 'One'), (2, 'Two')",
    "INSERT INTO child VALUES (1, 1)",
    "INSERT INTO tree VALUES (1, NULL), (2, 1)",
    "INSERT INTO \"Odd table\" VALUES (1, 'x)=(y already exists.')",
    "INSERT INTO strict VALUES (1, 1, 1)",
    "INSERT INTO booking VALUES ('[1,5)')",
    "INSERT INTO late VALUES (1)",
    "INSERT INTO on_duty VALUES ('ann', true), ('bob', true)",
    "CREATE EXTENSION postgres_fdw",
    "CREATE SERVER gone FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1', dbname 'x')",
    "CREATE USER MAPPING FOR PUBLIC SERVER gone OPTIONS (user 'x', password 'x')",
    "CREATE FOREIGN TABLE abroad (id int) SERVER gone",
)
WITNESS = Witness(
    write="INSERT INTO witness VALUES (1)", clear="DELETE FROM witness", look="SELECT count(*) FROM witness"
)

_TEXTS = (
    "deadlock detected",
    "40001",
    "could not serialize access",
    'FATAL:  database "x" does not exist',
    "FATAL:  sorry, too many clients already",
    "server closed the connection unexpectedly",
    "canceling statement due to conflict with recovery",
    "1213 2006 database is locked",
)


def _plain(name: str, *statements: str, bare: bool = False) -> Provocation:
    """A provocation of which the last statement fails."""
    return Provocation(name, statements[-1], lambda stage: stage.run(*statements), bare=bare)


def _signalled(code: str, message: str = "the sample of a code") -> Provocation:
    sql = f"DO $$BEGIN RAISE EXCEPTION USING ERRCODE='{code}', MESSAGE='{message}'; END$$"
    return Provocation(f"signalled {code}", sql, lambda stage: stage.run(sql), how="signalled")


def _bound(name: str, sql: str, value: object) -> Provocation:
    """A provocation by a parameter, which the driver may refuse before the server does."""
    return Provocation(name, sql, lambda stage: stage.connection.execute(text(sql), {"value": value}))


def _pid(stage: Stage) -> int:
    return int(stage.run("SELECT pg_backend_pid()").scalar_one())


def _is_gone(stage: Stage, pid: int) -> bool:
    return not stage.elsewhere(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid}")


def _deadlock(stage: Stage) -> None:
    rival = stage.other()
    rival.exec_driver_sql("SET deadlock_timeout = '30s'")
    stage.run("SET deadlock_timeout = '10ms'", "UPDATE parent SET name = name WHERE id = 1")
    rival.exec_driver_sql("BEGIN")
    rival.exec_driver_sql("UPDATE parent SET name = name WHERE id = 2")
    pid = rival.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    stage.meanwhile(rival, "UPDATE parent SET name = name WHERE id = 1")
    waits = f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid} AND wait_event_type = 'Lock'"
    stage.until(lambda: bool(stage.elsewhere(waits)))
    stage.run("UPDATE parent SET name = name WHERE id = 2")


def _lost_update(stage: Stage) -> None:
    stage.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT * FROM parent")
    stage.elsewhere("UPDATE parent SET name = name WHERE id = 1")
    stage.run("UPDATE parent SET name = name WHERE id = 1")


def _write_skew(stage: Stage) -> None:
    rival = stage.other()
    stage.run("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SELECT count(*) FROM on_duty WHERE duty")
    for statement in (
        "BEGIN ISOLATION LEVEL SERIALIZABLE",
        "SELECT count(*) FROM on_duty WHERE duty",
        "UPDATE on_duty SET duty = duty WHERE name = 'bob'",
    ):
        rival.exec_driver_sql(statement)
    stage.run("UPDATE on_duty SET duty = duty WHERE name = 'ann'")
    rival.exec_driver_sql("COMMIT")
    stage.connection.commit()


def _locked(stage: Stage, *statements: str) -> None:
    rival = stage.other()
    rival.exec_driver_sql("BEGIN")
    rival.exec_driver_sql("SELECT * FROM parent WHERE id = 1 FOR UPDATE")
    stage.run(*statements)


def _cancelled(stage: Stage) -> None:
    pid = _pid(stage)
    sleeps = f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'PgSleep'"
    stage.meanwhile(stage.other(), f"SELECT pg_cancel_backend({pid})", once=sleeps)
    stage.run("SELECT pg_sleep(20)")


def _terminated(stage: Stage) -> None:
    pid = _pid(stage)
    stage.elsewhere(f"SELECT pg_terminate_backend({pid})")
    stage.until(lambda: _is_gone(stage, pid))
    stage.run("SELECT 1")


def _terminated_before_commit(stage: Stage) -> None:
    stage.run("UPDATE parent SET name = name")
    pid = _pid(stage)
    stage.elsewhere(f"SELECT pg_terminate_backend({pid})")
    stage.until(lambda: _is_gone(stage, pid))
    stage.connection.commit()


def _idle(stage: Stage) -> None:
    stage.run("SET idle_in_transaction_session_timeout = '20ms'")
    pid = _pid(stage)
    stage.until(lambda: _is_gone(stage, pid))
    stage.run("SELECT 1")


def _closed(stage: Stage) -> None:
    stage.connection.connection.dbapi_connection.close()  # type: ignore[union-attr]
    stage.run("SELECT 1")


def _then(stage: Stage, first: str, second: str) -> None:
    try:
        stage.run(first)
    except Exception as expected:  # the first error is only the way to the second
        del expected
    stage.run(second)


def _deferred(stage: Stage) -> None:
    stage.run("INSERT INTO late VALUES (1)")
    stage.connection.commit()


def _changed_plan(stage: Stage) -> None:
    stage.run("CREATE TEMP TABLE shifting (a int)")
    stage.run("PREPARE picked AS SELECT * FROM shifting", "ALTER TABLE shifting ADD b int", "EXECUTE picked")


def _user(stage: Stage, role: str, options: str, password: str | None = None) -> URL:
    stage.elsewhere(f"DROP ROLE IF EXISTS {role}", f"CREATE ROLE {role} {options}")
    return stage.url.set(username=role, password=password)


def _wants_password(stage: Stage) -> URL:
    url = _user(stage, "secretive", "LOGIN PASSWORD 'right'", "wrong")
    line = "host all secretive 127.0.0.1/32 scram-sha-256"
    (path,) = stage.elsewhere("SHOW hba_file")[0]
    (rules,) = stage.elsewhere(f"SELECT pg_read_file('{path}')")[0]
    if line not in rules:  # the server's rules let everyone in without a password
        content = "\n".join([line, *(kept for kept in rules.splitlines() if kept and not kept.startswith("#"))])
        stage.elsewhere(f"COPY (SELECT regexp_split_to_table($${content}$$, '\\n')) TO '{path}'")
        before = _loaded(stage)
        stage.elsewhere("SELECT pg_reload_conf()")
        stage.until(lambda: _loaded(stage) > before)
    return url


def _loaded(stage: Stage) -> Any:
    """Return when the server read the settings that it gives to a new session; they come with the new rules."""
    session = stage.other()
    try:
        return session.exec_driver_sql("SELECT pg_conf_load_time()").scalar_one()
    finally:
        session.close()


def _is_alone(stage: Stage) -> bool:
    others = "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    try:
        return not stage.elsewhere(others)
    except Exception as refused:  # those of the provocation before have left no place yet
        del refused
        return False


def _full(stage: Stage) -> URL:
    stage.until(lambda: _is_alone(stage))  # one that ends when all are taken leaves its place
    (limit,) = stage.elsewhere("SHOW max_connections")[0]
    try:
        for _ in range(int(limit) + 1):
            stage.other()
    except Exception as full:  # that is what was wanted: no connection is left
        del full
    return stage.url


_INSERT_ODD = "INSERT INTO \"Odd table\" VALUES (1, 'x)=(y already exists.')"
_FOREIGN = "INSERT INTO child VALUES (9, 99)"

PROVOCATIONS = (
    # -- integrity
    _plain("duplicate key", "INSERT INTO parent VALUES (1, 'Three')"),
    _plain("duplicate key of two odd columns", _INSERT_ODD),
    _plain("duplicate expression", "ALTER TABLE parent DROP CONSTRAINT parent_pkey CASCADE",
           "INSERT INTO parent VALUES (1, 'ONE')"),
    Provocation("deferred duplicate at COMMIT", "COMMIT", _deferred, phase="commit"),
    _plain("child without parent", _FOREIGN),
    _plain("parent with child", "DELETE FROM parent WHERE id = 1"),
    _plain("tree without parent", "INSERT INTO tree VALUES (9, 99)"),
    _plain("tree with child", "DELETE FROM tree WHERE id = 1"),
    _plain("check", "INSERT INTO strict VALUES (2, 2, 101)"),
    _plain("check option of a view", "INSERT INTO low VALUES (3, 11, 1)"),
    _plain("not null", "INSERT INTO strict VALUES (2, NULL, 1)"),
    _plain("exclusion", "INSERT INTO booking VALUES ('[4,6)')"),
    # -- conflicts
    Provocation("deadlock", "UPDATE parent SET name = name WHERE id = 2", _deadlock),
    Provocation("serialization failure in a statement", "UPDATE parent SET name = name WHERE id = 1", _lost_update,
                bare=True),
    Provocation("serialization failure at COMMIT", "COMMIT", _write_skew, phase="commit", bare=True),
    Provocation("lock timeout", "SELECT * FROM parent WHERE id = 1 FOR UPDATE",
                lambda stage: _locked(stage, "SET lock_timeout = '10ms'",
                                      "SELECT * FROM parent WHERE id = 1 FOR UPDATE")),
    Provocation("lock not granted at once", "SELECT * FROM parent WHERE id = 1 FOR UPDATE NOWAIT",
                lambda stage: _locked(stage, "SELECT * FROM parent WHERE id = 1 FOR UPDATE NOWAIT")),
    _plain("statement timeout", "SET statement_timeout = '10ms'", "SELECT pg_sleep(20)"),
    Provocation("cancel request", "SELECT pg_sleep(20)", _cancelled),
    # -- the session
    Provocation("terminated", "SELECT 1", _terminated),
    Provocation("terminated before COMMIT", "COMMIT", _terminated_before_commit, phase="commit"),
    Provocation("idle in transaction", "SELECT 1", _idle),
    Provocation("closed", "SELECT 1", _closed),
    Provocation("driver's own timeout", "SELECT pg_sleep(20)", lambda stage: stage.run("SELECT pg_sleep(20)"),
                arguments={"command_timeout": 2}, drivers=("asyncpg",)),
    _plain("foreign server out of reach", "SELECT * FROM abroad"),
    # -- the transaction
    _plain("write in a read-only transaction", "SET TRANSACTION READ ONLY", "DELETE FROM child", bare=True),
    Provocation("write on a standby", "CREATE TABLE t (a int)", lambda stage: stage.run("CREATE TABLE t (a int)"),
                bare=True, standby=True),
    Provocation("writer on a standby", "SET TRANSACTION READ WRITE",
                lambda stage: stage.run("SET TRANSACTION READ WRITE"), bare=True, standby=True),
    Provocation("statement after an error", "SELECT 1", lambda stage: _then(stage, "SELECT 1/0", "SELECT 1")),
    _plain("no such savepoint", "ROLLBACK TO SAVEPOINT nowhere"),
    _plain("not inside a transaction", "VACUUM parent"),
    # -- data
    _plain("text too long", "INSERT INTO typed (short) VALUES ('abcd')"),
    _plain("number too large", "INSERT INTO typed (small) VALUES (40000)"),
    _plain("not a number", "SELECT 'abc'::int"),
    _plain("not a date", "INSERT INTO typed (day) VALUES ('2024-02-31')"),
    _plain("division by zero", "SELECT 1/0"),
    _plain("not text", r"SELECT convert_from('\xff', 'utf8')"),
    _plain("not in the character set", r"SELECT convert_to(chr(8364), 'latin1')"),
    _bound("NUL in a parameter", "SELECT CAST(:value AS text)", "a\0b"),
    _bound("half a character in a parameter", "SELECT CAST(:value AS text)", "\ud800"),
    _bound("parameter of a wrong type", "SELECT CAST(:value AS int)", "abc"),
    # -- names and statements
    _plain("no such table", "SELECT * FROM nowhere"),
    _plain("no such table to drop", "DROP TABLE nowhere"),
    _plain("table not in FROM", "SELECT child.id FROM parent"),
    _plain("no such column", "SELECT nothing FROM parent"),
    _plain("no such function", "SELECT nothing()"),
    _plain("no such type", "SELECT 1::nothing"),
    _plain("no such constraint", "ALTER TABLE parent DROP CONSTRAINT nothing"),
    _plain("no such index", "DROP INDEX nothing"),
    _plain("no such schema", "CREATE TABLE nowhere.t (a int)"),
    _plain("table exists", "CREATE TABLE parent (a int)"),
    _plain("syntax error", "SELEC 1"),
    _plain("no such prepared statement", "EXECUTE nothing"),
    _plain("prepared twice", "PREPARE twice AS SELECT 1", "PREPARE twice AS SELECT 1"),
    _plain("not supported", "SELECT DISTINCT id FROM parent FOR UPDATE"),
    Provocation("plan changed", "EXECUTE picked", _changed_plan),
    _plain("no privilege", "SET ROLE pg_monitor", "SELECT * FROM parent"),
    _plain("code in the database", "DO $$BEGIN RAISE 'no'; END$$"),
    _plain("raised without a class of its own", "DO $$BEGIN RAISE 'no' USING ERRCODE='ZX001'; END$$"),
    # -- while connecting
    Provocation("refused", "", phase="connect", url=lambda stage: stage.url.set(port=1)),
    Provocation("no such database", "", phase="connect", url=lambda stage: stage.url.set(database="nowhere")),
    Provocation("database named like an error", "", phase="connect",
                url=lambda stage: stage.url.set(database="x, sorry, too many clients already 40001")),
    Provocation("no such role", "", phase="connect", url=lambda stage: stage.url.set(username="nobody_at_all")),
    Provocation("role that may not log in", "", phase="connect", url=lambda stage: _user(stage, "kept_out", "NOLOGIN")),
    Provocation("wrong password", "", phase="connect", url=_wants_password),
    Provocation("too many connections of a role", "", phase="connect",
                url=lambda stage: _user(stage, "crowded", "LOGIN CONNECTION LIMIT 0")),
    Provocation("too many connections", "", phase="connect", url=_full),
    # -- user's texts that look like errors
    *(
        _plain(
            f"duplicate value with the text of an error, {number}",
            "CREATE TEMP TABLE quoting (words text CONSTRAINT quoting_words UNIQUE)",
            f"INSERT INTO quoting VALUES ('{words}'), ('{words}')",
        )
        for number, words in enumerate(_TEXTS, 1)
    ),
    *(
        replace(_signalled("P0001", words), name=f"raised with the text of an error, {number}")
        for number, words in enumerate(_TEXTS, 1)
    ),
    # -- codes that are hard to come by
    *map(_signalled, (
        "57P02", "57P03", "57P04", "57P05", "25P04", "53300", "08P01", "08006", "08007", "40003", "40000", "40002",
        "72000", "23000", "23001", "2D000", "22P05", "53100", "53200", "54000", "55000", "55006", "57000", "58030",
        "F0000", "XX000", "HV000",
    )),
)  # fmt: skip
