"""Behaviours on the other side of a proxy: the code under test goes through it, the observer goes round it."""

from __future__ import annotations

from typing import Any

import dbkit
from dbkit.testing import faults
from dbkit.tests.behaviours import places
from dbkit.tests.behaviours.base import Behaviour
from dbkit.tests.behaviours.combinations import SERVERS
from dbkit.tests.behaviours.tables import Item

#: Each driver of a server, in each colour. How a URL spells the product makes no difference to the protocol.
DRIVERS = SERVERS


class Faulty(Behaviour):
    """A behaviour with a proxy in front of its database."""

    def setUp(self):
        super().setUp()
        self.proxy = faults.proxy(self.direct)
        self.proxy.__enter__()
        self.addCleanup(self.proxy.close)
        self.face = self.face_of(self.through())

    @property
    def direct(self):
        """The URL that goes round the proxy."""
        return self.place.url(self.combination.driver, self.combination.scheme)

    @property
    def quickly(self) -> dict[str, Any]:
        """What makes a connect cheap: PyMySQL reads all certificates of the machine anew for each, 40 ms."""
        return {"ssl_disabled": True} if self.combination.driver == "pymysql" else {}

    def through(self, **settings: Any) -> dbkit.Database:
        """Return a Database that reaches the same tables through the proxy, closed after the test."""
        settings = {**places.SETTINGS, "connect_args": self.quickly, **settings}
        database = dbkit.Database(self.proxy.through(self.direct), **settings)
        self.addCleanup(self.run_plain, lambda: self.dispose(database))
        return database

    async def insert(self, number):
        """Insert a row in a block of its own."""
        async with self.writer() as session:
            session.add(Item(id=number))

    async def look(self):
        """Read the rows in a block of its own."""
        async with self.reader() as session:
            return await session.scalar(Item.__table__.select().with_only_columns(Item.id))

    async def rounds(self, count, error):
        """Insert rows one by one; return the numbers of those that failed, all in the same way."""
        failed = []
        for number in range(count):
            try:
                await self.insert(number)
            except error:
                failed.append(number)
        return failed
