"""dbkit: a transaction is declared, not managed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dbkit.database import Database

__all__ = ["Database"]


def __getattr__(name: str) -> Any:
    # pytest loads dbkit's plugin, and so this file, in every project beside which dbkit is installed: SQLAlchemy, which
    # the faces bring, is imported by those who use it
    if name in __all__:
        from dbkit import database

        return getattr(database, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
