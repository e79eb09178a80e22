"""Isolation levels: honoured, and gone with the block that asked for them."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from dbkit.spec import Isolation
from dbkit.testing.suite.capabilities import Capability
from dbkit.testing.suite.case import WayCase, insert_item, needs
from dbkit.testing.suite.tables import ITEMS

_COUNT = select(func.count(ITEMS.c.id))


class Levels(WayCase):
    """``isolate``, and blocks with ``.isolation(...)``."""

    async def has_snapshot(self, opener: Any) -> bool:
        """Return whether a block does not see what another client commits meanwhile."""
        async with self.open(opener) as session:
            before = await session.scalar(_COUNT)
            self.store(before + 1)
            after = await session.scalar(_COUNT)
        return bool(before == after)

    async def test_any_level_may_be_asked_for(self) -> None:
        for number, level in enumerate(("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"), 1):
            async with self.open(self.db.writer.isolation(level)) as session:
                await session.execute(insert_item(number))
            async with self.open(self.db.reader.isolation(level)) as session:
                self.assertEqual(number, await session.scalar(_COUNT))

    async def test_the_level_of_one_transaction_is_not_the_sessions(self) -> None:
        self.db = self.database()  # on whose connections nobody has set a level yet
        lane = await self.lane(writes=True)
        dialect = cast(Any, lane.engine.dialect)

        def change(connection: Connection) -> None:
            raw = connection.connection.dbapi_connection
            before = dialect.get_isolation_level(raw)
            dialect.do_rollback(raw)
            for level in Isolation:
                if level.sql not in dialect.get_isolation_level_values(raw):
                    continue
                restore = self.backend.isolate(raw, dialect, level)
                dialect.do_begin(connection.connection)
                cursor = cast(Any, raw).cursor()
                cursor.execute("SELECT 1")
                cursor.close()
                dialect.do_rollback(raw)
                if restore is not None:
                    restore()
                self.assertEqual(before, dialect.get_isolation_level(raw), f"after {level.sql}")
                dialect.do_rollback(raw)

        await self.at_driver(change)

    @needs(Capability.ISOLATION_LEVELS)
    async def test_a_snapshot_holds_for_the_whole_block(self) -> None:
        for opener in (self.db.reader, self.db.writer):
            self.assertTrue(await self.has_snapshot(opener.isolation("REPEATABLE READ")))

    @needs(Capability.ISOLATION_LEVELS)
    async def test_without_a_snapshot_a_block_sees_what_is_committed(self) -> None:
        for opener in (self.db.reader, self.db.writer):
            self.assertFalse(await self.has_snapshot(opener.isolation("READ COMMITTED")))

    @needs(Capability.ISOLATION_LEVELS)
    async def test_the_next_block_runs_at_the_servers_own_level(self) -> None:
        for opener in (self.db.reader, self.db.writer):
            own = await self.has_snapshot(opener)
            for level in ("READ COMMITTED", "REPEATABLE READ"):
                for error in (None, KeyError):
                    try:
                        async with self.open(opener.isolation(level)) as session:
                            await session.scalar(_COUNT)
                            if error is not None:
                                raise error
                    except KeyError:
                        pass
                    self.assertEqual(own, await self.has_snapshot(opener), f"after {level}")
