"""What the shop does, for blocking code.

Each function is a block. Called by itself it is a transaction, which commits when it returns and rolls back when it
raises. Called from another one it takes part in that one's transaction: so small functions make up larger ones.
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
def create_tables() -> None:
    """Make the tables that are not there; a shop that lives longer runs migrations in place of this."""
    Base.metadata.create_all(db.session.connection())


# -- what readers see ------------------------------------------------------------------------------------------------


@db.reader
def stocks() -> dict[str, int]:
    """Return how many copies there are of each book."""
    return dict(db.session.execute(statements.stocks()).all())


@db.reader
def titles_by(author: str) -> list[str]:
    """Return the titles of an author, the oldest first."""
    return list(db.session.scalars(statements.titles_by(author)))


@db.reader
def customers() -> list[str]:
    """Return the addresses of those who have ordered."""
    return list(db.session.scalars(statements.emails()))


@db.reader
def orders() -> list[tuple[str, str, str, int]]:
    """Return reference, customer, book and number of copies of all that was ordered."""
    return [(*row,) for row in db.session.execute(statements.orders())]


# -- the catalogue ---------------------------------------------------------------------------------------------------


@db.writer.savepoint
def insert(row: Base) -> None:
    """Store a row behind a savepoint: if the database refuses it, the transaction around can go on.

    :raises DBDuplicateEntry: there is one of the same key. No need to look first: the database knows best.
    """
    db.session.add(row)


@db.writer
def add_book(isbn: str, title: str, stock: int, published: date, **details: Any) -> None:
    """List a book.

    :raises AlreadyListed: it is in the catalogue.
    """
    try:
        insert(Book(isbn=isbn, title=title, stock=stock, published=published, details=details))
    except DBDuplicateEntry as error:
        raise rules.AlreadyListed(f"{isbn} is in the catalogue") from error


@db.writer
def withdraw(isbn: str) -> None:
    """Take a book out of the catalogue.

    :raises StillOrdered: somebody has ordered it.
    """
    try:
        db.session.execute(statements.removal(isbn))
    except DBReferenceError as error:
        raise rules.StillOrdered(f"{isbn} belongs to an order") from error


# -- what orders are made of -----------------------------------------------------------------------------------------


@db.writer
def customer_id(email: str) -> int:
    """Return the number of a customer, who is entered if new."""
    try:
        insert(Customer(email=email))
    except DBDuplicateEntry:
        pass  # a known customer; only the savepoint is rolled back
    return db.session.scalars(statements.customer_id(email)).one()


@db.writer
def start_order(reference: str, email: str) -> Order:
    """Return a new order without lines.

    :raises AlreadyOrdered: there is one of this reference.
    """
    order = Order(reference=reference, customer_id=customer_id(email))
    try:
        insert(order)
    except DBDuplicateEntry as error:
        raise rules.AlreadyOrdered(f"the order {reference} is there already") from error
    return order


@db.writer
def add_books(order: Order, books: Mapping[str, int]) -> None:
    """Add so many copies of each book to an order.

    :raises OutOfStock: of one of them there are not as many.
    """
    for isbn, quantity in sorted(books.items()):  # all orders lock the books in one order: no deadlocks
        rules.sold(db.session.execute(statements.take(isbn, quantity)), isbn)
        db.session.add(OrderLine(order_id=order.id, isbn=isbn, quantity=quantity))


@db.writer.savepoint
def add_set(order: Order, books: Mapping[str, int]) -> None:
    """Do as :func:`add_books`, behind a savepoint: if a book is missing, the others of the set go back on the shelf."""
    add_books(order, books)


# -- orders ----------------------------------------------------------------------------------------------------------


@db.writer
def place_order(
    reference: str, email: str, books: Mapping[str, int], confirm: Callable[[str], object] | None = None
) -> None:
    """Order all of the books, or nothing.

    :param confirm: called with the reference when the order is stored for good; never if it is not.
    :raises AlreadyOrdered: there is an order of this reference.
    :raises OutOfStock: there are not as many copies.
    """
    add_books(start_order(reference, email), books)
    if confirm is not None:
        db.after_commit(partial(confirm, reference))


@db.writer
def place_order_of_sets(reference: str, email: str, sets: Sequence[Mapping[str, int]]) -> int:
    """Order those sets of books of which every book is there; return how many those are.

    :raises AlreadyOrdered: there is an order of this reference.
    :raises OutOfStock: there is none.
    """
    order, added = start_order(reference, email), 0
    for books in sets:
        try:
            add_set(order, books)
        except rules.OutOfStock:
            continue
        added += 1
    if not added:
        raise rules.OutOfStock("none of the sets is complete")
    return added
