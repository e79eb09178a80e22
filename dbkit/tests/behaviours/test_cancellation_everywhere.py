"""A transaction on SQLite that is cancelled at each place where it waits; the servers have their own, with faults."""

from __future__ import annotations

import asyncio

from dbkit.exceptions import Outcome
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import ASYNCIO, SQLITE
from dbkit.tests.behaviours.tables import Item
from dbkit.tests.soak.stepping import Steps

_PLACES = 500


@behaviours(SQLITE & ASYNCIO)
class TestCancellationEverywhere(Behaviour):
    async def told(self, body):
        """Cancel at each place; return for each what the caller was told, None for a success."""
        await Steps(None).run(lambda: body(0))
        found = {}
        for place in range(1, _PLACES):
            steps = Steps(place)
            found[place] = await steps.run(lambda place=place: body(place))
            if not steps.has_struck:
                return found
        self.fail(f"a transaction has waited at {_PLACES} places")

    async def test_what_the_caller_is_told_is_what_is_stored(self):
        hooks = []

        async def body(number):
            async with self.writer() as session:
                self.face.after_commit(lambda: hooks.append(number))
                await session.get(Item, number)
                session.add(Item(id=number))

        told = await self.told(body)
        stored = set(self.stored())
        for place, error in told.items():
            if error is not None:
                self.assertIsInstance(error, asyncio.CancelledError)
            says = error is None or error.outcome is Outcome.COMMITTED
            self.assertEqual(says, place in stored, f"place {place}: {error!r} {getattr(error, 'outcome', None)}")
        self.assertEqual(stored, set(hooks))
        self.assertGreater(len(told), 5)

    async def test_plain_sqlalchemy_calls_what_is_stored_cancelled(self):
        async def body(number):
            async with self.bare_session() as session:
                await session.get(Item, number)
                session.add(Item(id=number))

        told = await self.told(body)
        stored = set(self.stored())
        self.assertTrue([place for place, error in told.items() if error is not None and place in stored])
