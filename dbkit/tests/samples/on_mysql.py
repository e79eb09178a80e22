"""What provokes the errors of MariaDB and MySQL, one entry for each thing that can go wrong."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection, text
from sqlalchemy.engine import URL

from dbkit.tests.samples.stage import Provocation, Stage, Witness

WITNESS = Witness(
    write="INSERT INTO witness VALUES (1)", clear="DELETE FROM witness", look="SELECT count(*) FROM witness"
)

DATABASE = ("CREATE OR REPLACE DATABASE dbkit_samples",)
SCHEMA = (
    "CREATE TABLE witness (id int)",
    "CREATE TABLE ballast (id int)",
    "CREATE TABLE parent (id int PRIMARY KEY, name varchar(40) UNIQUE)",
    "CREATE TABLE child (id int PRIMARY KEY, pid int, CONSTRAINT child_pid_fkey FOREIGN KEY (pid) "
    "REFERENCES parent (id))",
    "CREATE TABLE tree (id int PRIMARY KEY, up int, CONSTRAINT tree_up_fkey FOREIGN KEY (up) REFERENCES tree (id))",
    "CREATE TABLE `odd``table` (`a, b` int, c varchar(30), d int, CONSTRAINT `odd key` UNIQUE (`a, b`, c), "
    "KEY (d), CONSTRAINT `odd``fk` FOREIGN KEY (d) REFERENCES parent (id))",
    "CREATE TABLE server (name varchar(20), host varchar(20), UNIQUE uniq_server0name0host (name, host))",
    "CREATE TABLE strict (id int PRIMARY KEY, n int NOT NULL, pct int, CONSTRAINT pct_range CHECK (pct <= 100), "
    "own int CHECK (own > 0))",
    "CREATE TABLE typed (small tinyint, short varchar(3), day date, kind enum('a', 'b'), number int)",
    "CREATE VIEW low AS SELECT * FROM strict WHERE n < 10 WITH CHECK OPTION",
    "INSERT INTO parent VALUES (1, 'One'), (2, 'Two'), (3, 'Three')",
    "INSERT INTO child VALUES (1, 1)",
    "INSERT INTO tree VALUES (1, NULL), (2, 1)",
    "INSERT INTO `odd``table` VALUES (1, \"x' for key 'PRIMARY\", NULL)",
    "INSERT INTO server VALUES ('a', 'b')",
    "INSERT INTO strict VALUES (1, 1, 1, 1)",
)

_TEXTS = (
    "Deadlock found when trying to get lock; try restarting transaction",
    "(1213, 'x')",
    "2006 MySQL server has gone away",
    "1047",
    "(0, '')",
    "40001 database is locked",
    "x' for key 'PRIMARY",
)
_LIMITED = "limited"


def _plain(name: str, *statements: str, bare: bool = False) -> Provocation:
    """A provocation of which the last statement fails."""
    return Provocation(name, statements[-1], lambda stage: stage.run(*statements), bare=bare)


def _signalled(number: int, words: str = "the sample of a code") -> Provocation:
    sql = f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO={number}, MESSAGE_TEXT=\"{words}\""
    # It says nothing of the transaction: the server did not do what the code stands for.
    return Provocation(f"signalled {number}", sql, lambda stage: stage.run(sql), how="signalled", bare=True)


def _id(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT connection_id()").scalar_one())


def _is_gone(stage: Stage, session: int) -> bool:
    return not stage.elsewhere(f"SELECT 1 FROM information_schema.processlist WHERE id = {session}")


def _deadlock(stage: Stage) -> None:
    rival = stage.other()
    stage.run("SELECT * FROM parent WHERE id = 1 FOR UPDATE")
    rival.exec_driver_sql("BEGIN")
    # The server chooses the one that changed fewer rows.
    rival.exec_driver_sql("INSERT INTO ballast SELECT seq FROM seq_1_to_100")
    rival.exec_driver_sql("SELECT * FROM parent WHERE id = 2 FOR UPDATE")
    session = _id(rival)
    stage.meanwhile(rival, "SELECT * FROM parent WHERE id = 1 FOR UPDATE")
    waits = (
        f"SELECT 1 FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = {session} AND trx_state='LOCK WAIT'"
    )
    # InnoDB renews what this table shows only if nobody has looked for a tenth of a second.
    stage.until(lambda: bool(stage.elsewhere(waits)), every_s=0.15)
    stage.run("SELECT * FROM parent WHERE id = 2 FOR UPDATE")


def _locked(stage: Stage, *statements: str) -> None:
    rival = stage.other()
    rival.exec_driver_sql("BEGIN")
    rival.exec_driver_sql("SELECT * FROM parent WHERE id = 1 FOR UPDATE")
    stage.run(*statements)


def _lost_update(stage: Stage) -> None:
    stage.run("SET SESSION innodb_snapshot_isolation = 1", "SELECT * FROM parent")
    stage.elsewhere("UPDATE parent SET name = concat(name, '.') WHERE id = 3")
    stage.run("UPDATE parent SET name = 'x' WHERE id = 3")


def _changed_table(stage: Stage) -> None:
    stage.run("SELECT * FROM parent")
    stage.elsewhere("ALTER TABLE typed FORCE")
    stage.run("SELECT * FROM typed")


def _lost_savepoint(stage: Stage) -> None:
    stage.run("SAVEPOINT place")
    try:
        _deadlock(stage)
    except Exception as expected:  # the deadlock is only the way to what follows
        del expected
    stage.run("ROLLBACK TO SAVEPOINT place")


def _killed_query(stage: Stage) -> None:
    killer, session = stage.other(), _id(stage.connection)
    runs = f"SELECT 1 FROM information_schema.processlist WHERE id = {session} AND state = 'Sending data'"
    stage.meanwhile(killer, f"KILL QUERY {session}", once=runs)
    stage.run("SELECT count(*) FROM seq_1_to_100000 a, seq_1_to_100000 b")


def _killed(stage: Stage) -> None:
    session = _id(stage.connection)
    stage.elsewhere(f"KILL {session}")
    stage.until(lambda: _is_gone(stage, session))
    stage.run("SELECT 1")


def _killed_before_commit(stage: Stage) -> None:
    session = _id(stage.connection)
    stage.elsewhere(f"KILL {session}")
    stage.until(lambda: _is_gone(stage, session))
    stage.connection.commit()


def _idle(stage: Stage) -> None:
    stage.run("SET SESSION idle_transaction_timeout = 1")
    session = _id(stage.connection)
    stage.until(lambda: _is_gone(stage, session))
    stage.run("SELECT 1")


def _closed(stage: Stage) -> None:
    stage.connection.connection.dbapi_connection.close()  # type: ignore[union-attr]
    stage.run("SELECT 1")


def _bound(name: str, sql: str, value: object) -> Provocation:
    """A provocation by a parameter, which the driver may refuse before the server does."""
    return Provocation(name, sql, lambda stage: stage.connection.execute(text(sql), {"value": value}))


def _limit(stage: Stage, options: str = "", grant: str = "SELECT, INSERT, UPDATE ON dbkit_samples.*") -> URL:
    stage.elsewhere(
        f"KILL USER {_LIMITED}@'127.0.0.1'",  # a driver may have left a session of the provocation before
        f"CREATE OR REPLACE USER {_LIMITED}@'127.0.0.1' IDENTIFIED BY 'right' {options}",
        f"GRANT {grant} TO {_LIMITED}@'127.0.0.1'",
    )
    return stage.url.set(username=_LIMITED, password="right")


def _without_read_only(stage: Stage) -> None:
    stage.elsewhere("SET GLOBAL read_only = 0")


def _demoted_before_commit(stage: Stage) -> None:
    stage.elsewhere("SET GLOBAL read_only = 1")
    stage.connection.commit()


def _demoted(stage: Stage) -> None:
    stage.elsewhere("SET GLOBAL read_only = 1")
    stage.run("INSERT INTO witness VALUES (2)")


def _occupied(stage: Stage) -> URL:
    url = _limit(stage, "WITH MAX_USER_CONNECTIONS 1")
    # The server may not have noticed yet that the session of the provocation before has ended.
    stage.until(lambda: _can_connect(stage, url))
    return url


def _can_connect(stage: Stage, url: URL) -> bool:
    try:
        stage.other(url)
    except Exception as refused:  # not yet
        del refused
        return False
    return True


def _full(stage: Stage) -> URL:
    url = _limit(stage)
    others = "SELECT 1 FROM information_schema.processlist WHERE id <> connection_id() AND user <> 'system user'"
    stage.until(lambda: not stage.elsewhere(others))  # one that ends when all are taken leaves its place
    stage.elsewhere("SET GLOBAL max_connections = 10")
    try:
        for _ in range(20):
            stage.other(url)
    except Exception as full:  # that is what was wanted: no connection is left
        del full
    return url


def _emptied(stage: Stage) -> None:
    stage.close_others()
    stage.elsewhere("SET GLOBAL max_connections = 200")


PROVOCATIONS = (
    # -- integrity
    _plain("duplicate primary key", "INSERT INTO parent VALUES (1, 'Four')"),
    _plain("duplicate key named by the server", "INSERT INTO parent VALUES (4, 'One')"),
    _plain("duplicate key named by us", "INSERT INTO server VALUES ('a', 'b')"),
    _plain("duplicate key of two odd columns", "INSERT INTO `odd``table` VALUES (1, \"x' for key 'PRIMARY\", NULL)"),
    _plain("duplicate rows under a new key", "CREATE TEMPORARY TABLE twins (a int)",
           "INSERT INTO twins VALUES (1), (1)", "ALTER TABLE twins ADD UNIQUE one (a)"),
    _plain("duplicate key, said in German", "SET SESSION lc_messages = 'de_DE'",
           "INSERT INTO server VALUES ('a', 'b')"),
    _plain("parent with child, said in German", "SET SESSION lc_messages = 'de_DE'", "DELETE FROM parent WHERE id = 1"),
    _plain("child without parent", "INSERT INTO child VALUES (9, 99)"),
    _plain("parent with child", "DELETE FROM parent WHERE id = 1"),
    _plain("tree without parent", "INSERT INTO tree VALUES (9, 99)"),
    _plain("tree with child", "DELETE FROM tree WHERE id = 1"),
    _plain("odd child without parent", "INSERT INTO `odd``table` VALUES (2, 'y', 99)"),
    _plain("child without parent, ANSI_QUOTES", "SET SESSION sql_mode = 'ANSI_QUOTES,STRICT_ALL_TABLES'",
           "INSERT INTO child VALUES (9, 99)"),
    _plain("truncate a parent", "TRUNCATE parent"),
    _plain("drop a parent", "DROP TABLE parent"),
    _plain("check", "INSERT INTO strict (id, n, pct) VALUES (2, 2, 101)"),
    _plain("check of a column", "INSERT INTO strict (id, n, own) VALUES (2, 2, -1)"),
    _plain("check option of a view", "INSERT INTO low VALUES (3, 11, 1, 1)"),
    _plain("not null", "INSERT INTO strict (id, n) VALUES (2, NULL)"),
    _plain("no default", "INSERT INTO strict (id) VALUES (2)"),
    # -- conflicts
    Provocation("deadlock", "SELECT * FROM parent WHERE id = 2 FOR UPDATE", _deadlock),
    Provocation("lock timeout", "SELECT * FROM parent WHERE id = 1 FOR UPDATE",
                lambda stage: _locked(stage, "SET SESSION innodb_lock_wait_timeout = 1",
                                      "SELECT * FROM parent WHERE id = 1 FOR UPDATE")),
    Provocation("lock not granted at once", "SELECT * FROM parent WHERE id = 1 FOR UPDATE NOWAIT",
                lambda stage: _locked(stage, "SELECT * FROM parent WHERE id = 1 FOR UPDATE NOWAIT")),
    Provocation("snapshot conflict", "UPDATE parent SET name = 'x' WHERE id = 3", _lost_update),
    Provocation("table changed under a snapshot", "SELECT * FROM typed", _changed_table),
    _plain("statement timeout", "SET SESSION max_statement_time = 0.5",
           "SELECT count(*) FROM seq_1_to_100000 a, seq_1_to_100000 b"),
    Provocation("kill query", "SELECT count(*) FROM seq_1_to_100000 a, seq_1_to_100000 b", _killed_query),
    # -- the session
    Provocation("killed", "SELECT 1", _killed),
    Provocation("killed before COMMIT", "COMMIT", _killed_before_commit, phase="commit"),
    Provocation("idle in transaction", "SELECT 1", _idle),
    Provocation("closed", "SELECT 1", _closed),
    # -- the transaction
    _plain("write in a read-only transaction", "START TRANSACTION READ ONLY", "INSERT INTO witness VALUES (1)",
           bare=True),
    Provocation("write on a read-only server", "INSERT INTO witness VALUES (2)", _demoted, url=_limit,
                clean=_without_read_only),
    Provocation("COMMIT on a read-only server", "COMMIT", _demoted_before_commit, url=_limit, phase="commit",
                clean=_without_read_only),
    Provocation("savepoint lost to a deadlock", "ROLLBACK TO SAVEPOINT place", _lost_savepoint),
    _plain("no such savepoint", "ROLLBACK TO SAVEPOINT nowhere"),
    _plain("column given twice", "INSERT INTO parent (id, id) VALUES (1, 1)"),
    # -- data
    _plain("text too long", "INSERT INTO typed (short) VALUES ('abcd')"),
    _plain("number too large", "INSERT INTO typed (small) VALUES (400)"),
    _plain("not a number", "INSERT INTO typed (number) VALUES ('abc')"),
    _plain("not a date", "INSERT INTO typed (day) VALUES ('2024-02-31')"),
    _plain("not of the kinds", "INSERT INTO typed (kind) VALUES ('c')"),
    _plain("not a number in a condition", "UPDATE typed SET number = 1 WHERE 'abc' = 1",
           "INSERT INTO typed (number) SELECT 'abc' + 1"),
    _plain("division by zero", "SET SESSION sql_mode = 'TRADITIONAL'", "INSERT INTO typed (number) VALUES (1/0)"),
    _plain("sum too large", "SELECT 18446744073709551615 + 1"),
    _plain("not text", "SELECT _utf8mb4 x'ff'"),
    _bound("half a character in a parameter", "SELECT :value", "\ud800"),
    # -- names and statements
    _plain("no such table", "SELECT * FROM nowhere"),
    _plain("no such table to drop", "DROP TABLE nowhere"),
    _plain("no such table to delete from", "DELETE nowhere FROM parent"),
    _plain("no such column", "SELECT nothing FROM parent"),
    _plain("no such function", "SELECT nothing()"),
    _plain("no such constraint", "ALTER TABLE parent DROP CONSTRAINT nothing"),
    _plain("no such key to drop", "ALTER TABLE parent DROP KEY nothing"),
    _plain("no such key to use", "SELECT * FROM parent FORCE INDEX (nothing)"),
    _plain("table exists", "CREATE TABLE parent (a int)"),
    _plain("syntax error", "SELEC 1"),
    _plain("wrong number of values", "INSERT INTO parent VALUES (1)"),
    _plain("not supported", "ALTER TABLE parent ENGINE = nothing"),
    _plain("no such database to use", "USE nowhere"),
    _plain("table full", "SET SESSION max_heap_table_size = 16384",
           "CREATE TEMPORARY TABLE tiny (words varchar(2000)) ENGINE=MEMORY",
           "INSERT INTO tiny SELECT repeat('x', 2000) FROM seq_1_to_1000"),
    _plain("code in the database", "SIGNAL SQLSTATE '45000'", bare=True),
    _plain("code in the database, unknown number", "SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 30001", bare=True),
    Provocation("no privilege for a table", "DELETE FROM witness", lambda stage: stage.run("DELETE FROM witness"),
                url=_limit),
    Provocation("no privilege for a column", "SELECT name FROM parent",
                lambda stage: stage.run("SELECT name FROM parent"), bare=True,
                url=lambda stage: _limit(stage, grant="SELECT (id) ON dbkit_samples.parent")),
    Provocation("no privilege for the server", "SET GLOBAL max_connections = 5",
                lambda stage: stage.run("SET GLOBAL max_connections = 5"), url=_limit),
    Provocation("too many queries in this hour", "SELECT 1",
                lambda stage: [stage.run("SELECT 1") for _ in range(100)], bare=True,
                url=lambda stage: _limit(stage, "WITH MAX_QUERIES_PER_HOUR 30")),
    # -- while connecting
    Provocation("refused", "", phase="connect", url=lambda stage: stage.url.set(port=1)),
    Provocation("no such database", "", phase="connect", url=lambda stage: stage.url.set(database="nowhere")),
    Provocation("database named like an error", "", phase="connect",
                url=lambda stage: stage.url.set(database="1040, 2006 Too many connections")),
    Provocation("no such user", "", phase="connect", url=lambda stage: stage.url.set(username="nobody")),
    Provocation("wrong password", "", phase="connect", url=lambda stage: _limit(stage).set(password="wrong")),
    Provocation("no privilege for the database", "", phase="connect",
                url=lambda stage: _limit(stage).set(database="mysql")),
    Provocation("locked account", "", phase="connect", url=lambda stage: _limit(stage, "ACCOUNT LOCK")),
    Provocation("too many connections of a user", "", phase="connect", url=_occupied),
    Provocation("too many connections", "", phase="connect", url=_full, clean=_emptied),
    # -- user's texts that look like errors
    *(
        _plain(f"duplicate value with the text of an error, {number}",
               "CREATE TEMPORARY TABLE quoting (words varchar(100) UNIQUE)",
               f'INSERT INTO quoting VALUES ("{words}"), ("{words}")')
        for number, words in enumerate(_TEXTS, 1)
    ),
    *(
        replace(_signalled(1644, words), name=f"raised with the text of an error, {number}")
        for number, words in enumerate(_TEXTS, 1)
    ),
    # -- codes that are hard to come by
    *map(_signalled, (
        1021, 1022, 1025, 1030, 1036, 1037, 1038, 1041, 1042, 1043, 1047, 1053, 1077, 1079, 1130, 1152, 1153, 1158,
        1159, 1160, 1161, 1169, 1178, 1180, 1184, 1203, 1206, 1216, 1217, 1263, 1290, 1370, 1410, 1586, 1614, 1615,
        1637, 1698, 1820, 1834, 1836, 1859, 1862, 1927,
    )),
    # The client library of mysqlclient takes these for its own.
    *(
        replace(_signalled(number), drivers=("pymysql", "asyncmy", "aiomysql"))
        for number in (2001, 2005, 2014, 2020, 2026, 2027, 2055, 2061)
    ),
)  # fmt: skip
