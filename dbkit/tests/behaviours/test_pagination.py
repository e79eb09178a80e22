"""Pages on each product, in both colours: complete and in order, forward and back, whatever is NULL."""

from __future__ import annotations

import itertools
import random

from sqlalchemy import select
from sqlalchemy.orm import scoped_session, sessionmaker

from dbkit.exceptions import HandleNotRequested, InvalidCursor, NoTransaction, UsageError
from dbkit.queries import Pages
from dbkit.tests.behaviours.base import Behaviour, RequestContext, behaviours
from dbkit.tests.behaviours.combinations import ONE_PER_PRODUCT, SQLITE_FILE, Product
from dbkit.tests.behaviours.faces import manager_of
from dbkit.tests.behaviours.paged import KEY, METADATA, ROWS, WAYS, expected, filled, term
from dbkit.tests.behaviours.paging import Paging
from dbkit.tests.behaviours.places import place
from dbkit.tests.behaviours.tables import Item


@behaviours(ONE_PER_PRODUCT)
class TestPages(Paging):
    def setUp(self):
        super().setUp()
        self.rows = self.fill()

    def fill(self):
        with place(self.combination.product).observer.connect() as connection:
            METADATA.drop_all(connection)
            self.addCleanup(METADATA.drop_all, place(self.combination.product).observer)
            return filled(connection)

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


@behaviours(SQLITE_FILE)
class TestWherePagesAreRead(Behaviour):
    """In whatever stands for a block, in the block; and nowhere else."""

    def setUp(self):
        super().setUp()
        self.store(1, 2, 3)
        self.pages = Pages(select(Item.id), sort_by=[Item.amount.desc()], key=KEY, size=2)

    async def both(self, where):
        """Return the items of the first page and of the last one."""
        where = getattr(where, "target", where)
        if self.is_asyncio:
            return (await self.pages.apage(where)).items, (await self.pages.alast(where)).items
        return self.pages.page(where).items, self.pages.last(where).items

    async def test_a_database_a_session_and_a_connection(self):
        async with self.colour.block(self.db.writer()) as session:
            session.add(Item(id=4, amount=9))  # which is flushed first
            for where in (self.db, session, await session.connection()):
                self.assertEqual(([4, 3], [2, 1]), await self.both(where))
        async with self.colour.block(self.db.reader.connection()) as connection:
            for where in (self.db, connection):
                self.assertEqual(([4, 3], [2, 1]), await self.both(where))

    async def test_a_context_object(self):
        context, manager = RequestContext(), manager_of(self.db)
        async with self.colour.block(manager.reader.using(context)):
            self.assertEqual(([3, 2], [2, 1]), await self.both(context))
            await self.raises(NoTransaction, self.both, self.db)

    async def test_plain_ones_of_sqlalchemy(self):
        async with self.bare_session() as session, self.bare_transaction() as connection:
            for where in (session, connection):
                self.assertEqual(([3, 2], [2, 1]), await self.both(where))
            if self.is_asyncio:
                for where in (session, connection):
                    self.assertRaises(HandleNotRequested, self.pages.page, where)
        scoped = scoped_session(sessionmaker(self.place.observer))
        self.assertEqual([3, 2], self.pages.page(scoped).items)
        scoped.remove()

    async def test_nothing_else(self):
        async with self.colour.block(self.db.reader()) as session:
            connection = await session.connection()
            if self.is_asyncio:
                for where in (self.db, session, connection):
                    self.assertRaises(HandleNotRequested, self.pages.page, where)
        for where in (self.db, session, connection, RequestContext()):
            await self.raises(NoTransaction, self.both, where)
        for where in (None, 3, self.place.observer, object()):
            await self.raises(UsageError, self.both, where)
