"""A failover in the middle of a block that replays: the block ends on the new primary."""

from __future__ import annotations

from sqlalchemy import text

from dbkit.exceptions import DBError
from dbkit.tests.behaviours.base import behaviours
from dbkit.tests.behaviours.test_pool_failover import ADD, ONE_EACH, FailingOver
from dbkit.tests.steering import SteeredClock


@behaviours(ONE_EACH)
class TestReplayedFailOver(FailingOver):
    async def test_a_primary_that_takes_no_writes_any_more_is_left(self):
        face = self.open(replay=True, clock=SteeredClock())
        await self.fill(face, face.writer)
        self.fail_over()
        await self.add(face)
        self.assertEqual(([1], []), (self.numbers(self.new), self.numbers(self.old)))

    async def test_a_block_in_the_middle_goes_on_at_the_new_primary(self):
        face = self.open(replay=True, clock=SteeredClock())
        await self.fill(face, face.writer)
        async with face.writer() as session:
            self.assertEqual(0, await session.scalar(text("SELECT count(*) FROM numbers")))
            await session.execute(ADD)
            self.promote()
            self.proxy.cut_all()
            await session.execute(ADD)
        self.assertEqual([1, 1], self.numbers(self.new))

    async def test_without_replay_the_block_fails(self):
        face = self.open()
        await self.fill(face, face.writer)
        self.fail_over()
        await self.raises(DBError, self.add, face)
        self.assertEqual([], self.numbers(self.new))
