"""The options of the group ``[database]``: one row each, with type, default, bounds, unit and help.

The names that oslo.db's users know keep their names, types and defaults, so that an existing file works unchanged.
"""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

from dbkit.options.connecting import CONNECTING
from dbkit.options.option import GROUP, Option, SharedBoolOpt, SharedStrOpt, row
from dbkit.options.survival import SURVIVAL

__all__ = ["GROUP", "OPTIONS", "Option", "database_opts", "list_opts", "register", "set_defaults"]

_ACCEPTED: tuple[Option, ...] = (
    # -- accepted, so that an oslo.db file works unchanged ---------------------------------------------------------
    row(
        SharedStrOpt,
        "backend",
        default="sqlalchemy",
        help="Accepted from oslo.db's files; it has no effect.",
        ignored=True,
    ),
    row(
        SharedBoolOpt,
        "use_db_reconnect",
        default=False,
        help="Accepted from oslo.db's files; it has no effect.",
        ignored=True,
    ),
)

OPTIONS: tuple[Option, ...] = (*CONNECTING, *SURVIVAL, *_ACCEPTED)


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
