"""How blocks end: committed without an error, rolled back with one."""

from __future__ import annotations

from sqlalchemy import insert

from dbkit.exceptions import DBDuplicateEntry
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import EVERY_FACE
from dbkit.tests.behaviours.tables import Item


class Stop(BaseException):
    """What is no Exception."""


@behaviours(EVERY_FACE)
class TestEnding(Behaviour):
    async def test_a_block_that_ends_is_committed(self):
        async with self.writer() as session:
            session.add(Item(id=1))
        self.assertEqual([1], self.stored())

    async def test_a_function_that_returns_is_committed(self):
        @self.writer
        async def add(number, name=None):
            self.session.add(Item(id=number, name=name))
            return number * 2

        self.assertEqual(14, await add(7, name="seven"))
        self.assertEqual([7], self.stored())

    async def test_a_connection_block_that_ends_is_committed(self):
        async with self.writer.connection() as connection:
            await connection.execute(insert(Item).values(id=1, amount=0))
        self.assertEqual([1], self.stored())
