"""The shop in asyncio. The keys are those of the blocking tests, so that rows which one colour leaves are seen."""

from __future__ import annotations

import asyncio
from datetime import date

from bookshop import shop_async
from bookshop.database import db
from bookshop.models import Book
from bookshop.rules import AlreadyListed, AlreadyOrdered, OutOfStock, StillOrdered
from dbkit.testing.fixtures import isolated_by
from tests_testtools.case import ShopTestCase

EMMA, PERSUASION = "9780141439587", "9780141439686"
ANN, BOB = "ann@example.org", "bob@example.org"
PUBLISHED = date(1815, 12, 23)


class TestCatalogue(ShopTestCase):
    async def test_a_book_is_listed_once(self):
        await shop_async.add_book(EMMA, "Emma", 2, PUBLISHED)
        with self.assertRaises(AlreadyListed):
            await shop_async.add_book(EMMA, "Emma, again", 7, PUBLISHED)
        self.assertEqual({EMMA: 2}, await shop_async.stocks())

    async def test_what_a_session_of_the_test_stores_is_in_the_catalogue(self):
        details = {"author": "Jane Austen"}
        self.async_session.add(Book(isbn=EMMA, title="Emma", stock=2, published=PUBLISHED, details=details))
        await self.async_session.commit()
        self.assertEqual(["Emma"], await shop_async.titles_by("Jane Austen"))
        self.assertEqual({EMMA: 2}, await shop_async.stocks())


class TestOrders(ShopTestCase):
    async def asyncSetUp(self):
        await super().asyncSetUp()
        await shop_async.add_book(EMMA, "Emma", 2, PUBLISHED, author="Jane Austen")
        await shop_async.add_book(PERSUASION, "Persuasion", 1, date(1817, 12, 20), author="Jane Austen")

    async def test_an_order_is_confirmed_when_others_can_see_it(self):
        seen = []

        async def confirm(reference):
            seen.append((reference, await shop_async.orders()))

        async with db.writer():
            await shop_async.place_order("first", ANN, {EMMA: 1}, confirm)
            self.assertEqual([], seen)
        self.assertEqual([("first", [("first", ANN, EMMA, 1)])], seen)

    async def test_an_order_that_cannot_be_met_leaves_nothing(self):
        with self.assertRaises(OutOfStock):
            await shop_async.place_order("first", ANN, {EMMA: 1, PERSUASION: 2})
        self.assertEqual({EMMA: 2, PERSUASION: 1}, await shop_async.stocks())
        self.assertEqual(([], []), (await shop_async.customers(), await shop_async.orders()))

    async def test_an_order_is_stored_once(self):
        await shop_async.place_order("first", ANN, {EMMA: 1})
        with self.assertRaises(AlreadyOrdered):
            await shop_async.place_order("first", ANN, {EMMA: 1})
        self.assertEqual({EMMA: 1, PERSUASION: 1}, await shop_async.stocks())
        self.assertEqual([("first", ANN, EMMA, 1)], await shop_async.orders())

    async def test_an_incomplete_set_goes_back_on_the_shelf(self):
        sets = [{EMMA: 1, PERSUASION: 2}, {PERSUASION: 1}]
        self.assertEqual(1, await shop_async.place_order_of_sets("first", ANN, sets))
        self.assertEqual({EMMA: 2, PERSUASION: 0}, await shop_async.stocks())
        self.assertEqual([("first", ANN, PERSUASION, 1)], await shop_async.orders())

    async def test_a_book_that_is_ordered_stays_listed(self):
        await shop_async.place_order("first", ANN, {EMMA: 1})
        with self.assertRaises(StillOrdered):
            await shop_async.withdraw(EMMA)
        await shop_async.withdraw(PERSUASION)
        self.assertEqual({EMMA: 1}, await shop_async.stocks())

    @isolated_by("clone")  # tasks at the same time need transactions at the same time
    async def test_of_two_customers_one_gets_the_last_copy(self):
        async def buy(email):
            try:
                await shop_async.place_order(email, email, {PERSUASION: 1})
            except OutOfStock:
                return "too late"
            return "bought"

        self.assertEqual(["bought", "too late"], sorted(await asyncio.gather(buy(ANN), buy(BOB))))
        self.assertEqual({EMMA: 2, PERSUASION: 0}, await shop_async.stocks())
        self.assertEqual((1, 1), (len(await shop_async.orders()), len(await shop_async.customers())))
