"""Connections between blocks: given back clean, let go when they cannot be, and none left behind."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import select, text

from dbkit.backends.base import Standing
from dbkit.exceptions import DBError, PoolTimeout
from dbkit.spec import Colour
from dbkit.testing.servers.polling import wait_until
from dbkit.testing.suite.capabilities import Capability
from dbkit.testing.suite.case import WayCase, insert_item, needs
from dbkit.testing.suite.tables import ITEMS

_PATIENCE_S = 5.0


@contextmanager
def _quiet_collection() -> Iterator[None]:
    """Collect, at the end, what a closed event loop has left, without the complaints that drivers then make."""
    hook = sys.unraisablehook
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        sys.unraisablehook = lambda _unraisable: None
        try:
            yield
            gc.collect()
        finally:
            sys.unraisablehook = hook


class Connections(WayCase):
    """The pools, ``before_close`` and ``abandon``."""

    async def test_connections_come_back_clean_however_a_block_ends(self) -> None:
        made = self.database(max_pool_size=1, max_overflow=0, pool_timeout=1)
        self.store(1)
        for number in range(12):
            opener = made.writer if number % 2 else made.reader
            with self.assertRaises((DBError, KeyError)):
                async with self.open(opener) as session:
                    await session.execute(select(ITEMS.c.id))
                    if number % 4 == 1:
                        await session.execute(insert_item(1))
                    elif number % 3 == 0:
                        await session.execute(text("SELEKT 1"))
                    raise KeyError(number)
        self.db = made
        await self.add(2)
        for writes in (True, False):
            found = await self.at_driver(self.standing, writes=writes)
            self.assertIn(found, (Standing.NONE, Standing.NOT_KNOWN))
        self.assertEqual([1, 2], self.stored())

    @needs(Capability.INDEPENDENT_WRITERS)
    async def test_the_limit_of_connections_is_kept(self) -> None:
        made = self.database(max_pool_size=1, max_overflow=0, pool_timeout=0)
        async with self.open(made.writer) as session:
            await session.execute(text("SELECT 1"))
            with self.assertRaises(PoolTimeout):
                async with self.open(made.reader.independent) as other:
                    await other.execute(text("SELECT 1"))

    async def test_blocks_after_dispose_have_new_connections(self) -> None:
        made = self.database()
        for number in (1, 2):
            async with self.open(made.writer) as session:
                await session.execute(insert_item(number))
            await self.disposed(made)
        self.assertEqual([1, 2], self.stored())

    async def test_a_connection_that_is_dropped_in_its_work_keeps_no_lock(self) -> None:
        self.store(1, 2)
        kept: list[Any] = []

        def read_half(plain: Any) -> None:
            connection = plain.connection()
            cursor = connection.connection.cursor()
            if not self.backend.one_connection(self.url):
                kept.append(cursor)  # somebody keeps it, if only in a traceback
            cursor.execute("SELECT id FROM dbkit_items")
            cursor.fetchone()
            connection.invalidate()

        with self.assertRaises(DBError):
            async with self.open(self.db.writer) as session:
                await session.execute(ITEMS.update().values(amount=1))
                await session.run_sync(read_half)
        with self.ground.rival() as rival:
            rival.execute(ITEMS.update().values(amount=2))
            rival.commit()
        self.assertEqual([2, 2], self.ground.ask("SELECT amount FROM dbkit_items"))
        kept.clear()

    def test_an_event_loop_that_is_closed_leaves_nothing_behind(self) -> None:
        if self.way.colour is not Colour.ASYNCIO:
            self.skipTest("blocking connections belong to no event loop")
        made = self.ground.open(self.url)
        before = threading.active_count()

        async def use() -> None:
            async with made.writer() as session:
                await session.execute(text("SELECT 1"))

        async def use_and_close() -> None:
            await use()
            await made.adispose()

        with _quiet_collection():
            for _ in range(3):
                asyncio.run(use())
            asyncio.run(use_and_close())
        wait_until(lambda: threading.active_count() <= before, _PATIENCE_S, "the end of the drivers' threads")
