"""What a backend makes of URLs: completed once, the same for both colours, and what blocks queue for."""

from __future__ import annotations

from sqlalchemy import create_engine, inspect
from sqlalchemy.engine.url import make_url
from sqlalchemy.pool import NullPool

from dbkit.backends.base import Role
from dbkit.spec import Colour
from dbkit.testing.suite.capabilities import Capability
from dbkit.testing.suite.case import WayCase, insert_item, needs
from dbkit.testing.suite.tables import PASSING


class Urls(WayCase):
    """The URL of the database under test, and one that names no database."""

    async def test_a_vetted_url_is_complete(self) -> None:
        vetted = self.backend.vet(self.url)
        self.assertEqual(vetted, self.backend.vet(vetted))

    async def test_vetting_keeps_the_driver_and_the_place(self) -> None:
        vetted = self.backend.vet(self.url)
        for part in ("drivername", "username", "password", "host", "port", "database"):
            self.assertEqual(getattr(self.url, part), getattr(vetted, part), part)

    async def test_both_colours_are_completed_alike(self) -> None:
        plain = self.url.set(drivername=self.way.scheme)
        self.assertEqual(
            self.backend.vet(plain).set(drivername=self.url.drivername),
            self.backend.vet(self.url),
        )

    async def test_what_blocks_queue_for_has_one_name_in_the_process(self) -> None:
        gate = self.backend.gate(self.url)
        self.assertEqual(gate, self.backend.gate(self.url.set(drivername=self.way.scheme)))
        self.assertEqual(gate, self.backend.gate(self.url))
        if gate is not None:
            name, roles = gate
            self.assertIsInstance(name, str)
            self.assertLessEqual(roles, frozenset(Role))
            self.assertIn(Role.WRITER, roles)

    async def test_one_connection_serves_both_roles_or_each_has_its_own(self) -> None:
        is_one = self.backend.one_connection(self.url)
        self.assertIsInstance(is_one, bool)
        lanes = [await self.lane(writes=writes) for writes in (True, False)]
        self.assertEqual(is_one, lanes[0].engine.pool is lanes[1].engine.pool)
        if is_one:
            gate = self.backend.gate(self.url)
            self.assertEqual(frozenset(Role), gate and gate[1], "blocks of all roles must queue for one connection")

    async def test_a_named_database_is_not_unnamed(self) -> None:
        self.assertIs(False, self.backend.is_unnamed(self.url))

    @needs(Capability.INDEPENDENT_WRITERS)
    async def test_writers_that_may_run_at_once_do_not_queue(self) -> None:
        self.assertIsNone(self.backend.gate(self.url))

    @needs(Capability.UNNAMED_DATABASES)
    async def test_each_unnamed_database_gets_a_name_of_its_own(self) -> None:
        first, second = (self.backend.vet(make_url(self.subject.unnamed)) for _ in range(2))
        self.assertNotEqual(first, second)
        self.assertTrue(self.backend.is_unnamed(first))
        self.assertEqual(first, self.backend.vet(first))

    @needs(Capability.UNNAMED_DATABASES)
    async def test_an_unnamed_database_lives_while_no_connection_is_open(self) -> None:
        url = self.backend.vet(make_url(self.subject.unnamed))
        anchor = self.backend.anchor(url)
        engine = create_engine(url.set(drivername=self.ground.plain_url.drivername), poolclass=NullPool)
        with engine.begin() as connection:
            connection.exec_driver_sql(f"CREATE TABLE {PASSING} (id INTEGER)")
        self.assertEqual([PASSING], inspect(engine).get_table_names(), f"it lives by its anchor, {anchor!r}")

    @needs(Capability.UNNAMED_DATABASES)
    async def test_a_database_keeps_what_it_has_made_up(self) -> None:
        made = self.opened_at(make_url(self.subject.unnamed).set(drivername=self.url.drivername))
        async with self.open(made.writer.connection) as connection:
            await connection.exec_driver_sql(f"CREATE TABLE {PASSING} (id INTEGER)")
        await self.disposed(made)
        async with self.open(made.reader.connection) as connection:
            await connection.exec_driver_sql(f"SELECT id FROM {PASSING}")

    @needs(Capability.BLOCKING, Capability.ASYNCIO)
    async def test_both_colours_of_a_database_see_the_same_rows(self) -> None:
        other = Colour.BLOCKING if self.is_asyncio else Colour.ASYNCIO
        reason = self.subject.missing(self.backend.defaults[other])
        if reason:
            self.skipTest(reason)
        async with self.open(self.db.writer) as session:
            await session.execute(insert_item(1))
        self.assertEqual([1], self.in_other_colour())
