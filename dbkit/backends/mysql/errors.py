"""What the errors of MySQL, MariaDB and Galera mean: their rules by error number."""

from __future__ import annotations

from dbkit.backends.mysql.clues import clues
from dbkit.backends.mysql.signature import refine, signature
from dbkit.backends.rules import Rule, RuleSet
from dbkit.exceptions import (
    DBAccessDenied,
    DBConnectionError,
    DBConsistencyError,
    DBConstraintError,
    DBDataError,
    DBDeadlock,
    DBDuplicateEntry,
    DBError,
    DBInvalidUnicodeParameter,
    DBLockTimeout,
    DBNonExistentConstraint,
    DBNonExistentDatabase,
    DBNonExistentTable,
    DBNotNullError,
    DBNotSupportedError,
    DBQueryCanceled,
    DBReadOnly,
    DBReferenceError,
    DBSerializationFailure,
    DBTooManyConnections,
    Outcome,
    TransactionDoomed,
)

_MARIADB = "MariaDB documentation: MariaDB error code reference"
_MYSQL = "MySQL server error message reference"
_CLIENT = "MySQL client error message reference"
_GALERA = "Galera Cluster documentation: primary component, node states"
_INNODB = "MySQL reference manual: InnoDB error handling"
_NO_MYSQL = "no MySQL server could be had; MariaDB does not raise it"

# A name in the server's text: quoted by backticks, or by double quotes under sql_mode ANSI_QUOTES.
_NAME = r'(?:`(?:[^`]|``)*`|"(?:[^"]|"")*")'
_FOREIGN_KEY = (
    rf"\((?:{_NAME}\.)?(?P<table>{_NAME})"
    rf"(?:, CONSTRAINT (?P<constraint>{_NAME}))?(?: FOREIGN KEY \((?P<key>[^)]*)\))?"
    rf"(?: REFERENCES (?:{_NAME}\.)?(?P<key_table>{_NAME})(?: \((?P<key_there>[^)]*)\))?)?"
)
_COLUMN = rf"for column (?:'(?P<column>[^']*)'|(?:{_NAME}\.)?(?P<table>{_NAME})\.(?P<column_name>{_NAME})) at row \d+\Z"

