"""Pages on each product, in both colours: complete and in order, forward and back, whatever is NULL."""

from __future__ import annotations

import itertools
import random

from sqlalchemy import select

from dbkit.exceptions import InvalidCursor
from dbkit.queries import Pages
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import ONE_PER_PRODUCT, Product
from dbkit.tests.behaviours.places import place
from dbkit.tests.unit.test_pagination import KEY, METADATA, ROWS, WAYS, expected, filled, term


@behaviours(ONE_PER_PRODUCT)
class TestPages(Behaviour):
    def setUp(self):
        super().setUp()
        self.rows = self.fill()

    def fill(self):
        with place(self.combination.product).observer.connect() as connection:
            METADATA.drop_all(connection)
            self.addCleanup(METADATA.drop_all, place(self.combination.product).observer)
            return filled(connection)

    async def page(self, pages, *given):
        if self.is_asyncio:
            return await pages.apage(self.session, *given)
        return pages.page(self.session.target, *given)

    async def last(self, pages):
        return await pages.alast(self.session) if self.is_asyncio else pages.last(self.session.target)

    async def walked(self, pages):
        page = await self.page(pages)
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

    async def test_a_sample_of_combinations_is_complete_and_in_order(self):
        chance, wrong = random.Random(11), []
        combinations = [ways for count in (1, 2, 3) for ways in itertools.product(WAYS, repeat=count)]
        async with self.reader():
            for ways in chance.sample(combinations, 12):
                keys = [term(name, *way) for name, way in zip("abc", ways, strict=False)]
                pages = Pages(select(ROWS.c.id), sort_by=keys, key=KEY, size=9)
                wanted = expected(self.rows, ways, not self.is_on(Product.POSTGRESQL))
                if await self.walked(pages) != (wanted, wanted):
                    wrong.append(ways)
        self.assertEqual([], wrong)

    async def test_a_changed_cursor_is_refused(self):
        pages = Pages(select(ROWS.c.id), sort_by=[ROWS.c.a], key=KEY, size=9)
        async with self.reader():
            cursor = (await self.page(pages)).next
            with self.raising(InvalidCursor):
                await self.page(pages, cursor[:-6])
