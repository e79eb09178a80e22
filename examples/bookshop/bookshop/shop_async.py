"""What the shop does, for asyncio: the same blocks as in :mod:`bookshop.shop`, as coroutine functions.

Only what reaches the database is awaited; the comments there are true here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any

from bookshop import rules, statements
from bookshop.database import db
from bookshop.models import Base, Book, Customer, Order, OrderLine
from dbkit.exceptions import DBDuplicateEntry, DBReferenceError


@db.writer
async def create_tables() -> None:
    """Make the tables that are not there."""
    await db.async_session.run_sync(lambda session: Base.metadata.create_all(session.connection()))


# -- what readers see ------------------------------------------------------------------------------------------------


@db.reader
async def stocks() -> dict[str, int]:
    """Return how many copies there are of each book."""
    return dict((await db.async_session.execute(statements.stocks())).all())


@db.reader
async def titles_by(author: str) -> list[str]:
    """Return the titles of an author, the oldest first."""
    return list(await db.async_session.scalars(statements.titles_by(author)))


@db.reader
async def customers() -> list[str]:
    """Return the addresses of those who have ordered."""
    return list(await db.async_session.scalars(statements.emails()))


@db.reader
async def orders() -> list[tuple[str, str, str, int]]:
    """Return reference, customer, book and number of copies of all that was ordered."""
    return [(*row,) for row in await db.async_session.execute(statements.orders())]


# -- the catalogue ---------------------------------------------------------------------------------------------------


@db.writer.savepoint
async def insert(row: Base) -> None:
    """Store a row behind a savepoint.

    :raises DBDuplicateEntry: there is one of the same key.
    """
    db.async_session.add(row)


@db.writer
async def add_book(isbn: str, title: str, stock: int, published: date, **details: Any) -> None:
    """List a book.

    :raises AlreadyListed: it is in the catalogue.
    """
    try:
        await insert(Book(isbn=isbn, title=title, stock=stock, published=published, details=details))
    except DBDuplicateEntry as error:
        raise rules.AlreadyListed(f"{isbn} is in the catalogue") from error


@db.writer
async def withdraw(isbn: str) -> None:
    """Take a book out of the catalogue.

    :raises StillOrdered: somebody has ordered it.
    """
    try:
        await db.async_session.execute(statements.removal(isbn))
    except DBReferenceError as error:
        raise rules.StillOrdered(f"{isbn} belongs to an order") from error


# -- what orders are made of -----------------------------------------------------------------------------------------


@db.writer
async def customer_id(email: str) -> int:
    """Return the number of a customer, who is entered if new."""
    try:
        await insert(Customer(email=email))
    except DBDuplicateEntry:
        pass
    return (await db.async_session.scalars(statements.customer_id(email))).one()


@db.writer
async def start_order(reference: str, email: str) -> Order:
    """Return a new order without lines.

    :raises AlreadyOrdered: there is one of this reference.
    """
    order = Order(reference=reference, customer_id=await customer_id(email))
    try:
        await insert(order)
    except DBDuplicateEntry as error:
        raise rules.AlreadyOrdered(f"the order {reference} is there already") from error
    return order


@db.writer
async def add_books(order: Order, books: Mapping[str, int]) -> None:
    """Add so many copies of each book to an order.

    :raises OutOfStock: of one of them there are not as many.
    """
    for isbn, quantity in sorted(books.items()):
        rules.sold(await db.async_session.execute(statements.take(isbn, quantity)), isbn)
        db.async_session.add(OrderLine(order_id=order.id, isbn=isbn, quantity=quantity))


@db.writer.savepoint
async def add_set(order: Order, books: Mapping[str, int]) -> None:
    """Do as :func:`add_books`, behind a savepoint."""
    await add_books(order, books)


# -- orders ----------------------------------------------------------------------------------------------------------


@db.writer
async def place_order(
    reference: str, email: str, books: Mapping[str, int], confirm: Callable[[str], object] | None = None
) -> None:
    """Order all of the books, or nothing.

    :param confirm: called with the reference when the order is stored for good; it may be a coroutine function.
    :raises AlreadyOrdered: there is an order of this reference.
    :raises OutOfStock: there are not as many copies.
    """
    await add_books(await start_order(reference, email), books)
    if confirm is not None:
        db.after_commit(partial(confirm, reference))


@db.writer
async def place_order_of_sets(reference: str, email: str, sets: Sequence[Mapping[str, int]]) -> int:
    """Order those sets of books of which every book is there; return how many those are.

    :raises AlreadyOrdered: there is an order of this reference.
    :raises OutOfStock: there is none.
    """
    order, added = await start_order(reference, email), 0
    for books in sets:
        try:
            await add_set(order, books)
        except rules.OutOfStock:
            continue
        added += 1
    if not added:
        raise rules.OutOfStock("none of the sets is complete")
    return added
