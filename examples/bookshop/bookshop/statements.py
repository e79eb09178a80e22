"""The shop's SQL. A statement is built once, by a pure function, and executed in either colour."""

from __future__ import annotations

from sqlalchemy import Delete, Select, Update, delete, select, update

from bookshop.models import Book, Customer, Order, OrderLine


def stocks() -> Select[str, int]:
    """Each book's ISBN, and how many copies there are."""
    return select(Book.isbn, Book.stock).order_by(Book.isbn)


def titles_by(author: str) -> Select[str]:
    """The titles of an author, the oldest first."""
    return select(Book.title).where(Book.details["author"].as_string() == author).order_by(Book.published)


def emails() -> Select[str]:
    """Who has ordered."""
    return select(Customer.email).order_by(Customer.email)


def orders() -> Select[str, str, str, int]:
    """Each line of each order: the order's reference, the customer, the book, how many copies."""
    return (
        select(Order.reference, Customer.email, OrderLine.isbn, OrderLine.quantity)
        .join(Customer, Customer.id == Order.customer_id)
        .join(OrderLine, OrderLine.order_id == Order.id)
        .order_by(Order.reference, OrderLine.isbn)
    )


def customer_id(email: str) -> Select[int]:
    """The number of a customer."""
    return select(Customer.id).where(Customer.email == email)


def take(isbn: str, quantity: int) -> Update:
    """Take copies out of the stock, if they are there.

    Compared and changed in one statement: of two customers who want the last copy at the same moment, one gets it. Its
    row count says whether they were there.
    """
    return (
        update(Book)
        .where(Book.isbn == isbn, Book.stock >= quantity)
        .values(stock=Book.stock - quantity)
        .execution_options(synchronize_session=False)
    )


def removal(isbn: str) -> Delete:
    """Take a book out of the catalogue."""
    return delete(Book).where(Book.isbn == isbn)
