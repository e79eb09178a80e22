"""The shop's tables."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """What all tables of the shop have in common."""


class Book(Base):
    """A title in the catalogue, and how many copies of it there are."""

    __tablename__ = "books"
    __table_args__ = (CheckConstraint("stock >= 0", name="books_stock_not_negative"),)

    isbn: Mapped[str] = mapped_column(String(13), primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    stock: Mapped[int]
    published: Mapped[date]
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


class Customer(Base):
    """Somebody who has ordered."""

    __tablename__ = "customers"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(200), unique=True)


class Order(Base):
    """An order; the customer has chosen the reference, so that the same order sent twice is found out."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(String(40), unique=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey(Customer.id), index=True)


class OrderLine(Base):
    """How many copies of a book belong to an order."""

    __tablename__ = "order_lines"

    order_id: Mapped[int] = mapped_column(ForeignKey(Order.id), primary_key=True)
    isbn: Mapped[str] = mapped_column(ForeignKey(Book.isbn), primary_key=True)
    quantity: Mapped[int]
