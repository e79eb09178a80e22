"""The leak matrix: no form of a statement and no way of loading shows, changes or counts a hidden row."""

from __future__ import annotations

import dbkit
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import ALL, SQLITE_MEMORY
from dbkit.tests.leaks import further, loading, owning, reading
from dbkit.tests.leaks.family import FLAVOURS, build, family
from dbkit.tests.leaks.looking import look, look_at_writing, scope_of

#: Each product in each colour, by one driver.
ONE_EACH = SQLITE_MEMORY | {
    each
    for each in ALL
    if each.scheme != "mariadb"
    and each.face.value == "database"
    and (each.driver, each.colour.value)
    in {("psycopg", "blocking"), ("asyncpg", "asyncio"), ("pymysql", "blocking"), ("asyncmy", "asyncio")}
}

_BUILT = set()


@behaviours(ONE_EACH)
class TestLeaks(Behaviour):
    def setUp(self):
        super().setUp()
        for flavour in FLAVOURS:
            if (self.combination.product, flavour) not in _BUILT:
                build(self.place.observer, family(flavour))
                _BUILT.add((self.combination.product, flavour))

    async def in_session(self, function, *args):
        async with self.writer() as session:
            return await session.run_sync(function, *args)

    async def none_leaks(self, cases):
        found = {}
        for flavour in FLAVOURS:
            models = family(flavour)
            with scope_of(models):
                found |= await self.in_session(look, models, cases, self.product)
        self.assertEqual({}, found, "\n" + "\n".join(": ".join(each) for each in found.items()))

    @property
    def product(self):
        return self.db.factory.engines(self.combination.colour).writer.engine.dialect.name

    async def test_no_form_of_reading_leaks(self):
        await self.none_leaks((*reading.CASES, *further.READING))

    async def test_no_way_of_loading_leaks(self):
        await self.none_leaks(loading.CASES)

    async def test_no_form_of_writing_reaches_hidden_rows(self):
        found = {}
        for flavour in FLAVOURS:
            models = family(flavour)
            with scope_of(models):
                found |= await self.in_session(look_at_writing, models, self.product, dbkit.without(models.rule))
        self.assertEqual({}, found, "\n" + "\n".join(": ".join(each) for each in found.items()))

    async def test_no_row_is_stored_for_another_tenant(self):
        models = family("tenant")
        with scope_of(models):
            found = await self.in_session(look, models, owning.CASES, self.product)
        self.assertEqual({}, found, "\n" + "\n".join(": ".join(each) for each in found.items()))
