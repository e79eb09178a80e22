"""The functions of queries find the block that is meant, or say what to pass."""

from __future__ import annotations

import contextvars
import threading
from functools import partial

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from dbkit.exceptions import HandleNotRequested, NoTransaction, TransactionOwnedElsewhere, UsageError
from dbkit.queries.where import connection_of, session_of, transaction_of
from dbkit.tests.behaviours.base import Behaviour, RequestContext, behaviours
from dbkit.tests.behaviours.combinations import SQLITE_FILE
from dbkit.tests.behaviours.faces import manager_of
from dbkit.transaction.greenlets import in_task


@behaviours(SQLITE_FILE)
class TestWhere(Behaviour):
    """Everything that stands for a block leads to the same transaction."""

    async def found(self, where):
        """Return the transaction, as the functions of this colour find it."""
        where = getattr(where, "target", where)
        if self.is_asyncio:
            return await in_task(partial(transaction_of, where))
        return transaction_of(where)

    async def test_a_database_a_session_and_a_connection(self):
        async with self.db_block() as session:
            expected = await self.found(self.db)
            connection = await session.connection()
            self.assertIs(expected, await self.found(session))
            self.assertIs(expected, await self.found(connection))
            await session.run_sync(lambda plain: self.assertIs(expected, transaction_of(plain)))
            await session.run_sync(lambda plain: self.assertIs(expected.session, session_of(plain)))
            await session.run_sync(lambda plain: self.assertIs(expected.connection, connection_of(plain)))

    def db_block(self):
        """Return a block of the database itself, whatever the face."""
        return self.colour.block(self.db.writer())

    async def test_a_context_object(self):
        context, manager = RequestContext(), manager_of(self.db)
        async with self.colour.block(manager.writer.using(context)) as session:
            self.assertIs(await self.found(session), await self.found(context))
            error = await self.raises(NoTransaction, self.found, self.db)
            self.assertIn("Database", str(error))

    async def test_without_a_block(self):
        for where in (self.db, RequestContext()):
            error = await self.raises(NoTransaction, self.found, where)
            self.assertIn("is open here", str(error))

    async def test_after_the_end(self):
        async with self.db_block() as session:
            connection = await session.connection()
            await session.execute(text("SELECT 1"))
        for where in (session, connection):
            error = await self.raises(NoTransaction, self.found, where)
            self.assertIn("ended", str(error))

    async def test_what_is_no_block(self):
        engine = create_engine("sqlite://")
        with engine.connect() as connection, Session(engine) as session:
            for where in (connection, session, engine, None, 3, object()):
                error = await self.raises(UsageError, self.found, where)
                self.assertIn("a Database", str(error))

    async def test_another_thread(self):
        found = []

        def look():
            try:
                transaction_of(self.db)
            except Exception as error:
                found.append(type(error))

        async with self.db_block():
            frame = contextvars.copy_context()
            thread = threading.Thread(target=frame.run, args=(look,))
            thread.start()
            thread.join()
        self.assertEqual([TransactionOwnedElsewhere], found)

    async def test_a_blocking_call_in_an_asyncio_block(self):
        if not self.is_asyncio:
            return
        async with self.db_block() as session:
            for where in (self.db, session, session.sync_session, await session.connection()):
                with self.raising(HandleNotRequested):
                    transaction_of(where)
