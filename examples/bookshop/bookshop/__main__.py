"""A day in the shop: ``python -m bookshop``.

The database is in memory. ``DATABASE_URL``, or ``[database] connection`` in a file that ``--config-file`` names, leads
to another one.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import date

from oslo_config import cfg

from bookshop import shop, shop_async
from bookshop.database import db
from bookshop.rules import ShopError

EMMA, PERSUASION = "9780141439587", "9780141439686"


def confirm(reference: str) -> None:
    """Tell the customer."""
    print(f"  order {reference} is confirmed")


def morning() -> None:
    """Fill the catalogue and sell, in blocking code."""
    shop.create_tables()
    for isbn, title, stock, published in (
        (EMMA, "Emma", 3, date(1815, 12, 23)),
        (PERSUASION, "Persuasion", 1, date(1817, 12, 20)),
    ):
        try:
            shop.add_book(isbn, title, stock, published, author="Jane Austen")
        except ShopError as error:
            print(f"  not listed: {error}")
    print(f"By Jane Austen: {', '.join(shop.titles_by('Jane Austen'))}")
    for reference, books in (("ann-1", {EMMA: 1, PERSUASION: 1}), ("bob-1", {EMMA: 1, PERSUASION: 1})):
        try:
            shop.place_order(reference, f"{reference[:3]}@example.org", books, confirm)
        except ShopError as error:
            print(f"  order {reference} is refused, and nothing of it is stored: {error}")
    print(f"At noon: {shop.stocks()}")


async def afternoon() -> None:
    """Go on in asyncio, on the same database."""
    try:
        sets = [{EMMA: 1, PERSUASION: 1}, {EMMA: 1}]
        count = await shop_async.place_order_of_sets("bob-2", "bob@example.org", sets)
        print(f"  order bob-2: {count} of {len(sets)} sets are complete")
    except ShopError as error:
        print(f"  order bob-2 is refused: {error}")
    try:
        await shop_async.withdraw(EMMA)
    except ShopError as error:
        print(f"  not withdrawn: {error}")
    print(f"In the evening: {await shop_async.stocks()}")
    for reference, email, isbn, quantity in await shop_async.orders():
        print(f"  {reference}: {quantity} x {isbn} for {email}")
    await db.adispose()


def main(arguments: Sequence[str]) -> None:
    """Read the configuration, then open the shop."""
    cfg.CONF(arguments, project="bookshop")
    morning()
    asyncio.run(afternoon())
    db.dispose()


if __name__ == "__main__":
    main(sys.argv[1:])
