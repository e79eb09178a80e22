"""Keyset pages: forward, back, and in the same order whatever is NULL."""

from __future__ import annotations

from dbkit.queries.pagination.pages import Page, Pages
from dbkit.queries.pagination.paginate_query import get_unique_keys, paginate_query, to_list

__all__ = ["Page", "Pages", "get_unique_keys", "paginate_query", "to_list"]
