"""The blocking shop. All tests store rows of the same keys, and none may find those of another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date

from bookshop import shop
from bookshop.database import db
from bookshop.models import Book
from bookshop.rules import AlreadyListed, AlreadyOrdered, OutOfStock, StillOrdered
from dbkit.testing.fixtures import isolated_by
from tests_testtools.case import ShopTestCase

EMMA, PERSUASION = "9780141439587", "9780141439686"
ANN, BOB = "ann@example.org", "bob@example.org"
PUBLISHED = date(1815, 12, 23)


class TestCatalogue(ShopTestCase):
    def test_a_book_is_listed(self):
        shop.add_book(EMMA, "Emma", 2, PUBLISHED)
        self.assertEqual({EMMA: 2}, shop.stocks())

    def test_a_book_is_listed_once(self):
        shop.add_book(EMMA, "Emma", 2, PUBLISHED)
        self.assertRaises(AlreadyListed, shop.add_book, EMMA, "Emma, again", 7, PUBLISHED)
        self.assertEqual({EMMA: 2}, shop.stocks())

    def test_what_a_session_of_the_test_stores_is_in_the_catalogue(self):
        details = {"author": "Jane Austen"}
        self.session.add(Book(isbn=EMMA, title="Emma", stock=2, published=PUBLISHED, details=details))
        self.session.commit()
        self.assertEqual(["Emma"], shop.titles_by("Jane Austen"))
        self.assertEqual({EMMA: 2}, shop.stocks())


class TestOrders(ShopTestCase):
    def setUp(self):
        super().setUp()
        shop.add_book(EMMA, "Emma", 2, PUBLISHED, author="Jane Austen")
        shop.add_book(PERSUASION, "Persuasion", 1, date(1817, 12, 20), author="Jane Austen")

    def test_books_are_found_by_their_author(self):
        self.assertEqual(["Emma", "Persuasion"], shop.titles_by("Jane Austen"))
        self.assertEqual([], shop.titles_by("Mary Shelley"))

    def test_an_order_takes_books_out_of_the_stock(self):
        shop.place_order("first", ANN, {EMMA: 1, PERSUASION: 1})
        self.assertEqual({EMMA: 1, PERSUASION: 0}, shop.stocks())
        self.assertEqual([("first", ANN, EMMA, 1), ("first", ANN, PERSUASION, 1)], shop.orders())

    def test_an_order_is_confirmed_when_others_can_see_it(self):
        seen = []
        with db.writer():
            shop.place_order("first", ANN, {EMMA: 1}, lambda reference: seen.append((reference, shop.orders())))
            self.assertEqual([], seen)
        self.assertEqual([("first", [("first", ANN, EMMA, 1)])], seen)

    def test_an_order_that_cannot_be_met_leaves_nothing(self):
        confirmed = []
        too_many = {EMMA: 1, PERSUASION: 2}
        self.assertRaises(OutOfStock, shop.place_order, "first", ANN, too_many, confirmed.append)
        self.assertEqual({EMMA: 2, PERSUASION: 1}, shop.stocks())
        self.assertEqual(([], [], []), (shop.customers(), shop.orders(), confirmed))

    def test_an_order_is_stored_once(self):
        shop.place_order("first", ANN, {EMMA: 1})
        self.assertRaises(AlreadyOrdered, shop.place_order, "first", ANN, {EMMA: 1})
        self.assertEqual({EMMA: 1, PERSUASION: 1}, shop.stocks())
        self.assertEqual([("first", ANN, EMMA, 1)], shop.orders())

    def test_a_customer_is_entered_once(self):
        for reference in ("first", "second"):
            shop.place_order(reference, ANN, {EMMA: 1})
        self.assertEqual([ANN], shop.customers())
        self.assertEqual([("first", ANN, EMMA, 1), ("second", ANN, EMMA, 1)], shop.orders())

    def test_an_incomplete_set_goes_back_on_the_shelf(self):
        self.assertEqual(1, shop.place_order_of_sets("first", ANN, [{EMMA: 1, PERSUASION: 2}, {PERSUASION: 1}]))
        self.assertEqual({EMMA: 2, PERSUASION: 0}, shop.stocks())
        self.assertEqual([("first", ANN, PERSUASION, 1)], shop.orders())

    def test_a_book_that_is_ordered_stays_listed(self):
        shop.place_order("first", ANN, {EMMA: 1})
        self.assertRaises(StillOrdered, shop.withdraw, EMMA)
        shop.withdraw(PERSUASION)
        self.assertEqual({EMMA: 1}, shop.stocks())

    def test_what_is_called_off_can_be_ordered_again(self):
        with self.assertRaises(KeyboardInterrupt), db.writer():
            shop.place_order("first", ANN, {EMMA: 2})
            raise KeyboardInterrupt
        self.assertEqual(([], []), (shop.customers(), shop.orders()))
        shop.place_order("first", BOB, {EMMA: 2})
        self.assertEqual([("first", BOB, EMMA, 2)], shop.orders())

    @isolated_by("clone")  # threads at the same time need transactions at the same time
    def test_of_two_customers_one_gets_the_last_copy(self):
        def buy(email):
            try:
                shop.place_order(email, email, {PERSUASION: 1})
            except OutOfStock:
                return "too late"
            return "bought"

        with ThreadPoolExecutor() as pool:
            self.assertEqual(["bought", "too late"], sorted(pool.map(buy, [ANN, BOB])))
        self.assertEqual({EMMA: 2, PERSUASION: 0}, shop.stocks())
        self.assertEqual((1, 1), (len(shop.orders()), len(shop.customers())))
