"""The blocking shop. All tests store rows of the same keys, and none may find those of another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest

from bookshop import shop
from bookshop.database import db
from bookshop.models import Book
from bookshop.rules import AlreadyListed, AlreadyOrdered, OutOfStock, StillOrdered

EMMA, PERSUASION = "9780141439587", "9780141439686"
ANN, BOB = "ann@example.org", "bob@example.org"
PUBLISHED = date(1815, 12, 23)

pytestmark = pytest.mark.dbkit


@pytest.fixture
def books():
    shop.add_book(EMMA, "Emma", 2, PUBLISHED, author="Jane Austen")
    shop.add_book(PERSUASION, "Persuasion", 1, date(1817, 12, 20), author="Jane Austen")


def test_a_book_is_listed():
    shop.add_book(EMMA, "Emma", 2, PUBLISHED)
    assert shop.stocks() == {EMMA: 2}


def test_a_book_is_listed_once(books):
    with pytest.raises(AlreadyListed):
        shop.add_book(EMMA, "Emma, again", 7, PUBLISHED)
    assert shop.stocks() == {EMMA: 2, PERSUASION: 1}


def test_books_are_found_by_their_author(books):
    assert shop.titles_by("Jane Austen") == ["Emma", "Persuasion"]
    assert shop.titles_by("Mary Shelley") == []


def test_what_a_session_of_the_test_stores_is_in_the_catalogue(session):
    session.add(Book(isbn=EMMA, title="Emma", stock=2, published=PUBLISHED, details={"author": "Jane Austen"}))
    session.commit()
    assert shop.titles_by("Jane Austen") == ["Emma"]
    assert shop.stocks() == {EMMA: 2}


def test_an_order_takes_books_out_of_the_stock(books):
    shop.place_order("first", ANN, {EMMA: 1, PERSUASION: 1})
    assert shop.stocks() == {EMMA: 1, PERSUASION: 0}
    assert shop.orders() == [("first", ANN, EMMA, 1), ("first", ANN, PERSUASION, 1)]


def test_an_order_is_confirmed_when_others_can_see_it(books):
    seen = []
    with db.writer():
        shop.place_order("first", ANN, {EMMA: 1}, lambda reference: seen.append((reference, shop.orders())))
        assert seen == []
    assert seen == [("first", [("first", ANN, EMMA, 1)])]


def test_an_order_that_cannot_be_met_leaves_nothing(books):
    confirmed = []
    with pytest.raises(OutOfStock):
        shop.place_order("first", ANN, {EMMA: 1, PERSUASION: 2}, confirmed.append)
    assert (shop.stocks(), shop.customers(), shop.orders()) == ({EMMA: 2, PERSUASION: 1}, [], [])
    assert confirmed == []


def test_an_order_is_stored_once(books):
    shop.place_order("first", ANN, {EMMA: 1})
    with pytest.raises(AlreadyOrdered):
        shop.place_order("first", ANN, {EMMA: 1})
    assert shop.stocks() == {EMMA: 1, PERSUASION: 1}
    assert shop.orders() == [("first", ANN, EMMA, 1)]


def test_a_customer_is_entered_once(books):
    for reference in ("first", "second"):
        shop.place_order(reference, ANN, {EMMA: 1})
    assert shop.customers() == [ANN]
    assert shop.orders() == [("first", ANN, EMMA, 1), ("second", ANN, EMMA, 1)]


def test_an_incomplete_set_goes_back_on_the_shelf(books):
    assert shop.place_order_of_sets("first", ANN, [{EMMA: 1, PERSUASION: 2}, {PERSUASION: 1}]) == 1
    assert shop.stocks() == {EMMA: 2, PERSUASION: 0}
    assert shop.orders() == [("first", ANN, PERSUASION, 1)]


def test_a_book_that_is_ordered_stays_listed(books):
    shop.place_order("first", ANN, {EMMA: 1})
    with pytest.raises(StillOrdered):
        shop.withdraw(EMMA)
    shop.withdraw(PERSUASION)
    assert shop.stocks() == {EMMA: 1}


def test_what_is_called_off_can_be_ordered_again(books):
    with pytest.raises(KeyboardInterrupt), db.writer():
        shop.place_order("first", ANN, {EMMA: 2})
        raise KeyboardInterrupt
    assert (shop.customers(), shop.orders()) == ([], [])
    shop.place_order("first", BOB, {EMMA: 2})
    assert shop.orders() == [("first", BOB, EMMA, 2)]


@pytest.mark.dbkit(isolation="clone")  # threads at the same time need transactions at the same time
def test_of_two_customers_one_gets_the_last_copy(books):
    def buy(email):
        try:
            shop.place_order(email, email, {PERSUASION: 1})
        except OutOfStock:
            return "too late"
        return "bought"

    with ThreadPoolExecutor() as pool:
        assert sorted(pool.map(buy, [ANN, BOB])) == ["bought", "too late"]
    assert shop.stocks() == {EMMA: 2, PERSUASION: 0}
    assert len(shop.orders()) == len(shop.customers()) == 1
