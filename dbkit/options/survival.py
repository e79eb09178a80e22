"""The options that say what happens to a transaction that a fault has struck."""

from __future__ import annotations

from oslo_config import cfg

from dbkit.options.option import Option, SharedBoolOpt, SharedIntOpt, row

SURVIVAL: tuple[Option, ...] = (
    # -- the retry of a transaction --------------------------------------------------------------------------------
    row(
        SharedIntOpt,
        "db_max_retries",
        default=20,
        min=-1,
        help="How often a transaction that may be run again is run again; -1 sets no limit.",
        unit="retries",
    ),
    row(
        SharedIntOpt,
        "db_retry_interval",
        default=1,
        min=0,
        help="The time before a transaction is run again.",
        unit="seconds",
    ),
    row(
        SharedBoolOpt,
        "db_inc_retry_interval",
        default=True,
        help="Whether the time between retries doubles, up to db_max_retry_interval.",
    ),
    row(
        SharedIntOpt,
        "db_max_retry_interval",
        default=10,
        min=0,
        help="The longest time between two retries.",
        unit="seconds",
    ),
    row(
        cfg.FloatOpt,
        "db_conflict_retry_interval",
        default=0.02,
        min=0,
        help="The time from which the waits grow before a transaction is run again that lost a conflict with another "
        "one. What it waits for is the other one's end, so it is much shorter than db_retry_interval, which is for "
        "a lost connection or a server that has too much to do.",
        unit="seconds",
    ),
    row(
        cfg.FloatOpt,
        "db_retry_budget",
        default=0.1,
        min=0,
        help="How many transactions may be run again because of a lost connection or an overload, as a share of all "
        "that were run lately. When a server is down, more would only keep it down. A few are always allowed.",
        unit="runs for each transaction",
    ),
    row(
        cfg.FloatOpt,
        "db_conflict_retry_budget",
        default=10.0,
        min=0,
        help="The same for transactions that lost a conflict with another one, which are counted apart.",
        unit="runs for each transaction",
    ),
    # -- what became of a COMMIT whose reply was lost, and of a transaction whose connection was ---------------------
    row(
        cfg.BoolOpt,
        "exactly_once",
        default=False,
        help="Whether the COMMIT of every writer carries a token, by which a lost reply can be decided. It needs the "
        "token table, unless commit_fence is status.",
    ),
    row(
        cfg.StrOpt,
        "commit_fence",
        default="table",
        choices=[
            ("table", "a row that each transaction writes to the token table"),
            (
                "status",
                "the transaction's number, on PostgreSQL only: it is asked for before COMMIT, which costs a round "
                "trip and no row, and it decides as long as the server has not failed over",
            ),
        ],
        help="By what the outcome of a COMMIT is decided whose reply was lost.",
    ),
    row(
        cfg.FloatOpt,
        "commit_fence_timeout",
        default=10.0,
        min=0,
        help="How long a block tries to decide what became of its COMMIT before it raises CommitUnknown.",
        unit="seconds",
    ),
    row(
        cfg.BoolOpt,
        "replay",
        default=False,
        help="Whether every block repeats its statements on another connection, and compares what it gets, when it "
        "loses its connection or is chosen as the victim of a conflict before COMMIT.",
    ),
    row(
        cfg.IntOpt,
        "replay_max_size",
        default=1048576,
        min=0,
        help="A transaction whose statements and parameters take more than this is not repeated.",
        unit="bytes",
    ),
    row(
        cfg.FloatOpt,
        "replay_max_time",
        default=30.0,
        min=0,
        help="A transaction that began longer ago than this is not repeated.",
        unit="seconds",
    ),
)
