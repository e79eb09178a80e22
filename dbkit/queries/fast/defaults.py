"""Defaults of columns that are made in Python, as the unit of work makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_WRAPPER = "sqlalchemy.sql.schema"


def maker_of(default: Any) -> Callable[[], Any] | None:
    """Return what makes a default's value; None if that takes more than a call."""
    made = default.arg
    if default.is_scalar:
        return lambda: made
    # SQLAlchemy has put a function round one that takes no context; any other one asks for what only a flush knows
    bare: Callable[[], Any] | None = getattr(made, "__wrapped__", None) if default.is_callable else None
    return bare if bare is not None and made.__globals__["__name__"] == _WRAPPER else None
