"""The shop in asyncio. The keys are those of the blocking tests, so that rows which one colour leaves are seen."""

from __future__ import annotations

import asyncio
from datetime import date

import pytest
import pytest_asyncio

from bookshop import shop_async
from bookshop.database import db
from bookshop.models import Book
from bookshop.rules import AlreadyListed, AlreadyOrdered, OutOfStock, StillOrdered

EMMA, PERSUASION = "9780141439587", "9780141439686"
ANN, BOB = "ann@example.org", "bob@example.org"
PUBLISHED = date(1815, 12, 23)

pytestmark = [pytest.mark.asyncio, pytest.mark.dbkit]


@pytest_asyncio.fixture
async def books():
    await shop_async.add_book(EMMA, "Emma", 2, PUBLISHED, author="Jane Austen")
    await shop_async.add_book(PERSUASION, "Persuasion", 1, date(1817, 12, 20), author="Jane Austen")


async def test_a_book_is_listed_once(books):
    with pytest.raises(AlreadyListed):
        await shop_async.add_book(EMMA, "Emma, again", 7, PUBLISHED)
    assert await shop_async.stocks() == {EMMA: 2, PERSUASION: 1}


async def test_what_a_session_of_the_test_stores_is_in_the_catalogue(async_session):
    async_session.add(Book(isbn=EMMA, title="Emma", stock=2, published=PUBLISHED, details={"author": "Jane Austen"}))
    await async_session.commit()
    assert await shop_async.titles_by("Jane Austen") == ["Emma"]
    assert await shop_async.stocks() == {EMMA: 2}


async def test_an_order_is_confirmed_when_others_can_see_it(books):
    seen = []

    async def confirm(reference):
        seen.append((reference, await shop_async.orders()))

    async with db.writer():
        await shop_async.place_order("first", ANN, {EMMA: 1}, confirm)
        assert seen == []
    assert seen == [("first", [("first", ANN, EMMA, 1)])]


async def test_an_order_that_cannot_be_met_leaves_nothing(books):
    with pytest.raises(OutOfStock):
        await shop_async.place_order("first", ANN, {EMMA: 1, PERSUASION: 2})
    assert await shop_async.stocks() == {EMMA: 2, PERSUASION: 1}
    assert (await shop_async.customers(), await shop_async.orders()) == ([], [])


async def test_an_order_is_stored_once(books):
    await shop_async.place_order("first", ANN, {EMMA: 1})
    with pytest.raises(AlreadyOrdered):
        await shop_async.place_order("first", ANN, {EMMA: 1})
    assert await shop_async.stocks() == {EMMA: 1, PERSUASION: 1}
    assert await shop_async.orders() == [("first", ANN, EMMA, 1)]


async def test_an_incomplete_set_goes_back_on_the_shelf(books):
    assert await shop_async.place_order_of_sets("first", ANN, [{EMMA: 1, PERSUASION: 2}, {PERSUASION: 1}]) == 1
    assert await shop_async.stocks() == {EMMA: 2, PERSUASION: 0}
    assert await shop_async.orders() == [("first", ANN, PERSUASION, 1)]


async def test_a_book_that_is_ordered_stays_listed(books):
    await shop_async.place_order("first", ANN, {EMMA: 1})
    with pytest.raises(StillOrdered):
        await shop_async.withdraw(EMMA)
    await shop_async.withdraw(PERSUASION)
    assert await shop_async.stocks() == {EMMA: 1}


@pytest.mark.dbkit(isolation="clone")  # tasks at the same time need transactions at the same time
async def test_of_two_customers_one_gets_the_last_copy(books):
    async def buy(email):
        try:
            await shop_async.place_order(email, email, {PERSUASION: 1})
        except OutOfStock:
            return "too late"
        return "bought"

    assert sorted(await asyncio.gather(buy(ANN), buy(BOB))) == ["bought", "too late"]
    assert await shop_async.stocks() == {EMMA: 2, PERSUASION: 0}
    assert len(await shop_async.orders()) == len(await shop_async.customers()) == 1
