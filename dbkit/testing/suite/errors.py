"""P4: every error of the database arrives as its own class, with its fields, and says truly what became of the rest.

Each error here is a real one, raised by the database itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Executable, text
from sqlalchemy.engine import Connection

from dbkit.exceptions import (
    DBAccessDenied,
    DBConnectionError,
    DBConstraintError,
    DBDataError,
    DBDuplicateEntry,
    DBError,
    DBNonExistentDatabase,
    DBNonExistentTable,
    DBNotNullError,
    DBReferenceError,
    Outcome,
    TransactionDoomed,
)
from dbkit.testing.suite.capabilities import Capability
from dbkit.testing.suite.case import WayCase, insert_item, needs, swallowed
from dbkit.testing.suite.tables import ITEMS, LIMITS, LONGEST_NAME, PARTS, Item

E = TypeVar("E", bound=DBError)

# No text may repeat it.
_VALUE = "Dr-Strangelove"


class Errors(WayCase):
    """One statement fails in an open transaction."""

    async def failing(self, expected: type[E], statement: Executable, *before: Executable) -> E:
        """Return the error of a statement, after looking at what all errors have in common."""
        caught: list[E] = []
        with self.assertRaises(DBError):
            async with self.open(self.db.writer) as session:
                for each in before:
                    await session.execute(each)
                try:
                    await session.execute(statement)
                except expected as failed:
                    caught.append(failed)
                    raise
        self.assertTrue(caught, f"no {expected.__name__}")
        error = caught[0]
        self.assertIs(expected, type(error))
        self.assertIsNotNone(error.orig, "the driver's exception is the error's orig")
        self.assertIs(error.orig, error.__cause__)
        self.assertTrue(error.statement)
        self.assertNotIn(_VALUE, str(error), "no text of an error may hold a value")
        self.assertFalse(error.transient)
        self.assertIn(error.outcome, (Outcome.STATEMENT_FAILED, Outcome.ABORTED, Outcome.ROLLED_BACK))
        self.assertEqual([], self.stored())
        return error

    def assert_filled(self, error: DBError, **right: Any) -> None:
        """Fields that are promised for a class are filled; what is filled is right, promised or not."""
        promised = set(self.subject.fills.get(type(error), ()))
        self.assertLessEqual(promised, set(right), "the suite knows no such field of this error")
        for name, value in right.items():
            found = getattr(error, name)
            if name in promised or found:
                self.assertEqual(value, found, name)

    async def test_a_duplicate_key_is_told_with_its_name(self) -> None:
        error = await self.failing(DBDuplicateEntry, insert_item(2, _VALUE), insert_item(1, _VALUE))
        self.assert_filled(error, columns=["name"], constraint="dbkit_items_name", table="dbkit_items")

    async def test_a_duplicate_primary_key_is_a_duplicate_too(self) -> None:
        error = await self.failing(DBDuplicateEntry, insert_item(1), insert_item(1))
        if error.columns:
            self.assertEqual(["id"], error.columns)

    async def test_a_duplicate_in_a_flush_is_the_same_error(self) -> None:
        self.store(1)

        async def add() -> None:
            async with self.open(self.db.writer) as session:
                session.add(Item(id=1))

        await self.raises(DBDuplicateEntry, add)

    @needs(Capability.FOREIGN_KEYS)
    async def test_a_row_that_points_to_none_is_a_reference_error(self) -> None:
        error = await self.failing(DBReferenceError, PARTS.insert().values(id=1, item_id=77))
        self.assert_filled(
            error, table="dbkit_parts", constraint="dbkit_parts_item", key="item_id", key_table="dbkit_items"
        )

    @needs(Capability.FOREIGN_KEYS)
    async def test_a_row_that_others_point_to_is_kept_by_a_reference_error(self) -> None:
        await self.failing(
            DBReferenceError,
            ITEMS.delete().where(ITEMS.c.id == 1),
            insert_item(1),
            PARTS.insert().values(id=1, item_id=1),
        )

    async def test_a_missing_value_is_told_with_its_column(self) -> None:
        error = await self.failing(DBNotNullError, text("INSERT INTO dbkit_items (id, amount) VALUES (1, NULL)"))
        self.assert_filled(error, columns=["amount"], table="dbkit_items")

    @needs(Capability.CHECK_CONSTRAINTS)
    async def test_a_row_that_a_check_excludes_is_told_with_its_constraint(self) -> None:
        error = await self.failing(DBConstraintError, LIMITS.insert().values(id=1, amount=-1))
        self.assert_filled(error, constraint="dbkit_limits_amount", table="dbkit_limits")

    @needs(Capability.STRICT_COLUMNS)
    async def test_a_text_that_does_not_fit_is_a_data_error(self) -> None:
        await self.failing(DBDataError, insert_item(1, _VALUE + "x" * LONGEST_NAME))

    async def test_a_table_that_does_not_exist_is_told_with_its_name(self) -> None:
        error = await self.failing(DBNonExistentTable, text("SELECT id FROM dbkit_nowhere"))
        if error.table:
            self.assertEqual("dbkit_nowhere", error.table.rpartition(".")[2])
        else:
            self.assertNotIn("table", set(self.subject.fills.get(DBNonExistentTable, ())))

    async def test_a_statement_that_is_none_is_an_error_without_a_narrower_class(self) -> None:
        await self.failing(DBError, text("SELEKT 1"))

    # -- what became of the transaction -------------------------------------------------------------------------------

    async def going_on_after(self, fails: Callable[[], Executable]) -> None:
        """An error says truly whether the transaction goes on, and the block that swallows it ends accordingly."""

        def look(connection: Connection) -> bool:
            connection.execute(insert_item(1))
            with self.assertRaises(DBError) as caught:
                connection.execute(fails())
            try:
                connection.execute(insert_item(2))
            except DBError:
                self.assertIsNot(Outcome.STATEMENT_FAILED, caught.exception.outcome, "the transaction is lost")
                return False
            self.assertIs(Outcome.STATEMENT_FAILED, caught.exception.outcome, "the transaction goes on")
            return True

        async def work() -> None:
            async with self.open(self.db.writer) as session:
                await session.execute(insert_item(1))
                with swallowed():
                    await session.execute(fails())
                if goes_on:
                    await session.execute(insert_item(2))

        goes_on = await self.at_driver(look)
        if goes_on:
            await work()
        else:
            await self.raises(TransactionDoomed, work)
        self.assertEqual([1, 2] if goes_on else [], self.stored())

    async def test_the_outcome_of_a_duplicate_is_true(self) -> None:
        await self.going_on_after(lambda: insert_item(1))

    async def test_the_outcome_of_a_statement_that_is_none_is_true(self) -> None:
        await self.going_on_after(lambda: text("SELEKT 1"))

    @needs(Capability.SAVEPOINTS)
    async def test_a_savepoint_saves_the_transaction_from_an_error(self) -> None:
        async with self.open(self.db.writer) as session:
            await session.execute(insert_item(1))
            with self.assertRaises(DBDuplicateEntry):
                async with self.open(self.db.writer.savepoint) as inner:
                    await inner.execute(insert_item(1))
            await session.execute(insert_item(2))
        self.assertEqual([1, 2], self.stored())

    # -- no connection ------------------------------------------------------------------------------------------------

    async def refused(self, **place: Any) -> DBError:
        made = self.opened_at(self.url.set(**place))

        async def use() -> None:
            async with self.open(made.writer) as session:
                await session.execute(text("SELECT 1"))

        return await self.raises(DBError, use)

    @needs(Capability.SERVER)
    async def test_a_server_that_is_not_there_is_a_connection_error(self) -> None:
        error = await self.refused(host="127.0.0.1", port=1)
        self.assertIs(DBConnectionError, type(error))
        self.assertTrue(error.transient)
        self.assertIs(Outcome.NOT_STARTED, error.outcome)

    @needs(Capability.SERVER)
    async def test_a_database_that_does_not_exist_is_told(self) -> None:
        error = await self.refused(database="dbkit_nowhere")
        self.assertIs(DBNonExistentDatabase, type(error))
        self.assertFalse(error.transient)

    @needs(Capability.SERVER)
    async def test_a_user_that_is_not_admitted_is_denied_and_no_password_is_told(self) -> None:
        error = await self.refused(username="dbkit_nobody", password=_VALUE)
        self.assertIs(DBAccessDenied, type(error))
        self.assertNotIn(_VALUE, str(error))
