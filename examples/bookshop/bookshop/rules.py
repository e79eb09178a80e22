"""The shop's own errors, and what is decided without the database: the same in both colours."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import CursorResult, Result


class ShopError(Exception):
    """Something that the shop does not do. What the block around it has stored is rolled back."""


class AlreadyListed(ShopError):
    """The catalogue has the book already."""


class AlreadyOrdered(ShopError):
    """There is an order of this reference already."""


class OutOfStock(ShopError):
    """There are fewer copies than somebody wants, or the book is not in the catalogue."""


class StillOrdered(ShopError):
    """The book belongs to an order."""


def sold(taken: Result[*tuple[Any, ...]], isbn: str) -> None:
    """Refuse what the stock could not give.

    :param taken: the result of the UPDATE. It has a row count, which SQLAlchemy's types do not say.
    :raises OutOfStock: no row was changed.
    """
    if not cast("CursorResult[*tuple[Any, ...]]", taken).rowcount:
        raise OutOfStock(f"there are not as many copies of {isbn} as you want")
