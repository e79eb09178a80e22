"""The options of the group ``[database]``: one row each, with type, default, bounds, unit and help.

The names that oslo.db's users know keep their names, types and defaults, so that an existing file works unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from oslo_config import cfg

GROUP = "database"


class _SharedOpt(cfg.Opt):
    """An option that oslo.db has too: a process that uses both libraries can register both, in either order.

    oslo.config refuses a second option of the same name unless it compares equal, and the two help texts differ.
    """

    def __eq__(self, another: object) -> bool:
        if not isinstance(another, cfg.Opt):
            return NotImplemented
        return self.dest == another.dest and type(self.type) is type(another.type)

    def __ne__(self, another: object) -> bool:
        return not self == another

    __hash__ = cfg.Opt.__hash__


class _SharedStrOpt(_SharedOpt, cfg.StrOpt):
    pass


class _SharedIntOpt(_SharedOpt, cfg.IntOpt):
    pass


class _SharedBoolOpt(_SharedOpt, cfg.BoolOpt):
    pass


@dataclass(frozen=True, slots=True)
class Option:
    """A row of the table.

    :param unit: what a number counts.
    :param nullable: None is a value of its own and does not mean "not given".
    :param ignored: accepted because oslo.db has it; nothing reads it.
    :param formerly: older names of the same option.
    """

    opt: cfg.Opt
    unit: str = ""
    nullable: bool = False
    ignored: bool = False
    formerly: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name in the file and as a keyword."""
        return str(self.opt.dest)


def _former(*names: str) -> list[cfg.DeprecatedOpt]:
    return [cfg.DeprecatedOpt(name, group=GROUP) for name in names]


def _row(
    kind: type[cfg.Opt],
    name: str,
    *,
    help: str,
    unit: str = "",
    nullable: bool = False,
    ignored: bool = False,
    formerly: tuple[str, ...] = (),
    **more: Any,
) -> Option:
    text = f"{help} Unit: {unit}." if unit else help
    opt = kind(name, help=text, deprecated_opts=_former(*formerly), **more)
    return Option(opt, unit, nullable, ignored, formerly)


def _url(name: str, help: str, *, formerly: tuple[str, ...] = ()) -> Option:
    return _row(cfg.StrOpt if formerly else _SharedStrOpt, name, help=help, formerly=formerly, secret=True)


