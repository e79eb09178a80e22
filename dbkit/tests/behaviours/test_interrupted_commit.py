"""The moment of COMMIT: what is cancelled before it still ends well, what is interrupted in it is in doubt.

The interrupt is put where the driver's ``commit()`` is called, in ``do_commit`` of SQLAlchemy's Dialect interface:
before the server has been told, or after it has answered.
"""

from __future__ import annotations

import asyncio
import traceback
from unittest import mock

from sqlalchemy import event, insert

from dbkit.engines.connection import TrackedConnection
from dbkit.tests import steering
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import ASYNCIO, BOTH_FACES, EVERY_DRIVER
from dbkit.tests.behaviours.tables import Item
from dbkit.transaction.state import State

# After so many turns of the loop a task is cancelled: the first before its block is entered, the last after its end.
_TURNS = (*range(40), *range(40, 400, 40))


class Ends(Behaviour):
    """Notes how transactions end."""

    def setUp(self):
        super().setUp()
        self.calls = []

    def note(self):
        """Register a hook of each kind."""
        self.face.after_commit(lambda: self.calls.append("committed"))
        self.face.after_rollback(lambda: self.calls.append("rolled back"))
        self.face.after_unknown(lambda token: self.calls.append(("unknown", token)))


@behaviours(EVERY_DRIVER | BOTH_FACES)
class TestInterruptedCommits(Ends):
    """Nobody can say whether it was stored: so no hook says so, but those that wait for just that run."""

    @property
    def interrupt(self):
        """What strikes: an event loop that is shut down cancels what is shielded, too."""
        return asyncio.CancelledError if self.is_asyncio else KeyboardInterrupt

    def interrupting(self, dialect, after):
        """Return a ``with`` block in which each commit is interrupted before or after it has reached the server."""
        commit = dialect.do_commit

        def do_commit(connection):
            if after:
                commit(connection)
            raise self.interrupt

        return mock.patch.object(dialect, "do_commit", do_commit)

    @property
    def dialect(self):
        """The dialect of the writers."""
        return self.db.factory.lane(True, self.combination.colour).engine.dialect

    async def in_doubt(self, work):
        """Interrupt the COMMIT of a writing body, early and late."""
        for after, stored in ((False, []), (True, [1])):
            with self.interrupting(self.dialect, after), self.raising(self.interrupt):
                await work()
            self.assertEqual([("unknown", None)], self.calls)
            self.calls.clear()
            self.assertEqual(stored, self.stored())
            async with self.writer() as session:  # on another connection: nobody knows how that one stands
                session.add(Item(id=2))
            self.assertEqual([*stored, 2], self.stored())
            self.place.empty()

    async def test_of_a_block_runs_the_hooks_of_no_known_end(self):
        async def work():
            async with self.writer() as session:
                session.add(Item(id=1))
                self.note()

        await self.in_doubt(work)

    async def test_of_a_function_runs_the_hooks_of_no_known_end(self):
        @self.writer
        async def work():
            self.session.add(Item(id=1))
            await self.session.flush()
            self.note()

        await self.in_doubt(work)

    async def test_of_a_connection_block_runs_the_hooks_of_no_known_end(self):
        async def work():
            async with self.writer.connection() as connection:
                await connection.execute(insert(Item).values(id=1, amount=0))
                self.note()

        await self.in_doubt(work)

    async def test_of_a_session_that_somebody_listens_to_runs_the_hooks_of_no_known_end(self):
        # then the Session's own commit() is called, which rolls back in its own way
        async def work():
            async with self.writer() as session:
                event.listen(session.sync_session, "before_commit", lambda session: None)
                session.add(Item(id=1))
                self.note()

        await self.in_doubt(work)

    @on(EVERY_DRIVER)
    async def test_the_outcome_is_unknown(self):
        with self.interrupting(self.dialect, True), self.raising(self.interrupt):
            async with self.writer() as session:
                session.add(Item(id=1))
                transaction = self.db.current.physical()
        self.assertEqual((State.UNKNOWN, State.CLOSED), (transaction.outcome, transaction.state))

    async def test_before_it_the_outcome_is_known(self):
        # the control: an interrupt that strikes earlier, in the last flush, leaves no doubt
        def strike(*args):
            raise self.interrupt

        with self.raising(self.interrupt):
            async with self.writer() as session:
                event.listen(session.sync_session, "before_flush", strike)
                session.add(Item(id=1))
                self.note()
        self.assertEqual((["rolled back"], []), (self.calls, self.stored()))

    @on(EVERY_DRIVER)
    async def test_without_the_doubt_a_hook_would_say_the_wrong_thing(self):
        # the control: the protection is switched off
        never = property(lambda self: False, lambda self, value: None)
        sure = mock.patch.object(TrackedConnection, "in_doubt", never, create=True)
        with sure, self.interrupting(self.dialect, True), self.raising(self.interrupt):
            async with self.writer() as session:
                session.add(Item(id=1))
                self.note()
        self.assertEqual((["rolled back"], [1]), (self.calls, self.stored()))


@behaviours((EVERY_DRIVER | BOTH_FACES) & ASYNCIO)
class TestBlocksThatOnlyAdd(Ends):
    """All that is sent is sent at the end, the connection is taken there: the end is shielded all the same."""

    async def strike(self, work, turns):
        """Run a body in a task, cancel it after some turns of the loop; return whether its block came to its end."""
        ends = []
        task = asyncio.create_task(work(ends))
        await steering.turns(turns, task)
        task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(result, BaseException):
            traceback.clear_frames(result.__traceback__)  # their cursors would keep SQLite's locks
        return bool(ends)

    async def unharmed(self, work):
        """Cancel a body at every turn: a block that has come to its end is stored, and its hooks know."""
        met = set()
        for turns in _TURNS:
            self.calls.clear()
            ended = await self.strike(work, turns)
            met.add(ended)
            self.assertEqual([1] if ended else [], self.stored(), f"cancelled after {turns} turns")
            self.assertIn(self.calls, [["committed"]] if ended else [["rolled back"], []])
            self.place.empty()
        self.assertEqual({False, True}, met)

    async def test_a_block_is_cancelled_before_its_end_or_not_at_all(self):
        async def work(ends):
            async with self.writer() as session:
                self.note()
                await steering.turns()
                session.add(Item(id=1))
                ends.append("here")

        await self.unharmed(work)

    async def test_a_function_is_cancelled_before_its_end_or_not_at_all(self):
        @self.writer
        async def work(ends):
            self.note()
            await steering.turns()
            self.session.add(Item(id=1))
            ends.append("here")

        await self.unharmed(work)

    async def test_the_task_still_learns_that_it_was_cancelled(self):
        async def work():
            async with self.writer() as session:
                session.add(Item(id=1))
                self.note()
                asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)

        with self.raising(asyncio.CancelledError):
            await asyncio.create_task(work())
        self.assertEqual((["committed"], [1]), (self.calls, self.stored()))

    @on(EVERY_DRIVER)
    async def test_plain_sqlalchemy_is_cut_off_in_the_middle_of_the_end(self):
        async def work(ends):
            async with self.bare_session() as session:
                await steering.turns()
                session.add(Item(id=1))
                ends.append("here")

        self.assertTrue(await self.strike(work, 2))
        self.assertEqual([], self.stored())
