"""The moment of COMMIT, and cancellation at any other: all of a block is stored or nothing, and the hooks know."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

from dbkit.testing.suite.case import WayCase, insert_item
from dbkit.testing.suite.tables import Item

# After so many turns of the loop: the first strike before there is a connection, the last at the end or not at all.
_TURNS = (*range(0, 12, 2), *range(12, 60, 8), *range(60, 300, 60))


class Cancellations(WayCase):
    """A block is interrupted."""

    @property
    def interrupt(self) -> type[BaseException]:
        """What strikes: an event loop that is shut down cancels what is shielded, too."""
        return asyncio.CancelledError if self.is_asyncio else KeyboardInterrupt

    @contextmanager
    def interrupted_commit(self, dialect: Any, after: bool) -> Iterator[None]:
        """Interrupt each COMMIT, where SQLAlchemy's dialect sends it, before or after it has reached the database."""
        commit = dialect.do_commit

        def do_commit(connection: Any) -> None:
            if after:
                commit(connection)
            raise self.interrupt

        dialect.do_commit = do_commit
        try:
            yield
        finally:
            dialect.do_commit = commit

    async def test_an_interrupted_commit_is_in_doubt_and_runs_no_hook(self) -> None:
        lane = await self.lane(writes=True)
        for after, stored in ((False, []), (True, [1])):
            calls: list[str] = []
            with self.interrupted_commit(cast(Any, lane.engine.dialect), after), self.assertRaises(self.interrupt):
                async with self.open(self.db.writer) as session:
                    await session.execute(insert_item(1))
                    self.db.after_commit(partial(calls.append, "committed"))
                    self.db.after_rollback(partial(calls.append, "rolled back"))
            self.assertEqual((stored, []), (self.stored(), calls))
            await self.add(2)  # on another connection: nobody knows how that one stands
            self.assertEqual([*stored, 2], self.stored())
            self.ground.empty()

    async def test_a_block_that_is_cancelled_at_any_point_is_stored_whole_or_not_at_all(self) -> None:
        if not self.is_asyncio:
            self.skipTest("blocking blocks cannot be cancelled")
        met: set[bool] = set()
        for turns in _TURNS:
            calls: list[str] = []
            met.add(await self.strike(self.work(calls), turns))
            rows = self.stored()
            self.assertIn(rows, ([], [1, 2]), f"cancelled after {turns} turns")
            self.assertIn(calls, (["committed"],) if rows else (["rolled back"], []), f"after {turns} turns")
            await self.add(9)
            self.ground.empty()
        self.assertIn(True, met, "no turn was early enough to cancel anything")

    async def work(self, calls: list[str]) -> None:
        """Write two rows, one of them with the end of the block."""
        async with self.open(self.db.writer) as session:
            self.db.after_commit(lambda: calls.append("committed"))
            self.db.after_rollback(lambda: calls.append("rolled back"))
            await session.execute(insert_item(1))
            session.add(Item(id=2))

    async def strike(self, work: Coroutine[Any, Any, None], turns: int) -> bool:
        """Run work in a task and cancel it after some turns of the loop; return whether it learned of that."""
        task = asyncio.create_task(work)
        for _ in range(turns):
            await asyncio.sleep(0)
            if task.done():
                break
        task.cancel()
        await asyncio.wait([task])
        try:
            task.result()
        except asyncio.CancelledError as cancelled:
            traceback.clear_frames(cancelled.__traceback__)  # the frames hold cursors, which may hold locks
            return True
        return False
