"""How a transaction stands: what the backend says must be true at every moment, or that it does not know."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from dbkit.backends.base import Role, SessionFacts, SessionSettings, Standing
from dbkit.exceptions import DBError
from dbkit.testing.suite.capabilities import Capability
from dbkit.testing.suite.case import WayCase, insert_item, needs
from dbkit.testing.suite.tables import PASSING

_OPEN = {Standing.OPEN, Standing.NOT_KNOWN}
_NONE = {Standing.NONE, Standing.NOT_KNOWN}


class Standings(WayCase):
    """``standing`` and ``ask_standing``, ``begin`` and the facts of a session, on the driver's connection."""

    def assert_over(self, connection: Connection) -> None:
        self.assertIn(self.standing(connection), _NONE, "standing()")
        self.assertIn(self.ask_standing(connection), _NONE, "ask_standing()")

    async def test_a_connection_from_the_pool_is_in_no_transaction(self) -> None:
        def look(connection: Connection) -> None:
            self.assertIn(self.standing(connection), _NONE)

        for writes in (True, False):
            await self.at_driver(look, writes=writes)

    async def test_begin_reaches_the_database_when_the_backend_says_so(self) -> None:
        def look(connection: Connection) -> None:
            connection.begin()
            self.assertIn(self.standing(connection), _OPEN if self.backend.begins_at_once else _NONE)

        await self.at_driver(look)

    async def test_a_writers_server_takes_writes_and_being_asked_opens_nothing(self) -> None:
        def look(connection: Connection) -> None:
            native = connection.connection.dbapi_connection
            self.assertIs(True, self.backend.takes_writes(native, connection.dialect.driver), "takes_writes()")
            self.assertIn(self.standing(connection), _NONE, "standing() after takes_writes()")

        await self.at_driver(look)

    async def test_a_transaction_that_has_written_is_open(self) -> None:
        def look(connection: Connection) -> None:
            connection.execute(insert_item(1))
            self.assertIn(self.standing(connection), _OPEN, "standing()")
            self.assertIn(self.ask_standing(connection), _OPEN, "ask_standing()")
            self.assertIn(self.standing(connection), _OPEN, "standing() after ask_standing()")

        await self.at_driver(look)
        self.assertEqual([], self.stored())

    @needs(Capability.TRANSACTION_STATUS)
    async def test_an_open_transaction_is_known_to_be_open_when_it_is_asked(self) -> None:
        def look(connection: Connection) -> None:
            connection.execute(insert_item(1))
            self.assertIs(Standing.OPEN, self.ask_standing(connection))

        await self.at_driver(look)

    async def test_a_committed_transaction_is_over(self) -> None:
        def look(connection: Connection) -> None:
            connection.execute(insert_item(1))
            connection.commit()
            self.assert_over(connection)

        await self.at_driver(look)
        self.assertEqual([1], self.stored())

    async def test_a_rolled_back_transaction_is_over(self) -> None:
        def look(connection: Connection) -> None:
            connection.execute(insert_item(1))
            connection.rollback()
            self.assert_over(connection)

        await self.at_driver(look)
        self.assertEqual([], self.stored())

    @needs(Capability.TRANSACTION_STATUS)
    async def test_a_transaction_that_others_have_rolled_back_is_over(self) -> None:
        def look(connection: Connection) -> None:
            connection.execute(insert_item(1))
            raw = connection.connection.dbapi_connection
            assert raw is not None
            raw.rollback()
            self.assertIs(Standing.NONE, self.ask_standing(connection))
            self.assertIn(self.standing(connection), _NONE)

        await self.at_driver(look)

    async def test_after_an_error_a_transaction_that_goes_on_is_open_and_one_that_does_not_is_not(self) -> None:
        def look(connection: Connection) -> None:
            connection.execute(insert_item(1))
            try:
                connection.execute(text("SELECT nothing FROM dbkit_nowhere"))
            except (DBError, SQLAlchemyError):
                said, asked = self.standing(connection), self.ask_standing(connection)
            else:
                self.fail("a table that does not exist was read")
            try:
                connection.exec_driver_sql("SELECT 1")
            except (DBError, SQLAlchemyError):
                possible = {Standing.FAILED, Standing.NONE, Standing.NOT_KNOWN}
            else:
                possible = _OPEN
            self.assertIn(said, possible, "standing()")
            self.assertIn(asked, possible, "ask_standing()")

        await self.at_driver(look)

    async def test_a_session_without_facts_has_none_worth_remembering(self) -> None:
        def look(connection: Connection) -> SessionFacts:
            return self.facts(connection)

        for writes in (True, False):
            facts = await self.at_driver(look, writes=writes)
            self.assertIsInstance(facts, SessionFacts)
            if not self.backend.keeps_facts:
                self.assertEqual(SessionFacts(), replace(facts, alone=False, autocommit=None))

    async def test_a_writers_session_does_not_commit_by_itself(self) -> None:
        def look(connection: Connection) -> bool:
            return self.facts(connection).autocommits

        self.assertFalse(await self.at_driver(look))

    async def test_a_begin_of_its_own_is_the_same_for_each_engine(self) -> None:
        for role in Role:
            given = [self.backend.begin(self.way.driver, role, self.url, SessionSettings()) for _ in range(2)]
            self.assertEqual([given[0] is None] * 2, [each is None for each in given])

    @needs(Capability.TRANSACTIONAL_DDL)
    async def test_a_change_of_the_schema_goes_with_its_transaction(self) -> None:
        def change(connection: Connection) -> None:
            connection.execute(insert_item(1))
            connection.exec_driver_sql(f"CREATE TABLE {PASSING} (id INTEGER)")
            self.assertIn(self.standing(connection), _OPEN)
            connection.rollback()
            with self.assertRaises((DBError, SQLAlchemyError)):
                connection.exec_driver_sql(f"SELECT id FROM {PASSING}")

        await self.at_driver(change)
        self.assertEqual([], self.stored())
