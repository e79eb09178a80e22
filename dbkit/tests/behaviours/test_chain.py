"""Blocks that are left in another context than they were entered in, as generator fixtures do: nothing piles up."""

from __future__ import annotations

import asyncio
import contextvars

from sqlalchemy import select

from dbkit.ambient import CURRENT
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.colours import run_now
from dbkit.tests.behaviours.combinations import BOTH_FACES
from dbkit.tests.behaviours.tables import Item


def _length(frame):
    count = 0
    while frame is not None:
        count, frame = count + 1, frame.outer
    return count


@behaviours(BOTH_FACES)
class TestBlocksLeftElsewhere(Behaviour):
    """A web framework may run the two halves of a generator dependency in two copies of a request's context."""

    def setUp(self):
        super().setUp()
        self.here = contextvars.copy_context()

    async def within(self, context, coroutine):
        """Await a coroutine in a context: as a task of its own in asyncio."""
        if self.is_asyncio:
            return await asyncio.create_task(coroutine, context=context)
        return context.run(run_now, coroutine)

    async def leave_elsewhere(self, opener, work=None):
        """Enter a block here, and leave it in another context."""
        block = opener()
        session = await self.within(self.here, block.__aenter__())
        if work is not None:
            await work(session)
        await self.within(contextvars.copy_context(), block.__aexit__(None, None, None))

    def chain(self):
        return _length(self.here.get(CURRENT))

    async def test_the_chain_does_not_grow(self):
        for number in range(50):
            await self.leave_elsewhere((self.reader, self.writer)[number % 2])
            self.assertLessEqual(self.chain(), 1)

    async def test_nor_with_work_in_the_blocks(self):
        async def read(session):
            await session.execute(select(Item.id))

        async def add(session):
            session.add(Item(id=100 + len(self.stored())))

        for _ in range(5):
            await self.leave_elsewhere(self.reader, read)
            await self.leave_elsewhere(self.writer, add)
            self.assertLessEqual(self.chain(), 1)
        self.assertEqual([100, 101, 102, 103, 104], self.stored())

    async def test_nor_with_independent_blocks(self):
        for _ in range(20):
            await self.leave_elsewhere(self.writer.independent)
            self.assertLessEqual(self.chain(), 1)

    async def test_a_function_called_after_it_stands_alone(self):
        found = []

        @self.writer
        async def function():
            found.append(_length(CURRENT.get()))

        for _ in range(20):
            await self.leave_elsewhere(self.reader)
            await self.within(self.here, function())
        self.assertEqual([1] * 20, found)

    async def test_blocks_inside_an_open_one_are_kept_apart_from_those_that_were_left(self):
        """What is open stays on the chain: only what has ended is dropped."""
        outer = self.writer()
        await self.within(self.here, outer.__aenter__())
        for _ in range(20):
            await self.leave_elsewhere(self.writer.independent)
            self.assertLessEqual(self.chain(), 2)
        await self.within(contextvars.copy_context(), outer.__aexit__(None, None, None))
        await self.leave_elsewhere(self.writer)
        self.assertEqual(1, self.chain())
