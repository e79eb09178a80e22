"""Pages by up to three keys, in each combination of directions and of places for NULL: each must be all rows, in order.

27 rows have each combination of NULL, 1 and 2. Pages are read forward from the first and back from the last, in sizes
from one row to more than there are; beside them ``paginate_query``, dbkit's and oslo.db's, forward by their markers.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import logging
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import registry

import dbkit
from dbkit.queries import Pages, paginate_query
from dbkit.spec import Colour
from dbkit.testing import servers
from dbkit.tests.behaviours.colours import AsyncioColour, BlockingColour
from dbkit.tests.behaviours.combinations import Combination, Product
from dbkit.tests.behaviours.faces import DatabaseFace
from dbkit.tests.behaviours.paged import KEY, METADATA, ROWS, WAYS, expected, filled, term
from dbkit.tests.soak.figures import Figures
from dbkit.tests.soak.ground import Ground, kind_of

ALL = tuple(ways for count in (1, 2, 3) for ways in itertools.product(WAYS, repeat=count))

_OBSERVERS = {"postgresql": "psycopg", "mysql": "pymysql"}
_NAMES = {None: "", True: "-nullsfirst", False: "-nullslast"}
_MARKED_SIZE = 5

Ways = tuple[Any, ...]


class Paged:
    """A mapped class over the rows."""


registry().map_imperatively(Paged, ROWS)


def run(combination: Combination, *, size: int, seed: int = 1) -> Figures:
    """Page through combinations, and return how many are not as they should be.

    :param size: how many combinations, chosen by the seed; no more than there are.
    """
    figures = Figures("pagination", combination.name, seed)
    chosen = random.Random(seed).sample(ALL, min(size, len(ALL)))
    is_asyncio = combination.colour is Colour.ASYNCIO
    colour = AsyncioColour() if is_asyncio else BlockingColour()
    wrong: dict[str, list[Ways]] = {"Pages": [], "paginate_query": []}
    functions = {"paginate_query": paginate_query}
    if importlib.util.find_spec("oslo_db") is not None:
        from oslo_db.sqlalchemy.utils import paginate_query as original  # type: ignore[import-untyped]

        wrong["oslo.db"], functions["oslo.db"] = [], original
        logging.getLogger("oslo_db").setLevel(logging.ERROR)
    with contextlib.ExitStack() as stack:
        if isinstance(colour, AsyncioColour):
            stack.callback(colour.runner.close)
        url, observed = _place(stack, combination)
        with Ground.plain_engine(observed).connect() as connection:
            METADATA.create_all(connection)
            rows = filled(connection)
        database = stack.enter_context(_database(url, colour))
        face = DatabaseFace(database, colour)
        smallest = combination.product is not Product.POSTGRESQL

        async def paging() -> None:
            async with face.reader() as session:
                for number, ways in enumerate(chosen):
                    wanted = expected(rows, ways, smallest)
                    if not await _are_right(session, ways, number, wanted, is_asyncio):
                        wrong["Pages"].append(ways)
                    for name, function in functions.items():
                        if await _marked(session, function, ways, len(wanted)) != wanted:
                            wrong[name].append(ways)

        colour.run(paging())
    figures.end()
    figures.report("combinations", len(chosen))
    figures.expect("Pages wrong", 0, len(wrong["Pages"]))
    figures.expect("paginate_query wrong", 0, len(wrong["paginate_query"]))
    figures.damage += [f"{name}: {ways}" for name in ("Pages", "paginate_query") for ways in wrong[name][:5]]
    if "oslo.db" in wrong:  # the control: what is never found wrong was not looked at
        figures.report("oslo.db wrong", len(wrong["oslo.db"]))
        figures.expect("oslo.db is told apart", True, bool(wrong["oslo.db"]))
    return figures


def sizes(number: int, rows: int) -> list[int]:
    """Return the sizes of the pages of a combination: one row, five, and in turn each up to one more than all."""
    return sorted({1, 5, 1 + number % (rows + 1)})


async def _are_right(session: Any, ways: Ways, number: int, wanted: list[int], is_asyncio: bool) -> bool:
    keys = [term(name, *way) for name, way in zip("abc", ways, strict=False)]
    pages: Pages[int] = Pages(sa.select(ROWS.c.id), sort_by=keys, key=KEY)
    for size in sizes(number, len(wanted)):
        if await _walked(session, pages, size, is_asyncio, len(wanted)) != (wanted, wanted, wanted):
            return False
    return True


async def _walked(session: Any, pages: Pages[int], size: int, is_asyncio: bool, count: int) -> tuple[list[int], ...]:
    """Return what is read forward, back from the last page, and back from where reading forward has ended."""

    async def page(cursor: str | None = None) -> Any:
        if is_asyncio:
            return await pages.apage(session, cursor, size=size)
        return pages.page(session.target, cursor, size=size)

    async def back(found: Any) -> list[int]:
        items = list(found.items)
        while found.has_previous and len(items) <= count:
            found = await page(found.previous)
            items = [*found.items, *items]
        return items

    found = await page()
    forward = list(found.items)
    while found.has_next and len(forward) <= count:
        found = await page(found.next)
        forward += found.items
    last = await pages.alast(session, size=size) if is_asyncio else pages.last(session.target, size=size)
    return forward, await back(last), await back(found)


async def _marked(session: Any, function: Callable[..., Any], ways: Ways, count: int) -> list[int]:
    keys, seen, marker = [*"abc"[: len(ways)], "id"], list[int](), None
    last = "desc" if ways[-1][0] else "asc"
    dirs = [("desc" if descending else "asc") + _NAMES[first] for descending, first in ways] + [last]
    while len(seen) <= count:
        asked = function(sa.select(Paged), Paged, _MARKED_SIZE, keys, marker=marker, sort_dirs=dirs)
        found = (await session.scalars(asked)).all()
        if not found:
            break
        seen += [each.id for each in found]
        marker = found[-1]
    return seen


def _place(stack: contextlib.ExitStack, combination: Combination) -> tuple[sa.URL, sa.URL]:
    """Return the URL of the program's database, and that of one who looks from outside."""
    if combination.product is Product.SQLITE_FILE:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="dbkit-pages-"))
        file = str(Path(folder) / "pages.db")
        return sa.URL.create(f"sqlite+{combination.driver}", database=file), sa.URL.create("sqlite", database=file)
    kind = kind_of(combination)
    server = servers.require_or_skip(kind)
    name = server.create_database()
    return server.url(combination.driver, name, combination.scheme), server.url(_OBSERVERS[kind], name)


@contextlib.contextmanager
def _database(url: sa.URL, colour: AsyncioColour | BlockingColour) -> Iterator[dbkit.Database]:
    database = dbkit.Database(url, sqlite_synchronous=False)
    try:
        yield database
    finally:
        colour.run(_dispose(database, colour))


async def _dispose(database: dbkit.Database, colour: AsyncioColour | BlockingColour) -> None:
    if isinstance(colour, AsyncioColour):
        await database.adispose()
    else:
        database.dispose()
