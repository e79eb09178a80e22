"""dbkit: a transaction is declared, not managed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dbkit.ambient import within
    from dbkit.database import Database
    from dbkit.filters.options import blind_update, without
    from dbkit.retry import wrap_db_retry

__all__ = ["Database", "blind_update", "within", "without", "wrap_db_retry"]


def __getattr__(name: str) -> Any:
    # pytest loads dbkit's plugin, and so this file, in every project beside which dbkit is installed: SQLAlchemy, which
    # the faces bring, is imported by those who use it
    if name == "Database":
        from dbkit import database

        return database.Database
    if name in ("blind_update", "without"):
        from dbkit.filters import options

        return getattr(options, name)
    if name == "within":
        from dbkit import ambient

        return ambient.within
    if name == "wrap_db_retry":
        from dbkit import retry

        return retry.wrap_db_retry
    if name in ("filters", "models", "queries", "schema"):
        from importlib import import_module

        return import_module(f"dbkit.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
