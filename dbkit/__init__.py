"""dbkit: a transaction is declared, not managed."""

from dbkit.database import Database

__all__ = ["Database"]
