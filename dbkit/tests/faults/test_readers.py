"""Readers whose connection is lost: a typed error, at whatever they were doing."""

from __future__ import annotations

from sqlalchemy import text

from dbkit.exceptions import DBConnectionError, Outcome
from dbkit.testing import faults
from dbkit.tests.behaviours.base import behaviours
from dbkit.tests.behaviours.combinations import Product
from dbkit.tests.faults.base import DRIVERS, Faulty


@behaviours({each for each in DRIVERS if each.product is Product.MARIADB})
class TestReadersThatOpenATransaction(Faulty):
    async def test_a_connection_that_is_lost_by_that_is_a_typed_error(self):
        # at READ COMMITTED a reader autocommits, until a statement wants a transaction
        level = {"init_command": "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"}
        face = self.face_of(self.through(connect_args={**self.quickly, **level}))
        with self.raising(DBConnectionError) as caught:
            async with face.reader() as session:
                await session.execute(text("SELECT 1"))
                with self.proxy.cut(faults.before("BEGIN")):
                    await session.execute(text("SET LOCAL sort_buffer_size = 262144"))
        self.assertIs(Outcome.ROLLED_BACK, caught.error.outcome)