# In order of precedence: the first that matches wins, so a rule that a text narrows stands before the one without.
_RULES = (
    # -- the connection
    Rule(
        DBConnectionError,
        codes=(2001, 2002, 2003, 2004, 2005, 2009, 2012, 2026, 2061),
        disconnect=True,
        means="the server was not reached, or the first exchange with it failed",
        source=_CLIENT,
    ),
    Rule(
        DBConnectionError,
        codes=(2006, 2013, 2014, 2027, 2055),
        disconnect=True,
        means="the server is gone, or its answer could not be read",
        source=_CLIENT,
    ),
    Rule(
        DBConnectionError,
        codes=(1927, 1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1184, 1042, 1043),
        disconnect=True,
        means="the server ended the connection",
        source=_MARIADB,
    ),
    Rule(
        DBConnectionError,
        codes=(4031,),
        disconnect=True,
        means="the server ended the connection because it was idle for too long",
        source=_MYSQL,
        untested=_NO_MYSQL,
    ),
    Rule(
        DBConnectionError,
        codes=(0,),
        classes=("InterfaceError",),
        disconnect=True,
        means="the connection is closed",
        source="PyMySQL and aiomysql: InterfaceError(0, '') on the use of a closed connection",
    ),
    Rule(
        DBConnectionError,
        classes=("InterfaceError",),
        text=r"\A\(0, 'Not connected'\)\Z",
        disconnect=True,
        means="the connection is closed",
        source="aiomysql, on the use of a closed connection",
    ),
    Rule(
        DBConnectionError,
        codes=(1047,),
        disconnect=True,
        means="the node is not part of its cluster and serves no one",
        source=_GALERA,
    ),
    Rule(DBTooManyConnections, codes=(1040, 1203), source=_MARIADB),
    Rule(
        DBTooManyConnections,
        codes=(1226,),
        text=r"'max_(?:user_connections|connections_per_hour)'",
        source=_MARIADB,
    ),
    Rule(DBError, codes=(1226,), means="the user has used up what it is allowed in this hour", source=_MARIADB),
    # -- who, and where
    Rule(DBNonExistentDatabase, codes=(1049,), extract=r"'(?P<database>.*)'", source=_MARIADB),
    Rule(
        DBAccessDenied,
        codes=(1044, 1045, 1130, 1142, 1143, 1227, 1370, 1410, 1698, 1820, 1862, 3118, 3159, 4151),
        extract=r" user '(?P<user>[^']*)'@",
        at_commit=Outcome.ROLLED_BACK,  # of the statement that a commit fence sends with it
        source=_MARIADB,
    ),
    # -- conflicts
    Rule(DBDeadlock, codes=(1213,), source=_INNODB),
    Rule(DBDeadlock, codes=(1614,), means="the XA transaction was rolled back: a deadlock", source=_MARIADB),
    Rule(
        DBDeadlock,
        codes=(3101,),
        means="the transaction lost a conflict with another member of the group and was rolled back",
        source="MySQL reference manual: group replication",
        untested=_NO_MYSQL,
    ),
    Rule(
        DBConsistencyError,
        codes=(1020,),
        extract=r"in table '(?P<table>[^']*)'",
        source="MariaDB documentation: innodb_snapshot_isolation",
    ),
    Rule(
        DBSerializationFailure,
        codes=(1412,),
        outcome=Outcome.STATEMENT_FAILED,
        means="a table changed since the transaction's snapshot, which cannot show it any more",
        source=_INNODB,
    ),
    Rule(
        DBError,
        codes=(1615,),
        transient=True,
        means="a table changed under a prepared statement",
        source=_MYSQL,
    ),
    Rule(
        DBLockTimeout,
        codes=(1205,),
        source="MySQL reference manual: innodb_lock_wait_timeout, innodb_rollback_on_timeout",
    ),
    Rule(DBLockTimeout, codes=(3572,), source="MySQL reference manual: NOWAIT", untested=_NO_MYSQL),
    Rule(
        DBQueryCanceled,
        codes=(1317, 1969),
        source="MariaDB documentation: KILL QUERY, max_statement_time",
    ),
    Rule(DBQueryCanceled, codes=(3024,), source="MySQL reference manual: max_execution_time", untested=_NO_MYSQL),
    # -- the transaction
    Rule(
        DBReadOnly,
        codes=(1290,),
        text=r"(?:read[-_ ]only)",
        at_commit=Outcome.ROLLED_BACK,
        means="the server accepts no writes",
        source="MariaDB documentation: read_only",
    ),
    Rule(
        DBError,
        codes=(1290,),
        quotable=True,
        means="an option with which the server was started forbids the statement",
        source=_MARIADB,
    ),
    Rule(DBReadOnly, codes=(1792,), means="the transaction is read-only", source=_MARIADB),
    Rule(
        DBReadOnly,
        codes=(1836,),
        at_commit=Outcome.ROLLED_BACK,
        means="the server accepts no writes",
        source=_MYSQL,
    ),
    Rule(DBReadOnly, codes=(1036,), means="the table is read-only", source=_MARIADB),
    Rule(
        DBError,
        codes=(1180,),
        at_commit=Outcome.UNKNOWN,
        transient=True,
        means="COMMIT failed in the storage engine or in the cluster",
        source=_GALERA,
    ),
    Rule(
        TransactionDoomed,
        codes=(1305,),
        text=r"\ASAVEPOINT ",
        means="the savepoint is gone: the server rolled the whole transaction back, if it ever was set",
        source="MySQL reference manual: SAVEPOINT; a deadlock removes every savepoint",
    ),
    # -- integrity
    Rule(
        DBDuplicateEntry,
        codes=(1062, 1586, 1859),
        extract=r"\ADuplicate entry '(?P<value>.*)' for key '(?P<constraint>[^']*)'\Z",
        at_commit=Outcome.ROLLED_BACK,  # of the statement that a commit fence sends with it
        source=_MARIADB,
    ),
    Rule(DBDuplicateEntry, codes=(1169, 1022), source=_MARIADB),
    Rule(DBReferenceError, codes=(1451, 1452), extract=_FOREIGN_KEY, source=_MARIADB),
    Rule(DBReferenceError, codes=(1216, 1217, 1834, 1701), extract=_FOREIGN_KEY, source=_MARIADB),
    Rule(
        DBConstraintError,
        codes=(4025,),
        extract=rf"\ACONSTRAINT (?P<constraint>{_NAME}|\S+) failed for (?:{_NAME}\.)?(?P<table>{_NAME})",
        source=_MARIADB,
    ),
    Rule(
        DBConstraintError,
        codes=(3819,),
        extract=r"\ACheck constraint '(?P<constraint>[^']*)' is violated",
        source=_MYSQL,
        untested=_NO_MYSQL,
    ),
    Rule(
        DBConstraintError,
        codes=(1369,),
        extract=rf"(?:{_NAME}\.)?(?P<table>{_NAME})\Z",
        means="the check option of a view refused the row",
        source=_MARIADB,
    ),
    Rule(DBNotNullError, codes=(1048, 1364, 1263), extract=r"(?:Column|Field) '(?P<column>[^']*)'", source=_MARIADB),
    # -- what was sent
    Rule(
        DBInvalidUnicodeParameter,
        codes=(1300,),
        means="a text is not valid in its character set",
        source=_MARIADB,
    ),
    Rule(
        DBDataError,
        codes=(1264, 1265, 1292, 1366, 1367, 1406, 1411, 1416, 1690),
        extract=_COLUMN,
        source=_MARIADB,
    ),
    Rule(DBDataError, codes=(1365,), means="a number was divided by zero", source=_MARIADB),
    Rule(
        DBDataError,
        codes=(1153, 1301, 2020),
        means="a value, or the row, is larger than the server accepts",
        source=_MARIADB,
    ),
    Rule(
        DBNonExistentTable,
        codes=(1146, 1051, 1109),
        extract=r"'(?:[^'.]*\.)?(?P<table>.*?)'",
        at_commit=Outcome.ROLLED_BACK,  # the same
        source=_MARIADB,
    ),
    Rule(
        DBDataError,
        codes=(3140, 3141, 3156),
        means="a text is no JSON, or not of the kind that is needed",
        source=_MYSQL,
        untested=_NO_MYSQL,
    ),
    Rule(
        DBNonExistentConstraint,
        codes=(1091,),
        extract=rf"(?:CONSTRAINT|KEY|INDEX|FOREIGN KEY|COLUMN|CHECK) (?P<constraint>{_NAME})",
        source=_MARIADB,
    ),
    Rule(
        DBNonExistentConstraint,
        codes=(1176,),
        extract=r"\AKey '(?P<constraint>.*)' doesn't exist in table '(?P<table>.*)'\Z",
        source=_MARIADB,
    ),
    Rule(
        DBNonExistentConstraint,
        codes=(1025,),
        means="a table or its constraint could not be changed",
        source="MySQL server error message reference; for a constraint that is not there, until MySQL 5.6",
    ),
    Rule(
        DBNonExistentConstraint,
        codes=(3821, 3940),
        extract=r"'(?P<constraint>[^']*)'",
        source=_MYSQL,
        untested=_NO_MYSQL,
    ),
    Rule(DBNotSupportedError, codes=(1235, 1178, 1286), quotable=True, source=_MARIADB),
    Rule(
        DBError,
        codes=(1054, 1055, 1064, 1065, 1066, 1052, 1060, 1061, 1050, 1072, 1110, 1136, 1149, 1222, 1305),
        quotable=True,
        means="the statement is wrong, or names what does not exist",
        source=_MARIADB,
    ),
    # -- the server
    Rule(DBError, codes=(1021, 1114, 1030), means="the server's disk or table is full, or failed", source=_MARIADB),
    Rule(DBError, codes=(1037, 1038, 1041), means="the server is out of memory", source=_MARIADB),
    Rule(
        DBError,
        codes=(1206, 1637),
        transient=True,
        outcome=Outcome.ROLLED_BACK,
        means="the server has no room for the transaction's locks",
        source=_INNODB,
    ),
    Rule(DBError, codes=(1644,), means="code in the database raised an error", source=_MARIADB),
    # -- no error number
    Rule(
        DBConnectionError,
        classes=("OSError",),
        disconnect=True,
        means="the network refused or lost the connection",
        source="drivers that let the errors of the socket through",
        untested="none of the drivers that were tried does",
    ),
)


RULES = RuleSet("mysql", _RULES, signature=signature, refine=refine, clues=clues)
