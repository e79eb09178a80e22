"""A COMMIT that is known to have failed: all is repeated, and COMMIT is sent again."""

from __future__ import annotations

from sqlalchemy import func, select, update

from dbkit.exceptions import DBConnectionError, DBSerializationFailure, ReplayDiverged
from dbkit.testing import faults
from dbkit.tests.behaviours.base import behaviours
from dbkit.tests.behaviours.combinations import POSTGRESQL
from dbkit.tests.behaviours.tables import Audit, Item, Part
from dbkit.tests.faults.base import DRIVERS
from dbkit.tests.faults.test_fence import Fenced
from dbkit.tests.faults.test_replay import Replaying


@behaviours(POSTGRESQL & DRIVERS)
class TestSerializationFailures(Replaying):
    """PostgreSQL tells at COMMIT that two transactions cannot be put in an order."""

    async def skew(self, session, read):
        """Read, and let a rival that has read the same write and commit what that makes impossible."""
        await read(session)
        rival = self.rival()
        rival.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        rival.execute("SELECT sum(amount) FROM items")
        await session.execute(update(Item).where(Item.id == 1).values(amount=1))
        rival.execute("INSERT INTO parts (id, item_id) VALUES (1, 2)")
        rival.commit()

    async def read_all(self, session):
        self.read = await session.scalar(select(func.count()).select_from(Part).where(Part.id == 77))

    async def read_what_changes(self, session):
        self.read = await session.scalar(select(func.count()).select_from(Part))

    def setUp(self):
        super().setUp()
        self.store(1, 2)

    async def test_what_was_read_is_the_same(self):
        async with self.writer.isolation("serializable")() as session:
            await self.skew(session, self.read_all)
        self.assertEqual(([1, 0], [1]), (self.amounts(), self.stored(Part)))
        self.assertEqual((1, 0), (self.counts.replayed, self.counts.diverged))

    async def test_what_was_read_has_changed(self):
        with self.raising(ReplayDiverged) as caught:
            async with self.writer.isolation("serializable")() as session:
                await self.skew(session, self.read_what_changes)
        self.assertIsInstance(caught.error.__cause__, DBSerializationFailure)
        self.assertEqual([0, 0], self.amounts())

    async def test_without_replay_it_is_an_error(self):
        self.face = self.face_of(self.through())
        with self.raising(DBSerializationFailure):
            async with self.writer.isolation("serializable")() as session:
                await self.skew(session, self.read_all)
        self.assertEqual([0, 0], self.amounts())


@behaviours(DRIVERS)
class TestWithAFence(Fenced):
    """Whoever carries a token as well gets over every loss, whichever message it struck."""

    settings = {"replay": True, "exactly_once": True}

    async def work(self):
        self.runs += 1
        async with self.writer() as session:
            amount = await session.scalar(select(Item.amount).where(Item.id == 1).with_for_update())
            await session.execute(update(Item).where(Item.id == 1).values(amount=amount + 1))
            session.add(Audit(id=amount))
            self.face.after_commit(lambda: self.hooks.append(amount))

    async def test_each_message_may_be_lost(self):
        self.store(1)
        self.runs, self.hooks = 0, []
        await self.work()
        done, since = 1, self.proxy.counts["COMMIT"]
        for moment in (faults.before, faults.after):
            struck = 0
            while True:
                fault = self.proxy.cut(moment("statement"), nth=struck + 1, reset=bool(struck % 2))
                await self.work()
                done += 1
                self.assertEqual([done], self.place.ask("SELECT amount FROM items"), f"{moment.__name__} {struck + 1}")
                if not fault.remove():
                    break
                struck += 1
            self.assertGreater(struck, 3)
        self.assertGreater(self.proxy.counts["COMMIT"] - since, done)
        self.assertEqual((done, list(range(done)), list(range(done))), (self.runs, self.hooks, self.stored(Audit)))
        self.assertEqual(0, self.database_behind.replays.diverged)

    async def test_without_replay_a_commit_that_did_not_arrive_is_an_error(self):
        self.face = self.face_of(self.through(exactly_once=True))
        self.store(1)
        self.runs, self.hooks = 0, []
        with self.proxy.cut(faults.before("COMMIT")):
            await self.raises(DBConnectionError, self.work)
        self.assertEqual([0], self.place.ask("SELECT amount FROM items"))
