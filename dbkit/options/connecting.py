"""The options that say where the database is and how connections to it are kept."""

from __future__ import annotations

from oslo_config import cfg

from dbkit.options.option import Option, SharedBoolOpt, SharedIntOpt, SharedStrOpt, row, url

CONNECTING: tuple[Option, ...] = (
    # -- where the database is -----------------------------------------------------------------------------------
    url(
        "connection",
        "The URL of the database, for blocking code and for asyncio: sqlite:///app.db, "
        "postgresql://user:password@host/database, mysql://user:password@host/database. A driver can be named after "
        "a plus sign, as in mysql+pymysql://. A dollar sign is written twice.",
    ),
    url(
        "asyncio_connection",
        "The URL for asyncio, where it is not the same as connection with the asyncio driver in its place.",
    ),
    url(
        "replica_connection",
        "The URL of a replica, for readers that accept one. Without it they read from the primary.",
        formerly=("slave_connection",),
    ),
    url(
        "asyncio_replica_connection",
        "The URL of the replica for asyncio, where it is not the same as replica_connection with the asyncio driver.",
        formerly=("asyncio_slave_connection",),
    ),
    url("slave_connection", "The old name of replica_connection."),
    url("asyncio_slave_connection", "The old name of asyncio_replica_connection."),
    row(
        SharedStrOpt,
        "connection_parameters",
        default="",
        secret=True,
        help="URL arguments that are added to every URL of this group: name=value&name=value.",
    ),
    row(
        SharedBoolOpt,
        "synchronous_reader",
        default=True,
        help="Whether a reader must see all that was committed before it began. If False, every reader accepts "
        "a replica that lags.",
    ),
    # -- connections and their pool ------------------------------------------------------------------------------
    row(
        SharedIntOpt,
        "max_pool_size",
        default=5,
        min=0,
        help="Connections that a pool keeps open; 0 sets no limit.",
        unit="connections",
    ),
    row(
        SharedIntOpt,
        "max_overflow",
        default=50,
        min=-1,
        help="Connections that a pool may open beyond max_pool_size when it is busy; -1 sets no limit.",
        unit="connections",
    ),
    row(
        SharedIntOpt,
        "pool_timeout",
        min=0,
        help="How long a block waits for a connection of a busy pool before it fails. If not set, SQLAlchemy's "
        "default of 30 seconds.",
        unit="seconds",
        nullable=True,
    ),
    row(
        SharedIntOpt,
        "connection_recycle_time",
        default=3600,
        min=-1,
        help="A connection older than this is replaced when it is next asked for; -1 keeps it for ever.",
        unit="seconds",
        formerly=("idle_timeout",),
    ),
    row(
        cfg.FloatOpt,
        "pool_pre_ping_idle",
        default=30.0,
        min=-1,
        help="A connection that was idle for longer than this is tested before it is used; 0 tests always, -1 "
        "never. One that was used a moment ago needs no test.",
        unit="seconds",
    ),
    row(
        cfg.FloatOpt,
        "pool_ping_timeout",
        default=2.0,
        min=0.05,
        help="How long the test of an idle connection may take before the connection is given up.",
        unit="seconds",
    ),
    row(
        cfg.FloatOpt,
        "pool_lifetime_jitter",
        default=0.1,
        min=0,
        max=1,
        help="By what share of connection_recycle_time the life of a connection is shortened, by chance, so that those "
        "which were opened together are not replaced together.",
        unit="share from 0 to 1",
    ),
    row(
        cfg.FloatOpt,
        "pool_queue_target",
        min=0.001,
        help="If nobody has waited for a connection for less than this for pool_queue_interval, those who have waited "
        "for longer than twice of it are turned away, and who came last is served first, until the queue is short "
        "again. If not set, everyone waits for pool_timeout.",
        unit="seconds",
        nullable=True,
    ),
    row(
        cfg.FloatOpt,
        "pool_queue_interval",
        default=2.0,
        min=0.01,
        help="For how long the queue must have been slow before anyone is turned away.",
        unit="seconds",
    ),
    row(
        cfg.IntOpt,
        "tcp_keepalive",
        default=60,
        min=1,
        help="After how long without traffic the operating system asks whether the server's machine is still there. If "
        "not set, its own default holds, which is two hours on Linux.",
        unit="seconds",
        nullable=True,
    ),
    row(
        cfg.IntOpt,
        "connect_timeout",
        default=10,
        min=1,
        help="How long one attempt to connect to a server may take. An argument of the URL goes before it.",
        unit="seconds",
        nullable=True,
    ),
    row(
        cfg.BoolOpt,
        "transaction_pooling",
        default=False,
        help="The server is reached through a proxy that lends a connection for one transaction only, such as "
        "PgBouncer in transaction mode. Nothing that outlives a transaction is then used on a connection.",
    ),
    row(
        SharedIntOpt,
        "max_retries",
        default=10,
        min=-1,
        help="How often the first connection is tried again while the database cannot be reached; -1 tries for "
        "ever, 0 does not connect at the start.",
        unit="attempts",
    ),
    row(
        SharedIntOpt,
        "retry_interval",
        default=10,
        min=0,
        help="The time between attempts of the first connection.",
        unit="seconds",
    ),
    # -- SQLite --------------------------------------------------------------------------------------------------
    row(
        cfg.BoolOpt,
        "sqlite_fk",
        default=True,
        help="Whether SQLite enforces foreign keys.",
    ),
    row(
        SharedBoolOpt,
        "sqlite_synchronous",
        default=True,
        help="Whether SQLite waits for the disk. If False, a power cut can destroy the file.",
    ),
    row(
        cfg.BoolOpt,
        "sqlite_wal",
        default=True,
        help="Whether SQLite files use the write-ahead log, so that readers and a writer do not wait for each "
        "other. It does not work on network file systems.",
    ),
    row(
        cfg.FloatOpt,
        "sqlite_busy_timeout",
        default=5.0,
        min=0,
        help="How long SQLite waits for another process that holds the file's lock.",
        unit="seconds",
    ),
    # -- MySQL, MariaDB, Galera ----------------------------------------------------------------------------------
    row(
        SharedStrOpt,
        "mysql_sql_mode",
        default="TRADITIONAL",
        help="The SQL mode of each session on MySQL and MariaDB. Set to no value, the server's own mode stays.",
        nullable=True,
    ),
    row(
        SharedIntOpt,
        "mysql_wsrep_sync_wait",
        min=0,
        max=15,
        help="wsrep_sync_wait of each session on Galera: which statements wait until the node has applied all "
        "that was committed elsewhere. If not set, the server's own value stays.",
        nullable=True,
    ),
    # -- what is written to logs and into statements ---------------------------------------------------------------
    row(
        SharedIntOpt,
        "connection_debug",
        default=0,
        min=0,
        max=100,
        help="How much SQL is logged: 0 nothing, 50 the statements, 100 the rows too.",
    ),
    row(
        SharedBoolOpt,
        "connection_trace",
        default=False,
        help="Whether each statement carries a comment that says which line of code sent it.",
    ),
    row(
        cfg.StrOpt,
        "logging_name",
        help="The name of the engine in log records, where a process has several.",
        nullable=True,
    ),
)
