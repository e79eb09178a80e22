"""Behaviours that read pages, in the open block's session."""

from __future__ import annotations

from typing import Any

from dbkit.queries import Page, Pages
from dbkit.tests.behaviours.base import Behaviour

KEY = b"a secret of sixteen bytes"


class Paging(Behaviour):
    """Reads pages in both colours."""

    async def page(self, pages: Pages[Any], cursor: str | None = None) -> Page[Any]:
        """Return the page that a cursor leads to."""
        return await pages.apage(self.session, cursor) if self.is_asyncio else pages.page(self.session.target, cursor)

    async def last(self, pages: Pages[Any]) -> Page[Any]:
        """Return the last page."""
        return await pages.alast(self.session) if self.is_asyncio else pages.last(self.session.target)

    async def walked(self, pages: Pages[Any], page: Page[Any] | None = None) -> tuple[list[Any], list[Any]]:
        """Return what is read from a page on, and from the last page back to the first."""
        page = page or await self.page(pages)
        forward = list(page.items)
        while page.has_next:
            page = await self.page(pages, page.next)
            forward += page.items
        page = await self.last(pages)
        back = list(page.items)
        while page.has_previous:
            page = await self.page(pages, page.previous)
            back = [*page.items, *back]
        return forward, back
