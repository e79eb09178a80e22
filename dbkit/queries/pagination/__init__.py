"""Keyset pages: forward, back, and in the same order whatever is NULL."""

from __future__ import annotations

from dbkit.queries.pagination.pages import Page, Pages

__all__ = ["Page", "Pages"]