OPTIONS: tuple[Option, ...] = (
    # -- where the database is -----------------------------------------------------------------------------------
    _url(
        "connection",
        "The URL of the database, for blocking code and for asyncio: sqlite:///app.db, "
        "postgresql://user:password@host/database, mysql://user:password@host/database. A driver can be named after "
        "a plus sign, as in mysql+pymysql://. A dollar sign is written twice.",
    ),
    _url(
        "asyncio_connection",
        "The URL for asyncio, where it is not the same as connection with the asyncio driver in its place.",
    ),
    _url(
        "replica_connection",
        "The URL of a replica, for readers that accept one. Without it they read from the primary.",
        formerly=("slave_connection",),
    ),
    _url(
        "asyncio_replica_connection",
        "The URL of the replica for asyncio, where it is not the same as replica_connection with the asyncio driver.",
        formerly=("asyncio_slave_connection",),
    ),
    _url("slave_connection", "The old name of replica_connection."),
    _url("asyncio_slave_connection", "The old name of asyncio_replica_connection."),
    _row(
        _SharedStrOpt,
        "connection_parameters",
        default="",
        secret=True,
        help="URL arguments that are added to every URL of this group: name=value&name=value.",
    ),
    _row(
        _SharedBoolOpt,
        "synchronous_reader",
        default=True,
        help="Whether a reader must see all that was committed before it began. If False, every reader accepts "
        "a replica that lags.",
    ),
    # -- connections and their pool ------------------------------------------------------------------------------
    _row(
        _SharedIntOpt,
        "max_pool_size",
        default=5,
        min=0,
        help="Connections that a pool keeps open; 0 sets no limit.",
        unit="connections",
    ),
    _row(
        _SharedIntOpt,
        "max_overflow",
        default=50,
        min=-1,
        help="Connections that a pool may open beyond max_pool_size when it is busy; -1 sets no limit.",
        unit="connections",
    ),
    _row(
        _SharedIntOpt,
        "pool_timeout",
        min=0,
        help="How long a block waits for a connection of a busy pool before it fails. If not set, SQLAlchemy's "
        "default of 30 seconds.",
        unit="seconds",
        nullable=True,
    ),
    _row(
        _SharedIntOpt,
        "connection_recycle_time",
        default=3600,
        min=-1,
        help="A connection older than this is replaced when it is next asked for; -1 keeps it for ever.",
        unit="seconds",
        formerly=("idle_timeout",),
    ),
    _row(
        cfg.FloatOpt,
        "pool_pre_ping_idle",
        default=30.0,
        min=-1,
        help="A connection that was idle for longer than this is tested before it is used; 0 tests always, -1 "
        "never. One that was used a moment ago needs no test.",
        unit="seconds",
    ),
    _row(
        cfg.IntOpt,
        "connect_timeout",
        default=10,
        min=1,
        help="How long one attempt to connect to a server may take. An argument of the URL goes before it.",
        unit="seconds",
        nullable=True,
    ),
    _row(
        cfg.BoolOpt,
        "transaction_pooling",
        default=False,
        help="The server is reached through a proxy that lends a connection for one transaction only, such as "
        "PgBouncer in transaction mode. Nothing that outlives a transaction is then used on a connection.",
    ),
    _row(
        _SharedIntOpt,
        "max_retries",
        default=10,
        min=-1,
        help="How often the first connection is tried again while the database cannot be reached; -1 tries for "
        "ever, 0 does not connect at the start.",
        unit="attempts",
    ),
    _row(
        _SharedIntOpt,
        "retry_interval",
        default=10,
        min=0,
        help="The time between attempts of the first connection.",
        unit="seconds",
    ),
    # -- SQLite --------------------------------------------------------------------------------------------------
    _row(
        cfg.BoolOpt,
        "sqlite_fk",
        default=True,
        help="Whether SQLite enforces foreign keys.",
    ),
    _row(
        _SharedBoolOpt,
        "sqlite_synchronous",
        default=True,
        help="Whether SQLite waits for the disk. If False, a power cut can destroy the file.",
    ),
    _row(
        cfg.BoolOpt,
        "sqlite_wal",
        default=True,
        help="Whether SQLite files use the write-ahead log, so that readers and a writer do not wait for each "
        "other. It does not work on network file systems.",
    ),
    _row(
        cfg.FloatOpt,
        "sqlite_busy_timeout",
        default=5.0,
        min=0,
        help="How long SQLite waits for another process that holds the file's lock.",
        unit="seconds",
    ),
    # -- MySQL, MariaDB, Galera ----------------------------------------------------------------------------------
    _row(
        _SharedStrOpt,
        "mysql_sql_mode",
        default="TRADITIONAL",
        help="The SQL mode of each session on MySQL and MariaDB. Set to no value, the server's own mode stays.",
        nullable=True,
    ),
    _row(
        _SharedIntOpt,
        "mysql_wsrep_sync_wait",
        min=0,
        max=15,
        help="wsrep_sync_wait of each session on Galera: which statements wait until the node has applied all "
        "that was committed elsewhere. If not set, the server's own value stays.",
        nullable=True,
    ),
    # -- what is written to logs and into statements ---------------------------------------------------------------
    _row(
        _SharedIntOpt,
        "connection_debug",
        default=0,
        min=0,
        max=100,
        help="How much SQL is logged: 0 nothing, 50 the statements, 100 the rows too.",
    ),
    _row(
        _SharedBoolOpt,
        "connection_trace",
        default=False,
        help="Whether each statement carries a comment that says which line of code sent it.",
    ),
    _row(
        cfg.StrOpt,
        "logging_name",
        help="The name of the engine in log records, where a process has several.",
        nullable=True,
    ),
    # -- the retry of a transaction --------------------------------------------------------------------------------
    _row(
        _SharedIntOpt,
        "db_max_retries",
        default=20,
        min=-1,
        help="How often a transaction that may be run again is run again; -1 sets no limit.",
        unit="retries",
    ),
    _row(
        _SharedIntOpt,
        "db_retry_interval",
        default=1,
        min=0,
        help="The time before a transaction is run again.",
        unit="seconds",
    ),
    _row(
        _SharedBoolOpt,
        "db_inc_retry_interval",
        default=True,
        help="Whether the time between retries doubles, up to db_max_retry_interval.",
    ),
    _row(
        _SharedIntOpt,
        "db_max_retry_interval",
        default=10,
        min=0,
        help="The longest time between two retries.",
        unit="seconds",
    ),
    # -- accepted, so that an oslo.db file works unchanged ---------------------------------------------------------
    _row(
        _SharedStrOpt,
        "backend",
        default="sqlalchemy",
        help="Accepted from oslo.db's files; it has no effect.",
        ignored=True,
    ),
    _row(
        _SharedBoolOpt,
        "use_db_reconnect",
        default=False,
        help="Accepted from oslo.db's files; it has no effect.",
        ignored=True,
    ),
)


database_opts: list[cfg.Opt] = [option.opt for option in OPTIONS]


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the group and its options, for oslo.config's generator of sample files."""
    return [(GROUP, database_opts)]


def register(conf: cfg.ConfigOpts) -> None:
    """Make the options known to ``conf``. It can be done again, and beside oslo.db's own registration."""
    conf.register_opts(database_opts, group=GROUP)


def set_defaults(
    conf: cfg.ConfigOpts,
    connection: str | None = None,
    max_pool_size: int | None = None,
    max_overflow: int | None = None,
    pool_timeout: int | None = None,
) -> None:
    """Give an application's own defaults to options; files, the environment and ``DATABASE_URL`` go before them."""
    register(conf)
    given: dict[str, Any] = {
        "connection": connection,
        "max_pool_size": max_pool_size,
        "max_overflow": max_overflow,
        "pool_timeout": pool_timeout,
    }
    for name, value in given.items():
        if value is not None:
            conf.set_default(name, value, group=GROUP)
